// The ways in which a task can end. usage: ends trap | exit CODE | spin | hog | fill | flood | recurse | divide | print TEXT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int zero;

static int recurse(volatile int depth) {
    volatile int frame[64];
    frame[depth & 63] = depth;
    return zero ? 0 : recurse(depth + 1) + frame[depth & 63];
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (!strcmp(how, "trap")) __builtin_trap();
    if (!strcmp(how, "exit")) return argc > 2 ? atoi(argv[2]) : 7;
    if (!strcmp(how, "divide")) return 100 / zero;
    if (!strcmp(how, "recurse")) return recurse(0);
    if (!strcmp(how, "spin"))
        for (;;) zero = 0;
    if (!strcmp(how, "hog")) { // all the memory there is, then an orderly end
        size_t taken = 0;
        for (char *volatile block; (block = malloc(1 << 20)); taken++) memset(block, 1, 1 << 20);
        printf("no more memory\n");
        return taken > 0 ? 3 : 4;
    }
    if (!strcmp(how, "fill")) { // files in /tmp until nothing fits, then an orderly end that needs no memory
        static char block[65536];
        FILE *kept = fopen("/out/kept", "w"), *file = fopen("/tmp/fill", "w");
        if (!kept || !file || fputs("kept", kept) < 0 || fclose(kept) != 0) return 4;
        setvbuf(file, NULL, _IONBF, 0);
        while (fwrite(block, 1, sizeof block, file) == sizeof block) {}
        return 9;
    }
    if (!strcmp(how, "flood")) {
        static char line[4096];
        memset(line, 'x', sizeof line);
        for (;;) fwrite(line, 1, sizeof line, stdout);
    }
    if (!strcmp(how, "print")) {
        printf("%s\n", argc > 2 ? argv[2] : "hello");
        return 0;
    }
    fprintf(stderr, "usage: ends trap | exit CODE | spin | hog | fill | flood | recurse | divide | print TEXT\n");
    return 2;
}
