// Reading, writing and seeking.
#include <stddef.h>

#include "clock.h"
#include "descriptor.h"
#include "machine.h"
#include "output.h"

enum { BUFFERS_MAX = 1024 };

// The buffers of one call, as the user lists them (an iovec is the same 8 bytes). Kept here, because
// what is read may overwrite the user's list.
static struct buffer {
    user_addr at;
    uint32_t len;
} buffers[BUFFERS_MAX];

// Takes over a list of buffers and checks them before anything moves; `*total` is what they hold together.
static wasi_errno take_buffers(user_addr list, uint32_t count, uint32_t *total) {
    if (count > BUFFERS_MAX) return E_INVAL;
    if (!user_holds(list, (uint64_t)count * sizeof *buffers)) return E_FAULT;
    if (count) user_read(buffers, list, count * sizeof *buffers);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!user_holds(buffers[i].at, buffers[i].len)) return E_FAULT;
        sum += buffers[i].len;
    }
    if (sum > UINT32_MAX) return E_INVAL;
    *total = (uint32_t)sum;
    return E_OK;
}

// Fills the buffers from `at` on; returns how many bytes there were.
static uint32_t read_content(const struct content *content, uint64_t at, uint32_t count) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < count; i++) {
        user_addr dst = buffers[i].at;
        uint32_t len = buffers[i].len;
        while (len > 0 && at < content->size) {
            const uint8_t *bytes;
            uint32_t run = content_peek(content, at, len, &bytes);
            user_write(dst, bytes, run);
            dst += run, len -= run, at += run, done += run;
        }
    }
    return done;
}

// Writes the buffers from `at` on; returns how many bytes the memory had room for.
static uint32_t write_content(struct content *content, uint64_t at, uint32_t count) {
    uint32_t done = 0;
    for (uint32_t i = 0; i < count; i++) {
        user_addr src = buffers[i].at;
        uint32_t len = buffers[i].len;
        while (len > 0) {
            uint32_t run;
            uint8_t *room = content_room(content, at, len, &run);
            if (!room) return done;
            user_read(room, src, run);
            src += run, len -= run, at += run, done += run;
            content_extend(content, at);
        }
    }
    return done;
}

// The descriptor, if it is open with that right and is not a directory.
static wasi_errno readable(uint32_t fd, uint64_t right, struct descriptor **found) {
    struct descriptor *descriptor = descriptor_at(fd);
    if (!descriptor) return E_BADF;
    if (descriptor->kind == DIRECTORY) return E_ISDIR;
    if (!(descriptor->rights & right)) return E_NOTCAPABLE;
    *found = descriptor;
    return E_OK;
}

// The same for a regular file only: streams have no positions.
static wasi_errno seekable(uint32_t fd, uint64_t right, struct descriptor **found) {
    wasi_errno error = readable(fd, right, found);
    return error ? error : (*found)->kind == FILE ? E_OK : E_SPIPE;
}

EXPORT(fd_read) wasi_errno fd_read(uint32_t fd, user_addr iovs, uint32_t count, user_addr nread) {
    struct descriptor *descriptor;
    uint32_t total;
    wasi_errno error = readable(fd, RIGHT_FD_READ, &descriptor);
    if (!error) error = take_buffers(iovs, count, &total);
    if (error) return error;
    if (!user_holds(nread, 4)) return E_FAULT;
    struct content *content = descriptor->kind == STDIN ? &standard[0] : &descriptor->node->as.file;
    uint32_t done = read_content(content, descriptor->position, count);
    descriptor->position += done;
    user_store32(nread, done);
    return E_OK;
}

EXPORT(fd_pread) wasi_errno fd_pread(uint32_t fd, user_addr iovs, uint32_t count, uint64_t at, user_addr nread) {
    struct descriptor *descriptor;
    uint32_t total;
    wasi_errno error = seekable(fd, RIGHT_FD_READ, &descriptor);
    if (!error) error = take_buffers(iovs, count, &total);
    if (error) return error;
    if (!user_holds(nread, 4)) return E_FAULT;
    user_store32(nread, read_content(&descriptor->node->as.file, at, count));
    return E_OK;
}

static wasi_errno write_file(struct node *file, uint64_t at, uint32_t count, uint32_t total, uint32_t *done) {
    *done = 0;
    if (total == 0) return E_OK;
    if (at > CONTENT_SIZE_MAX || total > CONTENT_SIZE_MAX - at) return E_FBIG;
    *done = write_content(&file->as.file, at, count);
    file->mtim = file->ctim = clock_now_ns();
    return *done > 0 ? E_OK : E_NOSPC;
}

