// The output archive is written in one pass and takes no memory, because a program may end exactly
// when there is none left: siblings are sorted by relinking them, which no program sees any more.
#include "output.h"

#include <stddef.h>

#include "archive.h"
#include "descriptor.h"
#include "machine.h"
#include "task.h"

enum { BUFFER = 32768, CLOSING_BLOCKS = 2 };

static uint8_t buffer[BUFFER];
static uint32_t buffered;

static void flush(void) {
    if (buffered) host_append_output(buffer, buffered);
    buffered = 0;
}

static void emit(const uint8_t *bytes, uint32_t len) {
    bool passes_by = len > BUFFER / 2;
    if (passes_by || len > BUFFER - buffered) flush(); // what came before goes out before
    if (passes_by) {
        host_append_output(bytes, len);
    } else {
        __builtin_memcpy(buffer + buffered, bytes, len);
        buffered += len;
    }
}

static void emit_zeros(uint32_t len) {
    static const uint8_t zeros[CLOSING_BLOCKS * BLOCK];
    emit(zeros, len);
}

static void emit_file(const uint8_t *path, uint32_t length, const struct content *content) {
    uint8_t header[BLOCK];
    archive_header(header, path, length, false, content->size);
    emit(header, BLOCK);
    for (uint64_t at = 0; at < content->size;) {
        const uint8_t *bytes;
        uint64_t left = content->size - at;
        uint32_t run = content_peek(content, at, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX, &bytes);
        emit(bytes, run);
        at += run;
    }
    emit_zeros((uint32_t)(-content->size % BLOCK));
}

// Order of two siblings in the archive: by bytes, where a directory's name ends in a slash.
static bool precedes(const struct entry *a, const struct entry *b) {
    for (uint32_t i = 0;; i++) {
        int x = i < a->length ? a->name[i] : i == a->length && is_dir(a->node) ? '/' : -1;
        int y = i < b->length ? b->name[i] : i == b->length && is_dir(b->node) ? '/' : -1;
        if (x != y) return x < y;
        if (x < 0) return true;
    }
}

// Merges two sorted lists that are linked by `after`.
static struct entry *merge(struct entry *a, struct entry *b) {
    struct entry *first = NULL, **at = &first;
    while (a && b) {
        struct entry **least = precedes(a, b) ? &a : &b;
        *at = *least;
        at = &(*least)->after;
        *least = *at;
    }
    *at = a ? a : b;
    return first;
}

// Sorts a directory's list: runs[k] holds 2^k sorted entries or none. Only `first` and `after` stay
// meaningful.
static void sort(struct node *dir) {
    struct entry *runs[32] = {NULL};
    for (struct entry *entry = dir->as.dir.first, *next; entry; entry = next) {
        next = entry->after;
        entry->after = NULL;
        int k = 0;
        for (; runs[k]; k++) {
            entry = merge(runs[k], entry);
            runs[k] = NULL;
        }
        runs[k] = entry;
    }
    struct entry *sorted = NULL;
    for (int k = 0; k < 32; k++) sorted = merge(runs[k], sorted);
    dir->as.dir.first = sorted;
}

static void emit_out(void) {
    uint8_t path[ARCHIVE_PATH_MAX + 1] = "out/", header[BLOCK];
    uint32_t base = 4; // length of the path of the directory that `entry` is in, slash included
    sort(tree.out);
    for (struct entry *entry = tree.out->as.dir.first; entry;) {
        struct node *node = entry->node;
        uint32_t length = base + entry->length;
        require(length <= ARCHIVE_PATH_MAX);
        __builtin_memcpy(path + base, entry->name, entry->length);
        if (!is_dir(node)) {
            emit_file(path, length, &node->as.file);
        } else {
            path[length++] = '/';
            if (node->as.dir.first) {
                sort(node);
                base = length;
                entry = node->as.dir.first;
                continue;
            }
            archive_header(header, path, length, true, 0);
            emit(header, BLOCK);
        }
        while (!entry->after && entry->dir != tree.out) {
            entry = entry->dir->as.dir.self;
            base -= entry->length + 1;
        }
        entry = entry->after;
    }
}

void output_write(void) {
    if (tree.out) emit_out();
    emit_file((const uint8_t *)"stderr", 6, &standard[2]);
    emit_file((const uint8_t *)"stdout", 6, &standard[1]);
    emit_zeros(CLOSING_BLOCKS * BLOCK);
    flush();
}

void output_expect(uint32_t growth) {
    uint64_t least = standard[1].size + standard[2].size + growth + (2 + CLOSING_BLOCKS) * BLOCK;
    if (least <= task.output_limit) return;
    for (;;) host_append_output(buffer, BUFFER); // ends at the limit
}
