// A conversation with the file system, every answer printed. Below /tmp, sorted where order is free,
// it reads the same on every system that follows POSIX.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *name(int error) {
    static char number[16];
    switch (error) {
        case 0: return "ok";
        case EBADF: return "EBADF";
        case EBUSY: return "EBUSY";
        case EEXIST: return "EEXIST";
        case EFBIG: return "EFBIG";
        case EINVAL: return "EINVAL";
        case EISDIR: return "EISDIR";
        case ENAMETOOLONG: return "ENAMETOOLONG";
        case ENOENT: return "ENOENT";
        case ENOTDIR: return "ENOTDIR";
        case ENOTEMPTY: return "ENOTEMPTY";
        case EPERM: return "EPERM";
        case ESPIPE: return "ESPIPE";
        case ENOTCAPABLE: return "ENOTCAPABLE";
    }
    snprintf(number, sizeof number, "errno %d", error);
    return number;
}

#define TRY(call) printf("%s -> %s\n", #call, (call) < 0 ? name(errno) : "ok")
#define VALUE(call) do { long long v_ = (long long)(call); \
    if (v_ < 0) printf("%s -> %s\n", #call, name(errno)); else printf("%s -> %lld\n", #call, v_); } while (0)

static int open_close(const char *path, int flags) {
    int fd = open(path, flags, 0666);
    if (fd >= 0) close(fd);
    return fd;
}

static int put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0) return -1;
    ssize_t done = write(fd, text, strlen(text));
    close(fd);
    return done == (ssize_t)strlen(text) ? 0 : -1;
}

static void show(const char *path) {
    char text[128];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        printf("%s: %s\n", path, name(errno));
        return;
    }
    ssize_t len = read(fd, text, sizeof text - 1);
    if (len < 0) printf("%s: %s\n", path, name(errno));
    else printf("%s: \"%.*s\"\n", path, (int)len, text);
    close(fd);
}

static void kind(const char *path) {
    struct stat s;
    if (stat(path, &s) < 0) printf("stat %s: %s\n", path, name(errno));
    else if (S_ISDIR(s.st_mode)) printf("stat %s: directory\n", path);
    else printf("stat %s: file of %lld, %d links\n", path, (long long)s.st_size, (int)s.st_nlink);
}

// Reads in full: a WASI may return less than was asked for.
static ssize_t read_all(int fd, char *bytes, size_t len, off_t at) {
    size_t done = 0;
    for (ssize_t n; done < len && (n = pread(fd, bytes + done, len - done, at + (off_t)done)) != 0; done += (size_t)n)
        if (n < 0) return n;
    return (ssize_t)done;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) {
        printf("list %s: %s\n", path, name(errno));
        return;
    }
    char *names[512];
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) && count < 512;)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) names[count++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    printf("list %s:", path);
    for (size_t i = 0; i < count; i++) printf(" %s", names[i]);
    printf("\n");
}

