// The file system: nodes (files and directories) and the entries that name them.
#ifndef OUTCRY_TREE_H
#define OUTCRY_TREE_H
#include <stdbool.h>
#include <stdint.h>

#include "content.h"
#include "wasi.h"

enum { NAME_MAX = 255, ARCHIVE_PATH_MAX = 255 };

struct entry;

struct node {
    uint64_t number; // inode number
    uint64_t atim, mtim, ctim;
    uint32_t links; // entries that name it; 0 for a removed directory
    uint32_t opens; // descriptors that hold it
    uint8_t type;   // FILETYPE_DIRECTORY or FILETYPE_REGULAR
    bool fixed;     // a directory that the job's interface names: cannot be moved or removed
    union {
        struct content file;
        struct {
            struct entry *self;         // the entry that names this directory; NULL for the root
            struct entry *first, *last; // children, oldest first
            uint64_t next_serial;
            uint32_t removals; // entries ever removed: tells whether a remembered entry still lives
        } dir;
    } as;
};

struct entry {
    struct node *node, *dir;
    struct entry *next_in_bucket, *before, *after;
    uint64_t serial; // position in its directory, ascending, never used twice
    uint32_t hash;
    uint32_t length;
    uint8_t name[];
};

enum { SERIAL_SELF = 1, SERIAL_PARENT = 2, SERIAL_FIRST = 3 };

struct tree {
    struct node *root;
    struct node *out; // what lies below is the job's result
};
extern struct tree tree;

static inline bool is_dir(const struct node *node) { return node->type == FILETYPE_DIRECTORY; }

// The root and the directories /in, /out and /tmp; traps if not even these fit the memory.
void tree_start(void);
// The entry of that name, or NULL.
struct entry *tree_find(const struct node *dir, const uint8_t *name, uint32_t length);
// A new empty node under a name that does not exist yet.
wasi_errno tree_create(struct node *dir, const uint8_t *name, uint32_t length, uint8_t type, struct entry **created);
// A further name for a file; the name must not exist yet.
wasi_errno tree_link(struct node *dir, const uint8_t *name, uint32_t length, struct node *file);
// Removes a name; its node goes with the last name and the last descriptor.
void tree_remove(struct entry *entry);
// Gives an entry another place; `replaced`, if not NULL, is the entry that has that place now.
wasi_errno tree_move(struct entry *entry, struct node *dir, const uint8_t *name, uint32_t length,
                     struct entry *replaced);
// Frees the node if nothing names or holds it any more.
void tree_release(struct node *node);
// The next entry of the subtree below `top`, parents first; start with NULL.
struct entry *tree_next(const struct node *top, struct entry *entry);
#endif
