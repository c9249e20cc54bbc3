/* A 64-bit word of a file, under a pin. */
#ifndef EMMAP_CORE_WORD_H
#define EMMAP_CORE_WORD_H

#include <errno.h>
#include <stdatomic.h>

#include "error.h"
#include "file.h"
#include "mapping.h"

typedef _Atomic int64_t word_t;

/* The slow path of word_begin: the rule that an access to a word breaks. */
emmap_error emi_word_refused(const emmap_file *file, const emmap_mapping *mapping, uint64_t position,
                             bool writing);

/* Errors: EACCES, EINVAL, EMMAP_ALIGNMENT and those of visit_begin; then there is nothing to end. Always
 * inlined: with nine callers the compiler would not, and a call costs a quarter of an atomic add. */
__attribute__((always_inline)) static inline emmap_error
word_begin(emmap_file *file, uint64_t position, bool writing, visit_t *visit, word_t **result)
{
    const emmap_error error = visit_begin(file, visit);
    if (error)
        return error;
    const emmap_mapping *const mapping = visit->mapping;
    if ((!writing || file_may_write(file)) && mapping->size >= 8 && position <= mapping->size - 8 &&
        ((uintptr_t)mapping->data + position) % 8 == 0) {
        *result = (word_t *)(void *)(mapping->data + position);
        return EMMAP_OK;
    }
    const emmap_error refused = emi_word_refused(file, mapping, position, writing);
    pin_release(visit->pin);
    return refused;
}

#endif
