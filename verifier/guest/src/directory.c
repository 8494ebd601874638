// Opening files and changing directories, with the checks of POSIX in the order in which Linux makes
// them (its errors are what programs were tested with).
#include <stddef.h>

#include "clock.h"
#include "descriptor.h"
#include "machine.h"
#include "path.h"

static struct place from, to; // static: a path is larger than the stack should have to hold

EXPORT(path_open)
wasi_errno path_open(uint32_t fd, uint32_t lookup, user_addr path, uint32_t len, uint32_t oflags, uint64_t rights,
                     uint64_t inheriting, uint32_t fdflags, user_addr opened) {
    (void)lookup;
    if (!user_holds(opened, 4)) return E_FAULT;
    if (oflags & ~(uint32_t)OFLAG_ALL || fdflags & ~(uint32_t)FDFLAG_ALL) return E_INVAL;
    wasi_errno error = path_resolve(fd, path, len, &to);
    if (error) return error;
    bool create = oflags & OFLAG_CREAT, directory = oflags & OFLAG_DIRECTORY, truncate = oflags & OFLAG_TRUNC;
    uint64_t granted = descriptor_at(fd)->inheriting;
    rights &= granted;
    inheriting &= granted;

    if (create && directory) return E_INVAL;
    if (to.node) {
        if (create && (oflags & OFLAG_EXCL)) return E_EXIST;
        if (is_dir(to.node) && (create || truncate || (rights & RIGHT_FD_WRITE))) return E_ISDIR;
        if (directory && !is_dir(to.node)) return E_NOTDIR;
    } else {
        if (!create) return E_NOENT;
        if (to.slash) return E_ISDIR;
    }
    uint32_t number;
    if ((error = descriptor_next(&number))) return error;
    if (!to.node) {
        error = tree_create(to.dir, to.name, to.length, FILETYPE_REGULAR, &to.entry);
        if (error) return error;
        to.node = to.entry->node;
        truncate = false;
    }
    descriptor_open(number, to.node, (uint16_t)fdflags, rights, inheriting);
    if (truncate) {
        content_resize(&to.node->as.file, 0);
        to.node->mtim = to.node->ctim = clock_now_ns();
    }
    user_store32(opened, number);
    return E_OK;
}

EXPORT(path_create_directory) wasi_errno path_create_directory(uint32_t fd, user_addr path, uint32_t len) {
    wasi_errno error = path_resolve(fd, path, len, &to);
    if (error) return error;
    if (to.node) return E_EXIST;
    return tree_create(to.dir, to.name, to.length, FILETYPE_DIRECTORY, &to.entry);
}

EXPORT(path_unlink_file) wasi_errno path_unlink_file(uint32_t fd, user_addr path, uint32_t len) {
    wasi_errno error = path_resolve(fd, path, len, &to);
    if (error) return error;
    if (!to.node) return E_NOENT;
    if (is_dir(to.node)) return E_ISDIR;
    tree_remove(to.entry);
    return E_OK;
}

// Whether a directory is one that the job's interface names, which stays where it is.
static bool fixed(const struct place *place) { return place->length == 0 || place->node->fixed; }

EXPORT(path_remove_directory) wasi_errno path_remove_directory(uint32_t fd, user_addr path, uint32_t len) {
    wasi_errno error = path_resolve(fd, path, len, &to);
    if (error) return error;
    if (!to.node) return E_NOENT;
    if (!is_dir(to.node)) return E_NOTDIR;
    if (to.length == 0) return E_INVAL;
    if (fixed(&to)) return E_BUSY;
    if (to.node->as.dir.first) return E_NOTEMPTY;
    tree_remove(to.entry);
    return E_OK;
}

// Whether `node` is `dir` or lies above it.
static bool contains(const struct node *node, const struct node *dir) {
    while (dir != node && dir->as.dir.self) dir = dir->as.dir.self->dir;
    return dir == node;
}

