#ifndef OUTCRY_ARGUMENTS_H
#define OUTCRY_ARGUMENTS_H
#include <stdint.h>
// Where the mounted archive says that the arguments or the environment stand.
struct stretch {
    uint64_t at;
    uint32_t len;
};
extern struct stretch arguments_stretch, environment_stretch;
// Reads both from the archive.
void arguments_start(void);
#endif
