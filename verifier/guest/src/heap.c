// A segregated-fit heap: block sizes are powers of two, each with a list of free blocks, and fresh
// blocks are cut off the end of the memory. Every call takes constant time, and nothing is ever
// merged: a long-lived job uses at most the sum of what it once used of each size.
#include "heap.h"

#include <stddef.h>

enum { CLASS_MIN = 4, CLASS_MAX = 30, PAGE = 65536 };

struct free_block {
    struct free_block *next;
};

extern unsigned char __heap_base;
static struct free_block *free_blocks[CLASS_MAX + 1];
static uint64_t top; // first address never handed out; 0 before the first call

static uint32_t class_of(uint32_t size) {
    return size <= 1u << CLASS_MIN ? CLASS_MIN : 32 - (uint32_t)__builtin_clz(size - 1);
}

void *heap_take(uint32_t size) {
    uint32_t class = class_of(size);
    if (class > CLASS_MAX) return NULL;
    struct free_block *block = free_blocks[class];
    if (block) {
        free_blocks[class] = block->next;
        return block;
    }
    if (top == 0) top = ((uint64_t)(uintptr_t)&__heap_base + 15) & ~(uint64_t)15;
    uint64_t end = top + ((uint64_t)1 << class);
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end > have) {
        uint64_t pages = (end - have + PAGE - 1) / PAGE;
        if (pages > 65536 || __builtin_wasm_memory_grow(0, (size_t)pages) == (size_t)-1) return NULL;
    }
    void *taken = (void *)(uintptr_t)top;
    top = end;
    return taken;
}

void heap_give(void *block, uint32_t size) {
    if (!block) return;
    struct free_block *freed = block;
    uint32_t class = class_of(size);
    freed->next = free_blocks[class];
    free_blocks[class] = freed;
}
