// A bytecode interpreter: one switch in one loop.
#include <stdint.h>
#include <stdio.h>

enum op { PUSH, ADD, MUL, XOR, DUP, SWAP, LOAD, STORE, JNZ, DEC, HALT };

int main(void) {
    static const int32_t code[] = {
        PUSH, 16000000, STORE, 0, PUSH, 1, STORE, 1,
        LOAD, 1, PUSH, 31, MUL, LOAD, 0, XOR, DUP, PUSH, 7, ADD, SWAP, ADD, STORE, 1,
        LOAD, 0, DEC, STORE, 0, LOAD, 0, JNZ, 8, HALT};
    int32_t stack[16], memory[4] = {0}, *top = stack;
    for (const int32_t *pc = code;;) {
        switch ((enum op)*pc++) {
        case PUSH: *top++ = *pc++; break;
        case ADD: top--, top[-1] = (int32_t)((uint32_t)top[-1] + (uint32_t)top[0]); break;
        case MUL: top--, top[-1] = (int32_t)((uint32_t)top[-1] * (uint32_t)top[0]); break;
        case XOR: top--, top[-1] ^= top[0]; break;
        case DUP: top[0] = top[-1], top++; break;
        case SWAP: { int32_t t = top[-1]; top[-1] = top[-2], top[-2] = t; break; }
        case LOAD: *top++ = memory[*pc++]; break;
        case STORE: memory[*pc++] = *--top; break;
        case JNZ: pc = *--top ? code + *pc : pc + 1; break;
        case DEC: top[-1]--; break;
        case HALT: printf("%d\n", memory[1]); return 0;
        }
    }
}
