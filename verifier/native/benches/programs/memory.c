// Bound by memory: a chase through a random cycle, and sums over 32 MiB.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define N (1u << 22)

int main(void) {
    uint32_t *next = malloc(N * sizeof *next), *sum = malloc(N * sizeof *sum), x = 12345;
    for (uint32_t i = 0; i < N; i++) next[i] = i, sum[i] = i;
    for (uint32_t i = N - 1; i > 0; i--) { // Sattolo: one cycle through all
        x = x * 1664525u + 1013904223u;
        uint32_t j = (uint32_t)(((uint64_t)x * i) >> 32), swap = next[i];
        next[i] = next[j], next[j] = swap;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < 1500000; i++) at = next[at];
    uint64_t total = 0;
    for (int round = 0; round < 12; round++)
        for (uint32_t i = 0; i < N; i++) {
            sum[i] += next[i] ^ (uint32_t)round;
            total += sum[i];
        }
    printf("%u %llu\n", at, (unsigned long long)total);
    return 0;
}
