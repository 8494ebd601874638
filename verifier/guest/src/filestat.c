// What is known of a file: its kind, size and times.
#include <stddef.h>

#include "clock.h"
#include "descriptor.h"
#include "machine.h"
#include "path.h"

static struct place place;

static wasi_errno answer(const struct node *node, uint64_t stream_size, user_addr stat) {
    struct wasi_filestat filestat;
    if (!user_holds(stat, sizeof filestat)) return E_FAULT;
    __builtin_memset(&filestat, 0, sizeof filestat);
    filestat.size = stream_size;
    if (node) {
        filestat.dev = 1;
        filestat.ino = node->number;
        filestat.filetype = node->type;
        filestat.nlink = node->links;
        filestat.size = is_dir(node) ? 0 : node->as.file.size;
        filestat.atim = node->atim;
        filestat.mtim = node->mtim;
        filestat.ctim = node->ctim;
    }
    user_write(stat, &filestat, sizeof filestat);
    return E_OK;
}

static wasi_errno set_times(struct node *node, uint64_t atim, uint64_t mtim, uint32_t flags) {
    bool both_atim = (flags & FST_ATIM) && (flags & FST_ATIM_NOW);
    bool both_mtim = (flags & FST_MTIM) && (flags & FST_MTIM_NOW);
    if (flags & ~(uint32_t)FST_ALL || both_atim || both_mtim) return E_INVAL;
    uint64_t now = clock_now_ns();
    if (flags & FST_ATIM) node->atim = atim;
    if (flags & FST_ATIM_NOW) node->atim = now;
    if (flags & FST_MTIM) node->mtim = mtim;
    if (flags & FST_MTIM_NOW) node->mtim = now;
    node->ctim = now;
    return E_OK;
}

EXPORT(fd_filestat_get) wasi_errno fd_filestat_get(uint32_t fd, user_addr stat) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor) return E_BADF;
    return answer(descriptor->node, descriptor->kind == STDIN ? standard[0].size : 0, stat);
}

EXPORT(fd_filestat_set_times)
wasi_errno fd_filestat_set_times(uint32_t fd, uint64_t atim, uint64_t mtim, uint32_t flags) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor) return E_BADF;
    return descriptor->node ? set_times(descriptor->node, atim, mtim, flags) : E_INVAL;
}

// Looks up a path that must exist.
static wasi_errno find(uint32_t fd, user_addr path, uint32_t len) {
    wasi_errno error = path_resolve(fd, path, len, &place);
    return error ? error : place.node ? E_OK : E_NOENT;
}

EXPORT(path_filestat_get)
wasi_errno path_filestat_get(uint32_t fd, uint32_t lookup, user_addr path, uint32_t len, user_addr stat) {
    (void)lookup; // whether to follow a link; there are none
    wasi_errno error = find(fd, path, len);
    return error ? error : answer(place.node, 0, stat);
}

EXPORT(path_filestat_set_times)
wasi_errno path_filestat_set_times(uint32_t fd, uint32_t lookup, user_addr path, uint32_t len, uint64_t atim,
                                   uint64_t mtim, uint32_t flags) {
    (void)lookup;
    wasi_errno error = find(fd, path, len);
    return error ? error : set_times(place.node, atim, mtim, flags);
}

EXPORT(path_readlink)
wasi_errno path_readlink(uint32_t fd, user_addr path, uint32_t len, user_addr buf, uint32_t buf_len, user_addr used) {
    (void)buf, (void)buf_len, (void)used;
    wasi_errno error = find(fd, path, len);
    return error ? error : E_INVAL; // it exists and is no link
}
