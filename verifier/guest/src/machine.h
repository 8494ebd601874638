// What the library knows of the world: three host operations, and the user's memory through a few
// accessors that the linker supplies. Sizes and addresses are 32 bits wide, as the memories are.
#ifndef OUTCRY_MACHINE_H
#define OUTCRY_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))
#define HOST(name) __attribute__((import_module("outcry"), import_name(#name)))
#define USER(name) __attribute__((import_module("outcry_user"), import_name(#name)))

enum stream { STREAM_TASK = 0, STREAM_ARCHIVE = 1 };

// Copies at most `len` bytes at `offset` of a stream to `dst`; returns how many there were.
HOST(read_input) uint32_t host_read_input(uint32_t stream, uint64_t offset, void *dst, uint32_t len);
HOST(append_output) void host_append_output(const void *src, uint32_t len);
HOST(exit) _Noreturn void host_exit(uint32_t code);

// An address in the user's memory; deliberately not a C pointer.
typedef uint32_t user_addr;

USER(user_size) uint32_t user_pages(void);
USER(load32) uint32_t user_load32(user_addr at);
USER(store32) void user_store32(user_addr at, uint32_t value);
USER(store64) void user_store64(user_addr at, uint64_t value);
USER(copy_from_user) void user_read(void *dst, user_addr src, uint32_t len);
USER(copy_to_user) void user_write(user_addr dst, const void *src, uint32_t len);

// Whether `len` bytes at `at` lie in the user's memory. Every address that comes from the user
// passes here before an accessor sees it. An empty range is never touched and so always fits.
static inline bool user_holds(user_addr at, uint64_t len) {
    return len == 0 || at + len <= (uint64_t)user_pages() << 16;
}

// A state that no accepted job can reach (a malformed archive, a broken host): the program traps.
static inline void require(bool holds) {
    if (!holds) __builtin_trap();
}

#endif
