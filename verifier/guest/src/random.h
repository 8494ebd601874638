#ifndef OUTCRY_RANDOM_H
#define OUTCRY_RANDOM_H
#include <stdint.h>
// Seeds the generator with the identity of the task.
void random_seed(const uint8_t key[32], uint64_t nonce);
#endif
