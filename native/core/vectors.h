/* A position in a list of iovecs. It advances as bytes are read from or written to the list. */
#ifndef EMMAP_CORE_VECTORS_H
#define EMMAP_CORE_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct vectors {
    const struct iovec *next;
    size_t taken; /* bytes of *next that are done */
} vectors_t;

/* The sum of the lengths. False: it exceeds 2^63 - 1. */
bool emi_vectors_total(const struct iovec *list, size_t count, uint64_t *total);

/* Both move exactly `length` bytes, which must be left in the list. */
void emi_vectors_scatter(vectors_t *to, const uint8_t *from, size_t length);
void emi_vectors_gather(uint8_t *to, vectors_t *from, size_t length);

#endif