int main(void) {
    TRY(mkdir("/tmp/t", 0777));
    TRY(mkdir("/tmp/t", 0777));
    TRY(mkdir("/tmp/none/t", 0777));
    TRY(chdir("/tmp/t"));
    TRY(mkdir("d/", 0777));
    TRY(mkdir("d/e", 0777));
    TRY(put("d/f", "first"));
    TRY(mkdir("d/f", 0777));
    TRY(mkdir("d/f/g", 0777));
    TRY(rmdir("d"));
    TRY(rmdir("d/f"));
    TRY(rmdir("none"));
    TRY(unlink("d"));
    TRY(unlink("d/none"));
    TRY(open_close("d/f/", O_RDONLY));
    TRY(open_close("d/f/x", O_RDONLY));
    TRY(open_close("d", O_RDONLY));
    TRY(open_close("d", O_RDONLY | O_DIRECTORY));
    TRY(open_close("d", O_RDWR));
    TRY(open_close("d", O_RDONLY | O_CREAT));
    TRY(open_close("d/f", O_RDONLY | O_DIRECTORY));
    TRY(open_close("d/f", O_RDWR | O_CREAT | O_EXCL));
    TRY(open_close("new", O_RDWR));
    TRY(open_close("new", O_RDWR | O_CREAT | O_EXCL));
    TRY(open_close("slash/", O_RDWR | O_CREAT));
    TRY(open_close("", O_RDONLY));
    TRY(open_close("d/../d/./f", O_RDONLY));
    TRY(open_close("d/none/../f", O_RDONLY));
    TRY(open_close("d/f/../f", O_RDONLY));
    show("d/f");

    int fd = open("d/f", O_RDWR);
    VALUE(lseek(fd, 3, SEEK_SET));
    VALUE(write(fd, "XYZ", 3));
    VALUE(lseek(fd, 0, SEEK_CUR));
    VALUE(lseek(fd, -1, SEEK_END));
    VALUE(lseek(fd, -100, SEEK_CUR));
    VALUE(pwrite(fd, "!", 1, 8));
    VALUE(lseek(fd, 0, SEEK_CUR));
    char bytes[32] = {0};
    VALUE(pread(fd, bytes, 32, 0));
    for (int i = 0; i < 9; i++) printf("%02x ", bytes[i]);
    printf("\n");
    VALUE(pread(fd, bytes, 32, 1000));
    TRY(ftruncate(fd, 4));
    TRY(ftruncate(fd, 6));
    VALUE(pread(fd, bytes, 32, 0));
    for (int i = 0; i < 6; i++) printf("%02x ", bytes[i]);
    printf("\n");
    TRY(ftruncate(fd, -1));
    TRY(unlink("d/f"));
    kind("d/f");
    VALUE(pread(fd, bytes, 32, 0)); // still there for who holds it
    TRY(close(fd));
    TRY(close(fd));
    VALUE(read(fd, bytes, 1));

    fd = open("append", O_WRONLY | O_CREAT | O_APPEND, 0666);
    VALUE(write(fd, "one", 3));
    VALUE(lseek(fd, 0, SEEK_SET));
    VALUE(write(fd, "two", 3));
    VALUE(read(fd, bytes, 1));
    TRY(close(fd));
    show("append");
    fd = open("append", O_RDONLY);
    VALUE(write(fd, "x", 1));
    TRY(close(fd));
    TRY(open_close("append", O_WRONLY | O_TRUNC));
    kind("append");

    // A file in many chunks, with a hole.
    fd = open("big", O_RDWR | O_CREAT, 0666);
    static char chunk[70000];
    memset(chunk, 'b', sizeof chunk);
    VALUE(pwrite(fd, chunk, sizeof chunk, 100));
    VALUE(pwrite(fd, chunk, sizeof chunk, 300000));
    memset(chunk, 1, sizeof chunk);
    VALUE(read_all(fd, chunk, sizeof chunk, 40000));
    unsigned long sum = 0;
    for (size_t i = 0; i < sizeof chunk; i++) sum = sum * 31 + (unsigned char)chunk[i];
    printf("sum %lx\n", sum);
    TRY(ftruncate(fd, 65536));
    TRY(ftruncate(fd, 200000));
    VALUE(read_all(fd, chunk, sizeof chunk, 60000));
    for (size_t i = 0; i < sizeof chunk; i++) sum = sum * 31 + (unsigned char)chunk[i];
    printf("sum %lx\n", sum);
    TRY(close(fd));
    kind("big");

    TRY(put("a", "A"));
    TRY(put("b", "B"));
    TRY(rename("a", "b"));
    kind("a");
    show("b");
    TRY(rename("none", "x"));
    TRY(rename("b", "none/x"));
    TRY(rename("b", "d"));
    TRY(rename("d", "b"));
    TRY(rename("d", "d/e/x"));
    TRY(rename("d", "d"));
    TRY(rename("b", "b"));
    TRY(rename("b", "c/"));
    TRY(mkdir("full", 0777));
    TRY(put("full/x", "x"));
    TRY(rename("d", "full"));
    TRY(rename("full", "d"));
    TRY(rename("d/e", "e"));
    TRY(rename("full", "d"));
    list("d");
    show("d/x");
    kind("full");
    TRY(rename("d/x", "e/y"));
    list("d");
    list("e");

    TRY(link("e/y", "y2"));
    kind("y2");
    show("y2");
    TRY(link("e/y", "y2"));
    TRY(link("e", "e2"));
    TRY(link("none", "e2"));
    TRY(put("y2", "changed"));
    show("e/y");
    TRY(rename("e/y", "y2"));
    kind("e/y");
    TRY(unlink("e/y"));
    kind("y2");

    char long_name[300];
    memset(long_name, 'n', sizeof long_name);
    long_name[255] = 0;
    TRY(open_close(long_name, O_RDWR | O_CREAT));
    TRY(unlink(long_name));
    long_name[255] = 'n';
    long_name[256] = 0;
    TRY(open_close(long_name, O_RDWR | O_CREAT));

    // Removing while listing.
    TRY(mkdir("many", 0777));
    char path[64];
    for (int i = 0; i < 300; i++) {
        snprintf(path, sizeof path, "many/file-%03d-with-a-name-of-some-length", i);
        if (put(path, "") < 0) printf("%s: %s\n", path, name(errno));
    }
    int removed = 0;
    for (int pass = 0; pass < 300; pass++) {
        DIR *dir = opendir("many");
        int seen = 0;
        for (struct dirent *entry; (entry = readdir(dir));) {
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "many/%s", entry->d_name);
            if (unlink(path) < 0) printf("%s: %s\n", path, name(errno));
            removed++, seen++;
        }
        closedir(dir);
        if (!seen) break;
    }
    printf("removed %d\n", removed);
    TRY(rmdir("many"));
    TRY(rmdir("d"));

    // A directory removed under its holder.
    TRY(mkdir("gone", 0777));
    int dir = open("gone", O_RDONLY | O_DIRECTORY);
    TRY(rmdir("gone"));
    TRY(openat(dir, "x", O_RDWR | O_CREAT, 0666));
    TRY(mkdirat(dir, "x", 0777));
    TRY(openat(dir, "../append", O_RDONLY));
    TRY(close(dir));

    list("/in");
    list("/in/sub");
    show("/in/a.txt");
    TRY(put("/in/a.txt", "input may be changed"));
    show("/in/a.txt");
    fd = open("/in/sub/b.txt", O_RDWR);
    VALUE(pwrite(fd, "PATCH", 5, 70000));
    VALUE(pread(fd, bytes, 9, 69998));
    printf("%.9s\n", bytes);
    VALUE(lseek(fd, 0, SEEK_END));
    TRY(ftruncate(fd, 69999));
    TRY(ftruncate(fd, 70004));
    VALUE(pread(fd, bytes, 9, 69998));
    for (int i = 0; i < 6; i++) printf("%02x ", bytes[i]);
    printf("\n");
    TRY(close(fd));
    TRY(rename("/in/sub", "/out/sub"));
    TRY(mkdir("/out/empty", 0777));
    TRY(put("/out/empty.txt", "sorts before the directory's children"));
    list("/out");
    return 0;
}
