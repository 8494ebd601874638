// The numbers of wasi_snapshot_preview1 that the library uses
// (WebAssembly/WASI, legacy/preview1/witx/typenames.witx).
#ifndef OUTCRY_WASI_H
#define OUTCRY_WASI_H
#include <stdint.h>

typedef uint32_t wasi_errno;
enum {
    E_OK = 0,
    E_BADF = 8,
    E_BUSY = 10,
    E_EXIST = 20,
    E_FAULT = 21,
    E_FBIG = 22,
    E_ILSEQ = 25,
    E_INVAL = 28,
    E_ISDIR = 31,
    E_MFILE = 33,
    E_MLINK = 34,
    E_NAMETOOLONG = 37,
    E_NOENT = 44,
    E_NOSPC = 51,
    E_NOSYS = 52,
    E_NOTDIR = 54,
    E_NOTEMPTY = 55,
    E_NOTSUP = 58,
    E_OVERFLOW = 61,
    E_PERM = 63,
    E_SPIPE = 70,
    E_NOTCAPABLE = 76,
};

enum { FILETYPE_UNKNOWN = 0, FILETYPE_DIRECTORY = 3, FILETYPE_REGULAR = 4 };
enum { OFLAG_CREAT = 1, OFLAG_DIRECTORY = 2, OFLAG_EXCL = 4, OFLAG_TRUNC = 8, OFLAG_ALL = 15 };
enum { FDFLAG_APPEND = 1, FDFLAG_ALL = 31 };
enum { FST_ATIM = 1, FST_ATIM_NOW = 2, FST_MTIM = 4, FST_MTIM_NOW = 8, FST_ALL = 15 };
enum { WHENCE_SET = 0, WHENCE_CUR = 1, WHENCE_END = 2 };
enum { ADVICE_MAX = 5 };
enum { EVENT_CLOCK = 0, EVENT_FD_READ = 1, EVENT_FD_WRITE = 2, EVENT_HANGUP = 1, CLOCK_ABSTIME = 1 };

#define RIGHT_FD_READ (UINT64_C(1) << 1)
#define RIGHT_FD_SEEK (UINT64_C(1) << 2)
#define RIGHT_FD_TELL (UINT64_C(1) << 5)
#define RIGHT_FD_WRITE (UINT64_C(1) << 6)
#define RIGHTS_ALL ((UINT64_C(1) << 30) - 1)

struct wasi_fdstat {
    uint8_t filetype;
    uint16_t flags;
    uint64_t rights_base, rights_inheriting;
};
struct wasi_filestat {
    uint64_t dev, ino;
    uint8_t filetype;
    uint64_t nlink, size, atim, mtim, ctim;
};
struct wasi_dirent {
    uint64_t next, ino;
    uint32_t namlen;
    uint8_t type;
};
struct wasi_event {
    uint64_t userdata;
    uint16_t error;
    uint8_t type;
    uint64_t nbytes;
    uint16_t flags;
};
struct wasi_subscription {
    uint64_t userdata;
    uint8_t tag;
    union {
        struct {
            uint32_t id;
            uint64_t timeout, precision;
            uint16_t flags;
        } clock;
        uint32_t fd;
    } u;
};
_Static_assert(sizeof(struct wasi_fdstat) == 24, "layout");
_Static_assert(sizeof(struct wasi_filestat) == 64, "layout");
_Static_assert(sizeof(struct wasi_dirent) == 24, "layout");
_Static_assert(sizeof(struct wasi_event) == 32, "layout");
_Static_assert(sizeof(struct wasi_subscription) == 48, "layout");
#endif
