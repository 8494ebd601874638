// The task's header: seven big-endian 32-byte words, as the contract hashes them.
#include "task.h"

#include "machine.h"

enum { MACHINE_VERSION, JOB_HASH, TASK_INDEX, TASK_COUNT, ARCHIVE_LENGTH, OUTPUT_LIMIT, PAGE_LIMIT, WORDS };

struct task task;

// The word's low 64 bits; no header field needs more.
static uint64_t number(const uint8_t word[32]) {
    uint64_t value = 0;
    for (int i = 0; i < 24; i++) require(word[i] == 0);
    for (int i = 24; i < 32; i++) value = value << 8 | word[i];
    return value;
}

void task_read(void) {
    uint8_t words[WORDS][32];
    require(host_read_input(STREAM_TASK, 0, words, sizeof words) == sizeof words);
    __builtin_memcpy(task.job_hash, words[JOB_HASH], 32);
    task.index = number(words[TASK_INDEX]);
    task.count = number(words[TASK_COUNT]);
    task.archive_length = number(words[ARCHIVE_LENGTH]);
    task.output_limit = number(words[OUTPUT_LIMIT]);
}
