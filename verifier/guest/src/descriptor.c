// A descriptor's number is its index. Rights are reported and can be dropped, but only reading and
// writing are refused for want of a right: within one task there is nobody to protect from.
#include "descriptor.h"

#include <stddef.h>

#include "heap.h"
#include "machine.h"

enum { SLOTS_MIN = 16 };

struct content standard[3];
static struct descriptor *descriptors;
static uint32_t slots;
static uint32_t lowest_free; // no free slot lies below

struct descriptor *descriptor_at(uint32_t fd) {
    return fd < slots && descriptors[fd].kind != CLOSED ? &descriptors[fd] : NULL;
}

wasi_errno descriptor_directory(uint32_t fd, struct node **dir) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor) return E_BADF;
    if (descriptor->kind != DIRECTORY) return E_NOTDIR;
    *dir = descriptor->node;
    return E_OK;
}

wasi_errno descriptor_next(uint32_t *fd) {
    while (lowest_free < slots && descriptors[lowest_free].kind != CLOSED) lowest_free++;
    if (lowest_free == slots) {
        if (slots == DESCRIPTORS_MAX) return E_MFILE;
        uint32_t grown_slots = slots ? slots * 2 : SLOTS_MIN;
        struct descriptor *grown = heap_take(grown_slots * sizeof *grown);
        if (!grown) return E_NOSPC;
        __builtin_memset(grown, 0, grown_slots * sizeof *grown);
        if (slots) __builtin_memcpy(grown, descriptors, slots * sizeof *grown);
        heap_give(descriptors, slots * sizeof *descriptors);
        descriptors = grown;
        slots = grown_slots;
    }
    *fd = lowest_free;
    return E_OK;
}

void descriptor_open(uint32_t fd, struct node *node, uint16_t flags, uint64_t rights, uint64_t inheriting) {
    descriptors[fd] = (struct descriptor){
        .kind = is_dir(node) ? DIRECTORY : FILE,
        .flags = flags,
        .node = node,
        .rights = rights,
        .inheriting = inheriting,
    };
    node->opens++;
}

static void close(uint32_t fd) {
    struct node *node = descriptors[fd].node;
    descriptors[fd] = (struct descriptor){0};
    if (fd < lowest_free) lowest_free = fd;
    if (node) {
        node->opens--;
        tree_release(node);
    }
}

void descriptor_start(void) {
    uint32_t fd;
    static const uint64_t no_seek = RIGHTS_ALL & ~(RIGHT_FD_SEEK | RIGHT_FD_TELL);
    for (uint8_t kind = STDIN; kind <= STDERR; kind++) {
        require(descriptor_next(&fd) == E_OK);
        descriptors[fd] = (struct descriptor){.kind = kind, .flags = kind == STDIN ? 0 : FDFLAG_APPEND};
        descriptors[fd].rights = no_seek & ~(kind == STDIN ? RIGHT_FD_WRITE : RIGHT_FD_READ);
    }
    require(descriptor_next(&fd) == E_OK && fd == PREOPEN);
    descriptor_open(fd, tree.root, 0, RIGHTS_ALL, RIGHTS_ALL);
    descriptors[fd].preopened = true;
}

EXPORT(fd_close) wasi_errno fd_close(uint32_t fd) {
    if (!descriptor_at(fd)) return E_BADF;
    close(fd);
    return E_OK;
}

EXPORT(fd_renumber) wasi_errno fd_renumber(uint32_t from, uint32_t to) {
    if (!descriptor_at(from) || !descriptor_at(to)) return E_BADF;
    if (from == to) return E_OK;
    struct descriptor moved = descriptors[from];
    descriptors[from] = (struct descriptor){0};
    if (from < lowest_free) lowest_free = from;
    close(to);
    descriptors[to] = moved;
    return E_OK;
}

EXPORT(fd_prestat_get) wasi_errno fd_prestat_get(uint32_t fd, user_addr prestat) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor || !descriptor->preopened) return E_BADF;
    if (!user_holds(prestat, 8)) return E_FAULT;
    user_store32(prestat, 0);     // a directory
    user_store32(prestat + 4, 1); // length of "/"
    return E_OK;
}

EXPORT(fd_prestat_dir_name) wasi_errno fd_prestat_dir_name(uint32_t fd, user_addr path, uint32_t len) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor || !descriptor->preopened) return E_BADF;
    if (!user_holds(path, len)) return E_FAULT;
    if (len < 1) return E_NAMETOOLONG;
    user_write(path, "/", 1);
    return E_OK;
}

EXPORT(fd_fdstat_get) wasi_errno fd_fdstat_get(uint32_t fd, user_addr stat) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor) return E_BADF;
    if (!user_holds(stat, sizeof(struct wasi_fdstat))) return E_FAULT;
    struct wasi_fdstat answer;
    __builtin_memset(&answer, 0, sizeof answer);
    answer.filetype = descriptor->node ? descriptor->node->type : FILETYPE_UNKNOWN;
    answer.flags = descriptor->flags;
    answer.rights_base = descriptor->rights;
    answer.rights_inheriting = descriptor->inheriting;
    user_write(stat, &answer, sizeof answer);
    return E_OK;
}

EXPORT(fd_fdstat_set_flags) wasi_errno fd_fdstat_set_flags(uint32_t fd, uint32_t flags) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor) return E_BADF;
    if (flags & ~(uint32_t)FDFLAG_ALL) return E_INVAL;
    descriptor->flags = (uint16_t)flags;
    return E_OK;
}

EXPORT(fd_fdstat_set_rights) wasi_errno fd_fdstat_set_rights(uint32_t fd, uint64_t base, uint64_t inheriting) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor) return E_BADF;
    if ((base & ~descriptor->rights) || (inheriting & ~descriptor->inheriting)) return E_NOTCAPABLE;
    descriptor->rights = base;
    descriptor->inheriting = inheriting;
    return E_OK;
}
