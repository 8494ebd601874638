#ifndef OUTCRY_CLOCK_H
#define OUTCRY_CLOCK_H
#include <stdbool.h>
#include <stdint.h>

// Nanoseconds since the program's start, without advancing.
uint64_t clock_elapsed_ns(void);
// The same as a time of day, for the times of files.
uint64_t clock_now_ns(void);
// Whether there is such a clock; `*now_ns` receives its present value, without advancing.
bool clock_read(uint32_t id, uint64_t *now_ns);
// Lets the given time pass at once.
void clock_pass(uint64_t duration_ns);
#endif
