// The mix of a well-known integer benchmark: linked lists, integer matrices, a state machine, CRC.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct node { struct node *next; int16_t value, key; } node;

static uint16_t crc16(uint16_t crc, uint16_t word) {
    for (int i = 0; i < 16; i++) {
        uint16_t carry = (crc ^ word) & 1;
        crc >>= 1, word >>= 1;
        if (carry) crc ^= 0xa001;
    }
    return crc;
}

static node *merge(node *a, node *b, int by_key) {
    node head = {0}, *last = &head;
    while (a && b) {
        int before = by_key ? a->key <= b->key : a->value <= b->value;
        node **take = before ? &a : &b;
        last = last->next = *take;
        *take = (*take)->next;
    }
    last->next = a ? a : b;
    return head.next;
}

static node *sort(node *list, int by_key) {
    if (!list || !list->next) return list;
    node *slow = list, *fast = list->next;
    while (fast && fast->next) slow = slow->next, fast = fast->next->next;
    node *rest = slow->next;
    slow->next = NULL;
    return merge(sort(list, by_key), sort(rest, by_key), by_key);
}

#define N 24
static int32_t matrix(int32_t *a, int32_t *b, int32_t *c, int32_t seed) {
    int32_t sum = 0;
    for (int i = 0; i < N * N; i++) a[i] = (int16_t)(seed * i), b[i] = (int16_t)(seed + i);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            int32_t cell = 0;
            for (int k = 0; k < N; k++) cell += a[i * N + k] * b[k * N + j];
            c[i * N + j] = cell;
            sum += cell > 0 ? cell >> 3 : 1;
        }
    return sum;
}

enum state { START, INTEGER, FLOATING, EXPONENT, SIGNED_EXPONENT, INVALID, STATES };
static enum state scan(const char **text) {
    enum state state = START;
    for (; **text && **text != ','; ++*text) {
        char c = **text;
        int digit = c >= '0' && c <= '9';
        switch (state) {
        case START: state = digit || c == '+' || c == '-' ? INTEGER : c == '.' ? FLOATING : INVALID; break;
        case INTEGER: state = digit ? INTEGER : c == '.' ? FLOATING : c == 'e' ? EXPONENT : INVALID; break;
        case FLOATING: state = digit ? FLOATING : c == 'e' ? EXPONENT : INVALID; break;
        case EXPONENT: state = digit || c == '-' || c == '+' ? SIGNED_EXPONENT : INVALID; break;
        case SIGNED_EXPONENT: state = digit ? SIGNED_EXPONENT : INVALID; break;
        default: break;
        }
    }
    if (**text) ++*text;
    return state;
}

int main(void) {
    static node nodes[400];
    static int32_t a[N * N], b[N * N], c[N * N];
    static const char text[] = "5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,"
                               "+0.6e-12,T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^";
    uint16_t crc = 0xffff;
    for (int round = 0; round < 6000; round++) {
        node *list = NULL;
        for (int i = 0; i < 400; i++) {
            nodes[i] = (node){list, (int16_t)(i * 7919 + round * 31), (int16_t)i};
            list = &nodes[i];
        }
        list = sort(list, 0);
        for (node *n = list; n; n = n->next) crc = crc16(crc, (uint16_t)n->value);
        list = sort(list, 1);
        for (node *n = list; n; n = n->next) crc = crc16(crc, (uint16_t)n->key);
        crc = crc16(crc, (uint16_t)matrix(a, b, c, round));
        int counts[STATES] = {0};
        for (int again = 0; again < 10; again++)
            for (const char *p = text; *p;) counts[scan(&p)]++;
        for (int i = 0; i < STATES; i++) crc = crc16(crc, (uint16_t)counts[i]);
    }
    printf("%04x\n", crc);
    return 0;
}
