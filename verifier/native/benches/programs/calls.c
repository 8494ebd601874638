// Calls and little else: recursion, mutual recursion, function pointers.
#include <stdint.h>
#include <stdio.h>

__attribute__((noinline)) static uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

__attribute__((noinline)) static uint32_t ackermann(uint32_t m, uint32_t n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

static uint32_t add(uint32_t a) { return a + 7; }
static uint32_t twist(uint32_t a) { return a ^ (a << 3); }
static uint32_t mix(uint32_t a) { return a * 2654435761u; }
static uint32_t (*volatile const table[4])(uint32_t) = {add, twist, mix, add};

int queens(int n, uint32_t columns, uint32_t left, uint32_t right) {
    uint32_t all = (1u << n) - 1, free = all & ~(columns | left | right);
    int count = columns == all;
    while (free) {
        uint32_t bit = free & -free;
        free ^= bit;
        count += queens(n, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return count;
}

int main(void) {
    uint32_t x = 1;
    for (uint32_t i = 0; i < 60000000; i++) x = table[x & 3](x);
    printf("%u %u %d %u\n", fib(36), ackermann(2, 4000), queens(10, 0, 0, 0), x);
    return 0;
}
