/* Copies between a file and memory that shows the same file: a view or a direct binary of it, also of an
 * older mapping or another handle. They copy as memmove does, for all sizes and addresses. */
#ifndef EMMAP_CORE_OVERLAP_H
#define EMMAP_CORE_OVERLAP_H

#include "emmap.h"
#include "file.h"

/* How the bytes of a list overlap with the bytes of the file that they are copied to or from. */
typedef enum overlap {
    OVERLAP_NONE,     /* also if a memmove of each vector is right */
    OVERLAP_AHEAD,    /* one vector, at a later place in the file */
    OVERLAP_BACKWARD, /* one vector, at an earlier place in the file */
    OVERLAP_MIXED     /* several vectors */
} overlap_t;

/* Whether a single memmove copies the list correctly. Within one mapping it does. */
static inline bool overlap_is_plain(const emmap_file *file, const struct iovec *list, size_t length)
{
    return length == 1 && list->iov_len <= EMMAP_PIECE &&
           __atomic_load_n(&file->control.aliases, __ATOMIC_RELAXED) == 0;
}

/* `position` and `total` (all lengths together) are below 2^63. Not to be called under a pin. */
overlap_t emi_overlap_find(const emmap_file *file, uint64_t position, const struct iovec *list, size_t length,
                           uint64_t total);

/* Whether a vector shows any byte of the file. Not to be called under a pin. */
bool emi_overlap_anywhere(const emmap_file *file, const struct iovec *list, size_t length);

#endif
