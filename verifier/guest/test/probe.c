// Small questions to the library, chosen by the first argument; answers go to stdout as bytes or lines.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wasi/api.h>

static int fail(const char *what, __wasi_errno_t error) {
    fprintf(stderr, "%s: errno %d\n", what, error);
    return 1;
}

static int random_bytes(void) {
    uint8_t bytes[300];
    for (uint32_t start = 0, step = 1; start < sizeof bytes; start += step, step = step * 2 + 1) {
        if (step > sizeof bytes - start) step = sizeof bytes - start;
        if (__wasi_random_get(bytes + start, step)) return 1;
    }
    return fwrite(bytes, 1, sizeof bytes, stdout) == sizeof bytes ? 0 : 1;
}

static int clocks(void) {
    for (uint32_t id = 0; id < 5; id++) {
        __wasi_timestamp_t time = 0, resolution = 0;
        int error = __wasi_clock_time_get(id, 1, &time);
        __wasi_clock_res_get(id, &resolution);
        printf("clock %u: errno %d, %llu, resolution %llu\n", id, error, time, resolution);
    }
    __wasi_subscription_t waits[3] = {
        {.userdata = 1, .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u.clock = {.id = 1, .timeout = 5000000000}}},
        {.userdata = 2, .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u.clock = {.id = 1, .timeout = 2000000000}}},
        {.userdata = 3, .u = {.tag = __WASI_EVENTTYPE_CLOCK, .u.clock = {.id = 9, .timeout = 0}}},
    };
    __wasi_event_t events[3];
    __wasi_size_t count;
    for (int n = 2; n <= 3; n++) {
        if (__wasi_poll_oneoff(waits, events, n, &count)) return 1;
        for (__wasi_size_t i = 0; i < count; i++)
            printf("event %llu: errno %d, type %d\n", events[i].userdata, events[i].error, events[i].type);
    }
    __wasi_timestamp_t time;
    __wasi_clock_time_get(1, 1, &time);
    printf("after the sleep %llu\n", time);
    __wasi_subscription_t ready[2] = {
        {.userdata = 4, .u = {.tag = __WASI_EVENTTYPE_FD_READ, .u.fd_read = {.file_descriptor = 0}}},
        {.userdata = 5, .u = {.tag = __WASI_EVENTTYPE_FD_WRITE, .u.fd_write = {.file_descriptor = 77}}},
    };
    if (__wasi_poll_oneoff(ready, events, 2, &count)) return 1;
    for (__wasi_size_t i = 0; i < count; i++)
        printf("event %llu: errno %d, bytes %llu, flags %d\n", events[i].userdata, events[i].error,
               events[i].fd_readwrite.nbytes, events[i].fd_readwrite.flags);
    return 0;
}

// What cannot be archived must not come into being below /out.
static int names(void) {
    char path[600];
    snprintf(path, sizeof path, "/out/%0101d", 1);
    printf("name of 101: %d\n", fopen(path, "w") != NULL);
    snprintf(path, sizeof path, "/tmp/%0101d", 1);
    printf("the same elsewhere: %d\n", fopen(path, "w") != NULL);
    char target[700];
    snprintf(target, sizeof target, "/out/%0101d", 1);
    printf("moved there: %d\n", rename(path, target));
    printf("linked there: %d\n", link(path, target));
    snprintf(path, sizeof path, "/out/%0100d", 2);
    printf("name of 100: %d\n", fopen(path, "w") != NULL);
    mkdir("/tmp/deep", 0777);
    strcpy(path, "/tmp/deep");
    for (int i = 0; i < 12; i++) {
        snprintf(path + strlen(path), 32, "/%020d", i);
        if (mkdir(path, 0777)) return fail(path, 0);
    }
    printf("a deep folder moved to /out: %d\n", rename("/tmp/deep", "/out/deep"));
    rmdir(path);
    for (int i = 0; i < 3; i++) *strrchr(path, '/') = 0, rmdir(path);
    printf("a less deep one: %d\n", rename("/tmp/deep", "/out/deep"));
    printf("out of the way: %d %d\n", rename("/out", "/tmp/out"), rmdir("/tmp"));
    return 0;
}

static int last_fd(void) {
    uint32_t fd = 0, opened = 0;
    while (__wasi_path_open(3, 0, "in", __WASI_OFLAGS_DIRECTORY, 0, 0, 0, (int *)&fd) == 0) opened++;
    printf("opened %u, the last is %u\n", opened, fd);
    __wasi_fd_close(100);
    __wasi_fd_close(50);
    __wasi_path_open(3, 0, "in", __WASI_OFLAGS_DIRECTORY, 0, 0, 0, (int *)&fd);
    printf("then %u\n", fd);
    return __wasi_fd_renumber(fd, 100) ? 0 : 1; // 100 is closed
}

// Files of many sizes, each filled with a byte that follows from its size.
static int sizes(void) {
    static char bytes[100000];
    for (int size = 0; size < (int)sizeof bytes; size += 499) {
        char path[64];
        snprintf(path, sizeof path, "/out/%d", size);
        memset(bytes, size % 251, size);
        FILE *file = fopen(path, "w");
        if (!file || fwrite(bytes, 1, size, file) != (size_t)size || fclose(file)) return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *which = argc > 1 ? argv[1] : "";
    if (!strcmp(which, "random")) return random_bytes();
    if (!strcmp(which, "clocks")) return clocks();
    if (!strcmp(which, "names")) return names();
    if (!strcmp(which, "descriptors")) return last_fd();
    if (!strcmp(which, "sizes")) return sizes();
    if (!strcmp(which, "many"))
        for (int i = 0; i < 3000; i++) {
            char path[64];
            snprintf(path, sizeof path, "/out/%d/%d.txt", i % 7, (i * 7919) % 3000);
            if (i < 7) snprintf(path, sizeof path, "/out/%d", i), mkdir(path, 0777), path[0] = 0;
            FILE *file = path[0] ? fopen(path, "w") : NULL;
            if (file) fprintf(file, "%d", i), fclose(file);
        }
    return 0;
}
