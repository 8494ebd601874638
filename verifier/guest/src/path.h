// Paths as the user gives them, resolved to places in the tree.
#ifndef OUTCRY_PATH_H
#define OUTCRY_PATH_H
#include <stdbool.h>
#include <stdint.h>

#include "machine.h"
#include "tree.h"

enum { PATH_BYTES_MAX = 4096 };

// Where a path leads. The last component need not exist.
struct place {
    struct node *dir;      // the directory of the last component
    struct entry *entry;   // what it names there; NULL if nothing
    struct node *node;     // the same as a node
    const uint8_t *name;   // the last component; its length is 0 if the path ends in "." or ".."
    uint32_t length;
    bool slash;            // the path ends in a slash and so means a directory
    uint8_t bytes[PATH_BYTES_MAX];
};

// Resolves `path` (`len` bytes of UTF-8) from the directory that `fd` holds. Refuses with
// E_NOTCAPABLE what would lead out of that directory.
wasi_errno path_resolve(uint32_t fd, user_addr path, uint32_t len, struct place *place);
#endif
