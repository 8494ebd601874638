// Random bytes are the ChaCha20 key stream (Bernstein 2008: 64-bit counter, 64-bit nonce) with the
// job's hash as key and the task's index as nonce: different for every task, and the same for
// everybody who runs it. A program gets no secrets here, and could not keep one anyway.
#include "random.h"

#include "machine.h"
#include "wasi.h"

enum { BLOCK = 64 };

static uint32_t state[16];
static uint32_t block[16];
static uint32_t used = BLOCK;

void random_seed(const uint8_t key[32], uint64_t nonce) {
    static const char constant[] = "expand 32-byte k";
    __builtin_memcpy(state, constant, 16);
    __builtin_memcpy(state + 4, key, 32);
    state[12] = state[13] = 0;
    state[14] = (uint32_t)nonce;
    state[15] = (uint32_t)(nonce >> 32);
    used = BLOCK;
}

static inline void quarter(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d) {
    *a += *b, *d ^= *a, *d = *d << 16 | *d >> 16;
    *c += *d, *b ^= *c, *b = *b << 12 | *b >> 20;
    *a += *b, *d ^= *a, *d = *d << 8 | *d >> 24;
    *c += *d, *b ^= *c, *b = *b << 7 | *b >> 25;
}

static void next_block(void) {
    uint32_t x[16];
    __builtin_memcpy(x, state, sizeof x);
    for (int round = 0; round < 20; round += 2) {
        for (int i = 0; i < 4; i++) quarter(&x[i], &x[4 + i], &x[8 + i], &x[12 + i]);
        for (int i = 0; i < 4; i++) quarter(&x[i], &x[4 + (i + 1) % 4], &x[8 + (i + 2) % 4], &x[12 + (i + 3) % 4]);
    }
    for (int i = 0; i < 16; i++) block[i] = x[i] + state[i];
    if (++state[12] == 0) state[13]++;
    used = 0;
}

EXPORT(random_get) wasi_errno random_get(user_addr at, uint32_t len) {
    if (!user_holds(at, len)) return E_FAULT;
    while (len > 0) {
        if (used == BLOCK) next_block();
        uint32_t run = len < BLOCK - used ? len : BLOCK - used;
        user_write(at, (const uint8_t *)block + used, run);
        used += run;
        at += run;
        len -= run;
    }
    return E_OK;
}
