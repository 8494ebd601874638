#ifndef OUTCRY_HEAP_H
#define OUTCRY_HEAP_H
#include <stdint.h>

// `size` bytes, aligned to 16, content undefined; NULL when the job's page limit is reached.
void *heap_take(uint32_t size);
// Returns a block; `size` is what it was taken with. `block` may be NULL.
void heap_give(void *block, uint32_t size);
#endif
