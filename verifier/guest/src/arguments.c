// Arguments and environment: NUL-terminated strings of the archive's `.outcry/args` and `.outcry/env`,
// the environment headed by which task of how many this is.
#include "arguments.h"

#include "heap.h"
#include "machine.h"
#include "task.h"
#include "wasi.h"

enum { STRINGS_MAX_BYTES = 1 << 20, TASK_VARIABLES_BYTES = 80 };

struct strings {
    uint8_t *bytes;
    uint32_t count, len;
};

struct stretch arguments_stretch, environment_stretch;
static struct strings arguments, environment;

// Appends "NAME=value\0".
static uint32_t variable(uint8_t *at, const char *name, uint64_t value) {
    uint8_t *start = at, digits[20];
    int count = 0;
    while (*name) *at++ = (uint8_t)*name++;
    *at++ = '=';
    do digits[count++] = (uint8_t)('0' + value % 10);
    while (value /= 10);
    while (count) *at++ = digits[--count];
    *at++ = 0;
    return (uint32_t)(at - start);
}

static void load(struct strings *strings, struct stretch stretch, uint32_t reserved) {
    require(stretch.len <= STRINGS_MAX_BYTES);
    strings->bytes = heap_take(reserved + stretch.len);
    require(strings->bytes != 0);
    if (reserved) {
        strings->len = variable(strings->bytes, "OUTCRY_TASK", task.index);
        strings->len += variable(strings->bytes + strings->len, "OUTCRY_TASKS", task.count);
    }
    require(host_read_input(STREAM_ARCHIVE, stretch.at, strings->bytes + strings->len, stretch.len) == stretch.len);
    strings->len += stretch.len;
    require(stretch.len == 0 || strings->bytes[strings->len - 1] == 0);
    for (uint32_t i = 0; i < strings->len; i++) strings->count += strings->bytes[i] == 0;
}

void arguments_start(void) {
    load(&arguments, arguments_stretch, 0);
    load(&environment, environment_stretch, TASK_VARIABLES_BYTES);
}

static wasi_errno give_sizes(const struct strings *strings, user_addr count, user_addr len) {
    if (!user_holds(count, 4) || !user_holds(len, 4)) return E_FAULT;
    user_store32(count, strings->count);
    user_store32(len, strings->len);
    return E_OK;
}

static wasi_errno give(const struct strings *strings, user_addr pointers, user_addr bytes) {
    if (!user_holds(pointers, (uint64_t)strings->count * 4) || !user_holds(bytes, strings->len)) return E_FAULT;
    if (strings->len) user_write(bytes, strings->bytes, strings->len);
    for (uint32_t i = 0, start = 0; i < strings->len; i++) {
        if (strings->bytes[i] != 0) continue;
        user_store32(pointers, bytes + start);
        pointers += 4;
        start = i + 1;
    }
    return E_OK;
}

EXPORT(args_sizes_get) wasi_errno args_sizes_get(user_addr count, user_addr len) {
    return give_sizes(&arguments, count, len);
}
EXPORT(args_get) wasi_errno args_get(user_addr pointers, user_addr bytes) { return give(&arguments, pointers, bytes); }
EXPORT(environ_sizes_get) wasi_errno environ_sizes_get(user_addr count, user_addr len) {
    return give_sizes(&environment, count, len);
}
EXPORT(environ_get) wasi_errno environ_get(user_addr pointers, user_addr bytes) {
    return give(&environment, pointers, bytes);
}
