/*
 * Memory of a caller that shows the very file that is written to: a view or a direct binary of it, also one of an
 * earlier mapping or of another handle. It is copied as memmove copies, whatever its size and its address.
 */
#ifndef EMMAP_CORE_OVERLAP_H
#define EMMAP_CORE_OVERLAP_H

#include "emmap.h"
#include "file.h"

/* How the bytes of a list overlap with the bytes of the file that they are copied to or from. */
typedef enum overlap {
    OVERLAP_NONE,     /* also where a memmove of each vector is right */
    OVERLAP_AHEAD,    /* one vector, which begins later in the file */
    OVERLAP_BACKWARD, /* one vector, which begins earlier in the file */
    OVERLAP_MIXED     /* several vectors */
} overlap_t;

/* Whether one memmove copies the list right: within one mapping it does. */
static inline bool overlap_is_plain(const emmap_file *file, const struct iovec *list, size_t length)
{
    return length == 1 && list->iov_len <= EMMAP_PIECE &&
           __atomic_load_n(&file->control.aliases, __ATOMIC_RELAXED) == 0;
}

/* `position` and `total`, the sum of the vectors' lengths, are below 2^63. Not under a pin. */
overlap_t emi_overlap_find(const emmap_file *file, uint64_t position, const struct iovec *list, size_t length,
                           uint64_t total);

/* Whether one of the vectors shows any byte of the file. Not under a pin. */
bool emi_overlap_anywhere(const emmap_file *file, const struct iovec *list, size_t length);

#endif
