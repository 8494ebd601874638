#ifndef OUTCRY_TASK_H
#define OUTCRY_TASK_H
#include <stdint.h>

// What the task's header (stream 0) says.
struct task {
    uint8_t job_hash[32];
    uint64_t index, count, archive_length, output_limit;
};
extern struct task task;
void task_read(void);
#endif
