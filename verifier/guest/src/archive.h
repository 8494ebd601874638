// The canonical form of archives, as verifier/src/archive.rs defines it: POSIX ustar whose header
// fields follow from path, kind and size alone.
#ifndef OUTCRY_ARCHIVE_H
#define OUTCRY_ARCHIVE_H
#include <stdbool.h>
#include <stdint.h>

#include "tree.h"

enum { BLOCK = 512 };

// Mounts the input archive at the root. What lies in `.outcry/` is the machine's own: arguments,
// environment and stdin. Traps on a malformed archive: loaders refuse it before a program runs.
void archive_mount(void);

// Writes the header of an entry; the path must be one that fits (see `archive_can_hold`).
void archive_header(uint8_t header[BLOCK], const uint8_t *path, uint32_t length, bool directory, uint64_t size);

// Whether a new entry could be written to the output archive, its path being short enough. `moved` is
// a directory that goes there with all that lies below, or NULL. True for all that is not in /out.
bool archive_can_hold(struct node *moved, bool directory, const struct node *dir, const uint8_t *name,
                      uint32_t length);
#endif
