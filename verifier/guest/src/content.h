// The bytes of one file. They begin as a stretch of the input archive, which is read where it lies,
// and become memory chunk by chunk as the program writes.
#ifndef OUTCRY_CONTENT_H
#define OUTCRY_CONTENT_H
#include <stdbool.h>
#include <stdint.h>

// What the size field of a ustar header can say, 8 GiB - 1.
#define CONTENT_SIZE_MAX UINT64_C(077777777777)

struct content {
    uint64_t size;
    uint64_t archived;     // bytes below this come from the archive, unless their chunk was written
    uint64_t archive_at;   // where in the archive they begin
    uint8_t **chunks;      // written chunks; NULL for one that was not
    uint32_t slots;        // length of `chunks`
    uint32_t first_length; // bytes allocated for chunk 0, so that small files stay small
};

// A run of at most `want` bytes at `at`, which must lie below the size: returns its length (at least
// 1) and where it can be read until the next call.
uint32_t content_peek(const struct content *content, uint64_t at, uint32_t want, const uint8_t **bytes);
// Memory for a run of at most `want` bytes at `at`, of which `*run` (at least 1) are to be written
// now; NULL if there is none. `at + want` must not exceed CONTENT_SIZE_MAX. The size follows with
// `content_extend`.
uint8_t *content_room(struct content *content, uint64_t at, uint32_t want, uint32_t *run);
void content_extend(struct content *content, uint64_t size);
// Cuts or extends (with zeros) to `size`, at most CONTENT_SIZE_MAX.
void content_resize(struct content *content, uint64_t size);
void content_free(struct content *content);
#endif
