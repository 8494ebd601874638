// What ordinary C programs use of a libc. Prints the same under every correct WASI.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

static int by_value(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("argument %d: %s\n", i, argv[i]);
    printf("NAME=%s\n", getenv("NAME") ? getenv("NAME") : "(unset)");

    printf("%d %5.2f %-6s| %x %lld %g %e %c %%\n", -42, 3.14159, "left", 255u, 1LL << 40, 1e-7, 12345.678, 'z');
    printf("%.17g %.17g %.17g\n", 0.1, sqrt(2), exp(1));
    printf("%.15g %.15g %.15g %.15g\n", sin(1e6), cos(0.5), pow(2, 0.5), log(10));
    printf("%f %f %f\n", NAN, INFINITY, -INFINITY);

    int numbers[1000];
    unsigned state = 1;
    for (int i = 0; i < 1000; i++) numbers[i] = (int)((state = state * 1103515245u + 12345u) >> 8);
    qsort(numbers, 1000, sizeof *numbers, by_value);
    int sorted = 1;
    for (int i = 1; i < 1000; i++) sorted &= numbers[i - 1] <= numbers[i];
    printf("sorted %d, median %d\n", sorted, numbers[500]);

    size_t total = 0;
    char *blocks[200];
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)(i * 7919 % 5000 + 1);
        blocks[i] = malloc(size);
        memset(blocks[i], i, size);
        total += size;
    }
    for (int i = 0; i < 200; i += 2) free(blocks[i]);
    for (int i = 1; i < 200; i += 2) {
        blocks[i] = realloc(blocks[i], 10000);
        total += (unsigned char)blocks[i][0];
        free(blocks[i]);
    }
    printf("allocated %zu\n", total);

    FILE *file = fopen("/tmp/numbers.txt", "w+");
    for (int i = 0; i < 20000; i++) fprintf(file, "%d\n", i * i);
    printf("wrote to %ld\n", ftell(file));
    rewind(file);
    long sum = 0;
    int value;
    while (fscanf(file, "%d", &value) == 1) sum += value % 1000;
    printf("sum %ld\n", sum);
    fseek(file, -10, SEEK_END);
    char tail[16] = {0};
    printf("tail %zu %s", fread(tail, 1, sizeof tail - 1, file), tail);
    fclose(file);
    printf("remove %d, again %d\n", remove("/tmp/numbers.txt"), remove("/tmp/numbers.txt") == 0 ? 0 : errno);

    struct tm when = {.tm_year = 126, .tm_mon = 0, .tm_mday = 31};
    char text[64];
    strftime(text, sizeof text, "%Y-%m-%d %A", gmtime(&(time_t){mktime(&when)}));
    printf("%s\n", text);
    char line[64];
    while (fgets(line, sizeof line, stdin)) printf("stdin: %s", line);
    FILE *result = fopen("/out/result.txt", "w");
    fputs("done\n", result);
    return fclose(result);
}
