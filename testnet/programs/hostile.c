// Calls every WASI function with every kind of bad argument, and then checks that files still work.
// Exits 0 if each call returned an errno. Descriptor 3, the
// root directory, stays open. Only addresses outside of the program's own data, or inside of
// a buffer set aside, are passed, so that a correct library leaves this program unharmed.
#include <stdint.h>
#include <string.h>
#include <wasi/api.h>

#define CALL(function, ...) __imported_wasi_snapshot_preview1_##function(__VA_ARGS__)
#define IMPORT(function, ...) \
    int32_t CALL(function, __VA_ARGS__) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#function)))
IMPORT(args_get, int32_t, int32_t);
IMPORT(args_sizes_get, int32_t, int32_t);
IMPORT(environ_get, int32_t, int32_t);
IMPORT(environ_sizes_get, int32_t, int32_t);
IMPORT(clock_res_get, int32_t, int32_t);
IMPORT(clock_time_get, int32_t, int64_t, int32_t);
IMPORT(fd_advise, int32_t, int64_t, int64_t, int32_t);
IMPORT(fd_allocate, int32_t, int64_t, int64_t);
IMPORT(fd_close, int32_t);
IMPORT(fd_datasync, int32_t);
IMPORT(fd_fdstat_get, int32_t, int32_t);
IMPORT(fd_fdstat_set_flags, int32_t, int32_t);
IMPORT(fd_fdstat_set_rights, int32_t, int64_t, int64_t);
IMPORT(fd_filestat_get, int32_t, int32_t);
IMPORT(fd_filestat_set_size, int32_t, int64_t);
IMPORT(fd_filestat_set_times, int32_t, int64_t, int64_t, int32_t);
IMPORT(fd_pread, int32_t, int32_t, int32_t, int64_t, int32_t);
IMPORT(fd_prestat_get, int32_t, int32_t);
IMPORT(fd_prestat_dir_name, int32_t, int32_t, int32_t);
IMPORT(fd_pwrite, int32_t, int32_t, int32_t, int64_t, int32_t);
IMPORT(fd_read, int32_t, int32_t, int32_t, int32_t);
IMPORT(fd_readdir, int32_t, int32_t, int32_t, int64_t, int32_t);
IMPORT(fd_renumber, int32_t, int32_t);
IMPORT(fd_seek, int32_t, int64_t, int32_t, int32_t);
IMPORT(fd_sync, int32_t);
IMPORT(fd_tell, int32_t, int32_t);
IMPORT(fd_write, int32_t, int32_t, int32_t, int32_t);
IMPORT(path_create_directory, int32_t, int32_t, int32_t);
IMPORT(path_filestat_get, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(path_filestat_set_times, int32_t, int32_t, int32_t, int32_t, int64_t, int64_t, int32_t);
IMPORT(path_link, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(path_open, int32_t, int32_t, int32_t, int32_t, int32_t, int64_t, int64_t, int32_t, int32_t);
IMPORT(path_readlink, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(path_remove_directory, int32_t, int32_t, int32_t);
IMPORT(path_rename, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(path_symlink, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(path_unlink_file, int32_t, int32_t, int32_t);
IMPORT(poll_oneoff, int32_t, int32_t, int32_t, int32_t);
IMPORT(proc_raise, int32_t);
IMPORT(random_get, int32_t, int32_t);
IMPORT(sock_accept, int32_t, int32_t, int32_t);
IMPORT(sock_recv, int32_t, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(sock_send, int32_t, int32_t, int32_t, int32_t, int32_t);
IMPORT(sock_shutdown, int32_t, int32_t);

enum { SCRATCH = 8192, PATHS = 16, ERRNO_MAX = 76 };
static uint8_t scratch[SCRATCH];
static uint64_t state = 88172645463325252u;

static uint64_t random_bits(void) { // xorshift64 (Marsaglia 2003)
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static int32_t pick(const uint32_t *choices, uint32_t count) { return (int32_t)choices[random_bits() % count]; }
#define PICK(...) pick((const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

// An address in the scratch buffer, or one near or beyond the end of the memory.
static int32_t at(void) {
    uint32_t end = (uint32_t)(__builtin_wasm_memory_size(0) << 16);
    if (random_bits() % 3) return (int32_t)(uintptr_t)(scratch + random_bits() % (SCRATCH / 2));
    return PICK(end - 1, end, end + 1, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, end - 0xffff0000u);
}
// A length that fits the scratch buffer from any of its addresses, or one that overflows everything.
static int32_t len(void) {
    return PICK(0, 1, 2, 8, 63, 512, 4095, 0x40000000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff);
}
// Never 1 and 2, and bit 2 set where the descriptor would be changed: 3 must survive.
static int32_t fd(void) { return PICK(0, 3, 4, 5, 6, 7, 8, 15, 16, 100, 0x7fffffff, 0x80000000, 0xffffffff); }
static int32_t flags(void) { return PICK(0, 1, 2, 3, 4, 5, 8, 9, 16, 0x8000, 0xffffffff); }
static int64_t wide(void) {
    static const uint64_t choices[] = {0, 1, 2, 3, 100, 65536, 1u << 31, UINT64_C(1) << 32, 077777777777,
                                       UINT64_C(1) << 62, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
    return (int64_t)choices[random_bits() % (sizeof choices / 8)];
}

struct text {
    int32_t at, len;
};
// One of the paths at the start of a fresh scratch buffer, or any address and length.
static struct text path(void) {
    static const char *const paths[PATHS] = {
        "tmp", "tmp/a", "tmp/b", "tmp/a/b", "tmp/../tmp/a", "..", "../x", "/tmp/a", ".", "tmp/", "tmp//b/", "in", "tmp/\xff",
        "tmp/\xf0\x9f\x8c\x8d", "a/b/c", "out/",
    };
    if (random_bits() % 8 == 0) return (struct text){at(), len()};
    const char *text = paths[random_bits() % PATHS];
    size_t length = strlen(text);
    uint8_t *copy = scratch + SCRATCH / 2 + random_bits() % (SCRATCH / 4);
    memcpy(copy, text, length);
    return (struct text){(int32_t)(uintptr_t)copy, (int32_t)length};
}
// A list of buffers, well formed or not, and how many.
static struct text buffers(void) {
    uint32_t count = (uint32_t)(random_bits() % 5);
    uint32_t *list = (uint32_t *)(scratch + SCRATCH / 2 + random_bits() % 512 * 4);
    for (uint32_t i = 0; i < count; i++) {
        list[2 * i] = (uint32_t)at();
        list[2 * i + 1] = (uint32_t)len();
    }
    if (random_bits() % 8 == 0) return (struct text){at(), len()};
    return (struct text){(int32_t)(uintptr_t)list, (int32_t)count};
}

static uint32_t call(uint32_t which) {
    struct text p = path(), q = path(), b = buffers();
    switch (which) {
        case 0: return CALL(args_get, at(), at());
        case 1: return CALL(args_sizes_get, at(), at());
        case 2: return CALL(environ_get, at(), at());
        case 3: return CALL(environ_sizes_get, at(), at());
        case 4: return CALL(clock_res_get, flags(), at());
        case 5: return CALL(clock_time_get, flags(), wide(), at());
        case 6: return CALL(fd_advise, fd(), wide(), wide(), flags());
        case 7: return CALL(fd_allocate, fd(), wide(), wide());
        case 8: return random_bits() % 4 ? 0 : CALL(fd_close, fd() | 4);
        case 9: return CALL(fd_datasync, fd());
        case 10: return CALL(fd_fdstat_get, fd(), at());
        case 11: return CALL(fd_fdstat_set_flags, fd(), flags());
        case 12: return CALL(fd_fdstat_set_rights, fd() | 4, wide(), wide());
        case 13: return CALL(fd_filestat_get, fd(), at());
        case 14: return CALL(fd_filestat_set_size, fd(), wide());
        case 15: return CALL(fd_filestat_set_times, fd(), wide(), wide(), flags());
        case 16: return CALL(fd_pread, fd(), b.at, b.len, wide(), at());
        case 17: return CALL(fd_prestat_get, fd(), at());
        case 18: return CALL(fd_prestat_dir_name, fd(), at(), len());
        case 19: return CALL(fd_pwrite, fd(), b.at, b.len, wide(), at());
        case 20: return CALL(fd_read, fd(), b.at, b.len, at());
        case 21: return CALL(fd_readdir, fd(), at(), len(), wide(), at());
        case 22: return CALL(fd_renumber, fd() | 4, fd() | 4);
        case 23: return CALL(fd_seek, fd(), wide(), flags(), at());
        case 24: return CALL(fd_sync, fd());
        case 25: return CALL(fd_tell, fd(), at());
        case 26: return CALL(fd_write, fd(), b.at, b.len, at());
        case 27: return CALL(path_create_directory, fd(), p.at, p.len);
        case 28: return CALL(path_filestat_get, fd(), flags(), p.at, p.len, at());
        case 29: return CALL(path_filestat_set_times, fd(), flags(), p.at, p.len, wide(), wide(), flags());
        case 30: return CALL(path_link, fd(), flags(), p.at, p.len, fd(), q.at, q.len);
        case 31: return CALL(path_open, fd(), flags(), p.at, p.len, flags(), wide(), wide(), flags(), at());
        case 32: return CALL(path_open, 3, 0, p.at, p.len, flags() & 15, -1, -1, flags() & 1, at());
        case 33: return CALL(path_readlink, fd(), p.at, p.len, at(), len(), at());
        case 34: return CALL(path_remove_directory, fd(), p.at, p.len);
        case 35: return CALL(path_rename, fd(), p.at, p.len, fd(), q.at, q.len);
        case 36: return CALL(path_symlink, at(), len(), fd(), p.at, p.len);
        case 37: return CALL(path_unlink_file, fd(), p.at, p.len);
        case 38: return CALL(poll_oneoff, at(), at(), PICK(0, 1, 2, 5, 0x05555556, 0x80000000, 0xffffffff), at());
        case 39: return CALL(proc_raise, flags());
        case 40: return CALL(random_get, at(), len());
        case 41: return CALL(sock_accept, fd(), flags(), at());
        case 42: return CALL(sock_recv, fd(), b.at, b.len, flags(), at(), at());
        case 43: return CALL(sock_send, fd(), b.at, b.len, flags(), at());
        case 44: return CALL(sock_shutdown, fd(), flags());
        default: return CALL(path_rename, 3, p.at, p.len, 3, q.at, q.len);
    }
}

int main(void) {
    uint32_t succeeded = 0;
    for (uint32_t round = 0; round < 300000; round++) {
        uint32_t errno_ = call((uint32_t)(random_bits() % 46));
        if (errno_ > ERRNO_MAX) return 1;
        succeeded += errno_ == 0;
    }
    if (succeeded < 1000) return 2; // then the arguments were all bad, which tests little

    static const char name[] = "out/after", text[] = "still here";
    int32_t file = -1, done = 0;
    CALL(path_create_directory, 3, (int32_t)(uintptr_t) "out", 3);
    if (CALL(path_open, 3, 0, (int32_t)(uintptr_t)name, sizeof name - 1, 1 | 8, 1 << 6, 0, 0, (int32_t)(uintptr_t)&file))
        return 3;
    uint32_t list[2] = {(uint32_t)(uintptr_t)text, sizeof text - 1};
    return CALL(fd_write, file, (int32_t)(uintptr_t)list, 1, (int32_t)(uintptr_t)&done) == 0 && done == 10 ? 0 : 4;
}
