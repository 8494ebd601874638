// Invariant: a written chunk is zero beyond the file's size, and chunks beyond the size do not
// exist; hence a file that grows again reads as zeros.
#include "content.h"

#include "heap.h"
#include "machine.h"

enum { CHUNK = 65536, FIRST_MIN = 256, WINDOW = 16384 };

static const uint8_t zeros[1024];
static uint8_t window[WINDOW]; // what was last read from the archive

static uint32_t least(uint64_t a, uint64_t b) { return (uint32_t)(a < b ? a : b); }

static uint32_t chunk_length(const struct content *content, uint32_t index) {
    return index == 0 ? content->first_length : CHUNK;
}

static void read_archive(uint64_t at, void *dst, uint32_t len) {
    require(host_read_input(STREAM_ARCHIVE, at, dst, len) == len);
}

uint32_t content_peek(const struct content *content, uint64_t at, uint32_t want, const uint8_t **bytes) {
    uint32_t index = (uint32_t)(at / CHUNK), offset = at % CHUNK;
    uint32_t run = least(least(want, content->size - at), CHUNK - offset);
    uint8_t *chunk = index < content->slots ? content->chunks[index] : NULL;
    if (chunk && offset < chunk_length(content, index)) {
        *bytes = chunk + offset;
        return least(run, chunk_length(content, index) - offset);
    }
    if (!chunk && at < content->archived) {
        run = least(least(run, content->archived - at), WINDOW);
        read_archive(content->archive_at + at, window, run);
        *bytes = window;
        return run;
    }
    *bytes = zeros;
    return least(run, sizeof zeros);
}

static bool make_slot(struct content *content, uint32_t index) {
    if (index < content->slots) return true;
    uint32_t slots = content->slots ? content->slots : 4;
    while (slots <= index) slots *= 2;
    uint8_t **chunks = heap_take(slots * sizeof *chunks);
    if (!chunks) return false;
    __builtin_memset(chunks, 0, slots * sizeof *chunks);
    if (content->slots) __builtin_memcpy(chunks, content->chunks, content->slots * sizeof *chunks);
    heap_give(content->chunks, content->slots * sizeof *chunks);
    content->chunks = chunks;
    content->slots = slots;
    return true;
}

// Makes chunk `index` exist with at least `length` bytes; its present bytes are kept.
static uint8_t *materialise(struct content *content, uint32_t index, uint32_t length) {
    if (!make_slot(content, index)) return NULL;
    uint8_t *old = content->chunks[index];
    uint32_t old_length = old ? chunk_length(content, index) : 0;
    if (old_length >= length) return old;

    uint64_t start = (uint64_t)index * CHUNK;
    uint32_t kept = old ? old_length : content->archived > start ? least(content->archived - start, CHUNK) : 0;
    uint32_t new_length = CHUNK;
    if (index == 0) {
        uint32_t needed = kept > length ? kept : length;
        for (new_length = FIRST_MIN; new_length < needed;) new_length *= 2;
    }
    uint8_t *chunk = heap_take(new_length);
    if (!chunk) return NULL;
    if (old) {
        __builtin_memcpy(chunk, old, kept);
        heap_give(old, old_length);
    } else if (kept) {
        read_archive(content->archive_at + start, chunk, kept);
    }
    __builtin_memset(chunk + kept, 0, new_length - kept);
    content->chunks[index] = chunk;
    if (index == 0) content->first_length = new_length;
    return chunk;
}

uint8_t *content_room(struct content *content, uint64_t at, uint32_t want, uint32_t *run) {
    uint32_t index = (uint32_t)(at / CHUNK), offset = at % CHUNK;
    *run = least(want, CHUNK - offset);
    uint8_t *chunk = materialise(content, index, offset + *run);
    return chunk ? chunk + offset : NULL;
}

void content_extend(struct content *content, uint64_t size) {
    if (size > content->size) content->size = size;
}

void content_resize(struct content *content, uint64_t size) {
    if (size < content->size) {
        if (content->archived > size) content->archived = size;
        uint32_t last = (uint32_t)(size / CHUNK), offset = size % CHUNK;
        for (uint32_t i = last; i < content->slots; i++) {
            uint8_t *chunk = content->chunks[i];
            if (!chunk) continue;
            if (i == last && offset > 0) {
                if (offset < chunk_length(content, i))
                    __builtin_memset(chunk + offset, 0, chunk_length(content, i) - offset);
            } else {
                heap_give(chunk, chunk_length(content, i));
                content->chunks[i] = NULL;
            }
        }
    }
    content->size = size;
}

void content_free(struct content *content) {
    content_resize(content, 0);
    heap_give(content->chunks, content->slots * sizeof *content->chunks);
    *content = (struct content){0};
}