EXPORT(path_rename)
wasi_errno path_rename(uint32_t fd, user_addr path, uint32_t len, uint32_t new_fd, user_addr new_path,
                       uint32_t new_len) {
    wasi_errno error = path_resolve(fd, path, len, &from);
    if (!error) error = path_resolve(new_fd, new_path, new_len, &to);
    if (error) return error;
    if (from.length == 0 || to.length == 0) return E_BUSY;
    if (!from.node) return E_NOENT;
    bool moves_dir = is_dir(from.node);
    if (!moves_dir && to.slash) return E_NOTDIR;
    if (moves_dir && contains(from.node, to.dir)) return E_INVAL;
    if (to.node && is_dir(to.node) && contains(to.node, from.dir)) return E_NOTEMPTY;
    if (fixed(&from)) return E_BUSY;
    if (to.node) {
        if (to.node == from.node) return E_OK;
        if (moves_dir && !is_dir(to.node)) return E_NOTDIR;
        if (!moves_dir && is_dir(to.node)) return E_ISDIR;
        if (fixed(&to)) return E_BUSY;
        if (is_dir(to.node) && to.node->as.dir.first) return E_NOTEMPTY;
    }
    return tree_move(from.entry, to.dir, to.name, to.length, to.entry);
}

EXPORT(path_link)
wasi_errno path_link(uint32_t fd, uint32_t lookup, user_addr path, uint32_t len, uint32_t new_fd, user_addr new_path,
                     uint32_t new_len) {
    (void)lookup;
    wasi_errno error = path_resolve(fd, path, len, &from);
    if (!error && !from.node) error = E_NOENT;
    if (!error) error = path_resolve(new_fd, new_path, new_len, &to);
    if (error) return error;
    if (to.node) return E_EXIST;
    if (to.slash) return E_NOENT;
    if (is_dir(from.node)) return E_PERM;
    return tree_link(to.dir, to.name, to.length, from.node);
}

// Archives hold no links, so that unpacking one cannot write elsewhere; the file system has none either.
EXPORT(path_symlink)
wasi_errno path_symlink(user_addr target, uint32_t target_len, uint32_t fd, user_addr path, uint32_t len) {
    if (!user_holds(target, target_len)) return E_FAULT;
    wasi_errno error = path_resolve(fd, path, len, &to);
    return error ? error : to.node ? E_EXIST : E_NOTSUP;
}

// The first entry after a cookie: where the last call stopped, or by counting from the start.
static struct entry *entry_after(const struct descriptor *descriptor, const struct node *dir, uint64_t cookie) {
    if (descriptor->cookie_entry && descriptor->cookie == cookie &&
        descriptor->cookie_removals == dir->as.dir.removals)
        return descriptor->cookie_entry->after;
    struct entry *entry = dir->as.dir.first;
    while (entry && entry->serial <= cookie) entry = entry->after;
    return entry;
}

// Appends what fits; false when the buffer is full.
static bool put(user_addr buf, uint32_t buf_len, uint32_t *used, const void *bytes, uint32_t len) {
    uint32_t run = len < buf_len - *used ? len : buf_len - *used;
    if (run) user_write(buf + *used, bytes, run);
    *used += run;
    return run == len;
}

static bool put_entry(user_addr buf, uint32_t buf_len, uint32_t *used, uint64_t next, const struct node *node,
                      const uint8_t *name, uint32_t length) {
    struct wasi_dirent dirent;
    __builtin_memset(&dirent, 0, sizeof dirent);
    dirent.next = next;
    dirent.ino = node->number;
    dirent.namlen = length;
    dirent.type = node->type;
    return put(buf, buf_len, used, &dirent, sizeof dirent) && put(buf, buf_len, used, name, length);
}

EXPORT(fd_readdir)
wasi_errno fd_readdir(uint32_t fd, user_addr buf, uint32_t buf_len, uint64_t cookie, user_addr bufused) {
    struct node *dir;
    wasi_errno error = descriptor_directory(fd, &dir);
    if (error) return error;
    if (!user_holds(buf, buf_len) || !user_holds(bufused, 4)) return E_FAULT;
    struct descriptor *descriptor = descriptor_at(fd);
    const struct entry *self = dir->as.dir.self;
    uint32_t used = 0;
    bool room = true;
    if (cookie < SERIAL_SELF)
        room = put_entry(buf, buf_len, &used, SERIAL_SELF, dir, (const uint8_t *)".", 1);
    if (room && cookie < SERIAL_PARENT)
        room = put_entry(buf, buf_len, &used, SERIAL_PARENT, self ? self->dir : dir, (const uint8_t *)"..", 2);
    struct entry *entry = room ? entry_after(descriptor, dir, cookie) : NULL;
    for (; entry && room; entry = entry->after) {
        room = put_entry(buf, buf_len, &used, entry->serial, entry->node, entry->name, entry->length);
        if (room) {
            descriptor->cookie = entry->serial;
            descriptor->cookie_entry = entry;
            descriptor->cookie_removals = dir->as.dir.removals;
        }
    }
    user_store32(bufused, used);
    return E_OK;
}
