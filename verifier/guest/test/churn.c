// Thousands of random file operations from a seed; a digest of all answers is printed now and then, so
// that two systems can be compared. usage: churn SEED COUNT
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_MAX = 6, BYTES_MAX = 200000 };

static uint64_t state, digest = 14695981039346656037u;
static uint8_t bytes[BYTES_MAX];

static uint32_t below(uint32_t n) { // xorshift64* (Vigna 2014)
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 2685821657736338717u) >> 33) % n;
}

static void note(int64_t value) {
    if (value < 0) value = -errno;
    for (int i = 0; i < 64; i += 8) digest = (digest ^ (uint8_t)(value >> i)) * 1099511628211u;
}
static void note_bytes(const void *data, size_t len) {
    for (size_t i = 0; i < len; i++) digest = (digest ^ ((const uint8_t *)data)[i]) * 1099511628211u;
}

static const char *path(void) {
    static char texts[2][64];
    static int turn;
    char *text = texts[turn ^= 1], *at = text + sprintf(text, "/tmp");
    for (uint32_t depth = 1 + below(3); depth > 0; depth--) at += sprintf(at, "/%c", 'a' + (int)below(4));
    return text;
}

// Offsets and lengths around the chunk's size are the interesting ones.
static off_t offset(void) { return (off_t)(below(3) ? below(2000) : below(4) * 65536 + below(5)); }
static size_t length(void) { return below(3) ? below(300) : 65530 + below(12) + below(2) * 65536; }

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static void list(const char *where) {
    char names[64][8];
    size_t count = 0;
    DIR *dir = opendir(where);
    note(dir ? 1 : -1);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir)) && count < 64;)
        if (entry->d_name[0] != '.') strncpy(names[count++], entry->d_name, 7)[7] = 0;
    closedir(dir);
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++) note_bytes(names[i], strlen(names[i]));
}

static ssize_t read_all(int fd, size_t len, off_t at) {
    size_t done = 0;
    for (ssize_t n; done < len && (n = pread(fd, bytes + done, len - done, at + (off_t)done)) != 0; done += (size_t)n)
        if (n < 0) return n;
    return (ssize_t)done;
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    state = strtoull(argv[1], NULL, 10) * 2 + 1;
    uint32_t count = (uint32_t)atoi(argv[2]);
    int fds[OPEN_MAX];
    for (int i = 0; i < OPEN_MAX; i++) fds[i] = -1;
    for (uint32_t step = 1; step <= count; step++) {
        uint32_t which = below(OPEN_MAX);
        int fd = fds[which];
        struct stat s;
        switch (below(14)) {
            case 0:
            case 1:
                if (fd >= 0) close(fd);
                fds[which] = open(path(), O_RDWR | (below(4) ? O_CREAT : 0) | (below(6) ? 0 : O_TRUNC), 0666);
                note(fds[which] < 0 ? -1 : 1);
                break;
            case 2:
            case 3: {
                size_t len = length();
                memset(bytes, (int)step, len);
                note(pwrite(fd, bytes, len, offset()));
                break;
            }
            case 4:
            case 5: {
                ssize_t len = read_all(fd, length(), offset());
                note(len);
                if (len > 0) note_bytes(bytes, (size_t)len);
                break;
            }
            case 6: note(ftruncate(fd, offset())); break;
            case 7: note(mkdir(path(), 0777)); break;
            case 8: note(rmdir(path())); break;
            case 9: note(unlink(path())); break;
            case 10: note(rename(path(), path())); break;
            case 11: note(link(path(), path())); break;
            case 12: list(path()); break;
            case 13: {
                int result = stat(path(), &s);
                note(result < 0 ? -1 : S_ISDIR(s.st_mode) ? 1 : 1000 + s.st_size * 100 + (int64_t)s.st_nlink);
                break;
            }
        }
        if (step % 100 == 0) printf("%u: %016llx\n", step, (unsigned long long)digest);
    }
    return 0;
}
