#include "siphash.h"

#include <string.h>

typedef struct state {
    uint64_t v0, v1, v2, v3;
} state_t;

static inline uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

/* gcc 12 makes a function of it at -O2, which keeps the state in memory and takes twice as long. */
#define INLINE static inline __attribute__((always_inline))

INLINE void turn(state_t *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

INLINE void take(state_t *s, uint64_t word)
{
    s->v3 ^= word;
    turn(s);
    s->v0 ^= word;
}

uint64_t emi_siphash(const uint64_t secret[2], const uint8_t *bytes, size_t length)
{
    state_t s = {secret[0] ^ UINT64_C(0x736f6d6570736575), secret[1] ^ UINT64_C(0x646f72616e646f6d),
                 secret[0] ^ UINT64_C(0x6c7967656e657261), secret[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t word;
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        memcpy(&word, bytes + at, 8);
        take(&s, word);
    }
    word = (uint64_t)length << 56;
    for (size_t i = at; i < length; i++)
        word |= (uint64_t)bytes[i] << 8 * (i - at);
    take(&s, word);
    s.v2 ^= 0xff;
    turn(&s);
    turn(&s);
    turn(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
