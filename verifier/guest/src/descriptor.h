// The table of open descriptors.
#ifndef OUTCRY_DESCRIPTOR_H
#define OUTCRY_DESCRIPTOR_H
#include <stdbool.h>
#include <stdint.h>

#include "tree.h"

// Of these, as many as fit the memory can be open at once, but not more than this.
enum { DESCRIPTORS_MAX = 4096, PREOPEN = 3 };

enum kind { CLOSED = 0, STDIN, STDOUT, STDERR, FILE, DIRECTORY };

struct descriptor {
    uint8_t kind;
    bool preopened;
    uint16_t flags;
    struct node *node; // of a file or directory
    uint64_t rights, inheriting;
    uint64_t position; // in stdin or a file
    // Where the last fd_readdir stopped: valid while the directory's removals are the same.
    uint64_t cookie;
    struct entry *cookie_entry;
    uint32_t cookie_removals;
};

// What stdout, stderr received, and what stdin holds.
extern struct content standard[3];

// stdin, stdout, stderr and the directory "/"; traps without memory.
void descriptor_start(void);
// The open descriptor of that number; NULL if there is none.
struct descriptor *descriptor_at(uint32_t fd);
wasi_errno descriptor_directory(uint32_t fd, struct node **dir);
// The lowest free number, for `descriptor_open`: asked first, so that nothing is created in vain.
wasi_errno descriptor_next(uint32_t *fd);
void descriptor_open(uint32_t fd, struct node *node, uint16_t flags, uint64_t rights, uint64_t inheriting);
#endif
