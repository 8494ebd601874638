// A task has no network: its result must be a function of its input.
#include "machine.h"
#include "wasi.h"

EXPORT(sock_accept) wasi_errno sock_accept(uint32_t fd, uint32_t flags, user_addr accepted) {
    (void)fd, (void)flags, (void)accepted;
    return E_NOTSUP;
}

EXPORT(sock_recv)
wasi_errno sock_recv(uint32_t fd, user_addr iovs, uint32_t count, uint32_t flags, user_addr nread, user_addr oflags) {
    (void)fd, (void)iovs, (void)count, (void)flags, (void)nread, (void)oflags;
    return E_NOTSUP;
}

EXPORT(sock_send)
wasi_errno sock_send(uint32_t fd, user_addr iovs, uint32_t count, uint32_t flags, user_addr nwritten) {
    (void)fd, (void)iovs, (void)count, (void)flags, (void)nwritten;
    return E_NOTSUP;
}

EXPORT(sock_shutdown) wasi_errno sock_shutdown(uint32_t fd, uint32_t how) {
    (void)fd, (void)how;
    return E_NOTSUP;
}
