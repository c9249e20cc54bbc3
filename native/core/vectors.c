#include "vectors.h"

#include <string.h>

bool emi_vectors_total(const struct iovec *list, size_t count, uint64_t *total)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].iov_len > INT64_MAX - sum)
            return false;
        sum += list[i].iov_len;
    }
    *total = sum;
    return true;
}

/* The next contiguous run of at most `length` bytes. */
static uint8_t *advance(vectors_t *self, size_t length, size_t *run)
{
    while (self->taken == self->next->iov_len) {
        self->next++;
        self->taken = 0;
    }
    uint8_t *const place = (uint8_t *)self->next->iov_base + self->taken;
    const size_t left = self->next->iov_len - self->taken;
    *run = left < length ? left : length;
    self->taken += *run;
    return place;
}

void emi_vectors_scatter(vectors_t *to, const uint8_t *from, size_t length)
{
    while (length > 0) {
        size_t run;
        uint8_t *const place = advance(to, length, &run);
        memmove(place, from, run);
        from += run;
        length -= run;
    }
}

void emi_vectors_gather(uint8_t *to, vectors_t *from, size_t length)
{
    while (length > 0) {
        size_t run;
        const uint8_t *const place = advance(from, length, &run);
        memmove(to, place, run);
        to += run;
        length -= run;
    }
}
