// LZ77 with a hash table over generated text, then decompression and comparison.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE (4u << 20)
#define HASH_BITS 15

static uint32_t load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static uint8_t *put_length(uint8_t *out, uint32_t length) {
    for (; length >= 255; length -= 255) *out++ = 255;
    *out++ = (uint8_t)length;
    return out;
}

static uint32_t compress(const uint8_t *in, uint32_t size, uint8_t *out) {
    static uint32_t table[1 << HASH_BITS];
    memset(table, 0, sizeof table);
    uint8_t *start = out;
    uint32_t anchor = 0, at = 1;
    while (at + 8 < size) {
        uint32_t word = load32(in + at), slot = (word * 2654435761u) >> (32 - HASH_BITS);
        uint32_t candidate = table[slot];
        table[slot] = at;
        if (load32(in + candidate) == word && at - candidate < 65536) {
            uint32_t length = 4;
            while (at + length < size - 8 && in[candidate + length] == in[at + length]) length++;
            out = put_length(out, at - anchor);
            memcpy(out, in + anchor, at - anchor);
            out += at - anchor;
            *out++ = (uint8_t)(at - candidate), *out++ = (uint8_t)((at - candidate) >> 8);
            out = put_length(out, length);
            at += length;
            anchor = at;
        } else {
            at++;
        }
    }
    out = put_length(out, size - anchor);
    memcpy(out, in + anchor, size - anchor);
    return (uint32_t)(out - start) + (size - anchor);
}

static uint32_t get_length(const uint8_t **in) {
    uint32_t length = 0, byte;
    do length += byte = *(*in)++;
    while (byte == 255);
    return length;
}

static void decompress(const uint8_t *in, uint8_t *out, uint32_t size) {
    uint32_t at = 0;
    for (;;) {
        uint32_t literals = get_length(&in);
        memcpy(out + at, in, literals);
        at += literals, in += literals;
        if (at >= size) return;
        uint32_t distance = in[0] | in[1] << 8;
        in += 2;
        uint32_t length = get_length(&in);
        for (uint32_t i = 0; i < length; i++, at++) out[at] = out[at - distance];
    }
}

int main(void) {
    uint8_t *text = malloc(SIZE), *packed = malloc(SIZE * 2), *back = malloc(SIZE);
    uint32_t x = 1, at = 0;
    while (at + 16 < SIZE) { // words of a small vocabulary, as in text
        x = x * 1664525u + 1013904223u;
        uint32_t word = (x >> 20) * (x >> 22) >> 12, length = 3 + word % 7;
        for (uint32_t i = 0; i < length; i++) text[at++] = (uint8_t)('a' + (word * 31 + i * 17) % 26);
        text[at++] = ' ';
    }
    while (at < SIZE) text[at++] = '.';
    uint32_t size = 0;
    for (int round = 0; round < 6; round++) {
        size = compress(text, SIZE, packed);
        decompress(packed, back, SIZE);
        if (memcmp(text, back, SIZE) != 0) return 1;
        text[round * 1000] ^= 1;
    }
    printf("%u\n", size);
    return 0;
}