EXPORT(fd_write) wasi_errno fd_write(uint32_t fd, user_addr iovs, uint32_t count, user_addr nwritten) {
    struct descriptor *descriptor;
    uint32_t total, done;
    wasi_errno error = readable(fd, RIGHT_FD_WRITE, &descriptor);
    if (!error) error = take_buffers(iovs, count, &total);
    if (error) return error;
    if (!user_holds(nwritten, 4)) return E_FAULT;
    if (descriptor->kind == FILE) {
        if (descriptor->flags & FDFLAG_APPEND) descriptor->position = descriptor->node->as.file.size;
        error = write_file(descriptor->node, descriptor->position, count, total, &done);
        descriptor->position += done;
    } else {
        struct content *stream = &standard[descriptor->kind - STDIN];
        output_expect(total);
        done = write_content(stream, stream->size, count);
        error = done == 0 && total > 0 ? E_NOSPC : E_OK;
    }
    if (!error) user_store32(nwritten, done);
    return error;
}

EXPORT(fd_pwrite) wasi_errno fd_pwrite(uint32_t fd, user_addr iovs, uint32_t count, uint64_t at, user_addr nwritten) {
    struct descriptor *descriptor;
    uint32_t total, done;
    wasi_errno error = seekable(fd, RIGHT_FD_WRITE, &descriptor);
    if (!error) error = take_buffers(iovs, count, &total);
    if (error) return error;
    if (!user_holds(nwritten, 4)) return E_FAULT;
    error = write_file(descriptor->node, at, count, total, &done);
    if (!error) user_store32(nwritten, done);
    return error;
}

EXPORT(fd_seek) wasi_errno fd_seek(uint32_t fd, int64_t offset, uint32_t whence, user_addr position) {
    struct descriptor *descriptor;
    wasi_errno error = seekable(fd, RIGHTS_ALL, &descriptor);
    if (error) return error;
    if (!user_holds(position, 8)) return E_FAULT;
    int64_t base, sum;
    switch (whence) {
        case WHENCE_SET: base = 0; break;
        case WHENCE_CUR: base = (int64_t)descriptor->position; break;
        case WHENCE_END: base = (int64_t)descriptor->node->as.file.size; break;
        default: return E_INVAL;
    }
    if (__builtin_add_overflow(base, offset, &sum)) return E_OVERFLOW;
    if (sum < 0) return E_INVAL;
    descriptor->position = (uint64_t)sum;
    user_store64(position, (uint64_t)sum);
    return E_OK;
}

EXPORT(fd_tell) wasi_errno fd_tell(uint32_t fd, user_addr position) {
    struct descriptor *descriptor;
    wasi_errno error = seekable(fd, RIGHTS_ALL, &descriptor);
    if (error) return error;
    if (!user_holds(position, 8)) return E_FAULT;
    user_store64(position, descriptor->position);
    return E_OK;
}

static wasi_errno resize(struct node *file, uint64_t size) {
    if (size > CONTENT_SIZE_MAX) return E_FBIG;
    content_resize(&file->as.file, size);
    file->mtim = file->ctim = clock_now_ns();
    return E_OK;
}

EXPORT(fd_filestat_set_size) wasi_errno fd_filestat_set_size(uint32_t fd, uint64_t size) {
    struct descriptor *descriptor;
    wasi_errno error = seekable(fd, RIGHT_FD_WRITE, &descriptor);
    if (error) return error == E_SPIPE ? E_INVAL : error;
    return resize(descriptor->node, size);
}

EXPORT(fd_allocate) wasi_errno fd_allocate(uint32_t fd, uint64_t offset, uint64_t len) {
    struct descriptor *descriptor;
    wasi_errno error = seekable(fd, RIGHT_FD_WRITE, &descriptor);
    if (error) return error;
    if (len == 0) return E_INVAL;
    if (offset > CONTENT_SIZE_MAX || len > CONTENT_SIZE_MAX - offset) return E_FBIG;
    return offset + len > descriptor->node->as.file.size ? resize(descriptor->node, offset + len) : E_OK;
}

EXPORT(fd_advise) wasi_errno fd_advise(uint32_t fd, uint64_t offset, uint64_t len, uint32_t advice) {
    (void)offset, (void)len;
    struct descriptor *descriptor;
    wasi_errno error = seekable(fd, RIGHTS_ALL, &descriptor);
    return error ? error : advice > ADVICE_MAX ? E_INVAL : E_OK;
}

// Everything is as durable as the task itself.
EXPORT(fd_sync) wasi_errno fd_sync(uint32_t fd) { return descriptor_at(fd) ? E_OK : E_BADF; }
EXPORT(fd_datasync) wasi_errno fd_datasync(uint32_t fd) { return descriptor_at(fd) ? E_OK : E_BADF; }
