#include "loans.h"

#include <errno.h>

#include "error.h"

#define END_BITS 40
/* Also stands for every end further out: a slice there blocks any shrinking. */
#define END_MAX (((uint64_t)1 << END_BITS) - 1)
#define COUNT_MAX (((uint64_t)1 << (64 - END_BITS)) - 1)

static uint64_t count_of(uint64_t loans)
{
    return loans >> END_BITS;
}

static uint64_t end_of(uint64_t loans)
{
    return loans & END_MAX;
}

static uint64_t pack(uint64_t count, uint64_t end)
{
    return count << END_BITS | end;
}

emmap_error loans_take(emmap_mapping *mapping, uint64_t position, uint64_t length, emmap_slice *slice)
{
    _Atomic uint64_t *const loans = &mapping->file->loans;
    const uint64_t end = position + length < END_MAX ? position + length : END_MAX;
    uint64_t seen = atomic_load_explicit(loans, memory_order_relaxed);
    uint64_t next;
    do {
        if (count_of(seen) == COUNT_MAX)
            return error_set(ENOMEM, "too many direct reads of one file are alive");
        next = pack(count_of(seen) + 1, end_of(seen) > end ? end_of(seen) : end);
    } while (!atomic_compare_exchange_weak_explicit(loans, &seen, next, memory_order_acq_rel,
                                                    memory_order_relaxed));
    mapping_retain(mapping);
    *slice = (emmap_slice){.data = mapping->data + position, .length = length, .mapping = mapping};
    return EMMAP_OK;
}

bool loans_beyond(const emmap_file *file, uint64_t size)
{
    const uint64_t loans = atomic_load_explicit(&file->loans, memory_order_acquire);
    return count_of(loans) > 0 && (end_of(loans) > size || end_of(loans) == END_MAX);
}

bool emmap_slice_faulted(const emmap_slice *slice)
{
    return file_faulted(slice->mapping->file);
}

void emmap_slice_release(emmap_slice *slice)
{
    if (!slice->mapping)
        return;
    _Atomic uint64_t *const loans = &slice->mapping->file->loans;
    uint64_t seen = atomic_load_explicit(loans, memory_order_relaxed);
    uint64_t next;
    do
        next = count_of(seen) == 1 ? 0 : pack(count_of(seen) - 1, end_of(seen));
    while (!atomic_compare_exchange_weak_explicit(loans, &seen, next, memory_order_acq_rel,
                                                  memory_order_relaxed));
    mapping_release(slice->mapping);
    *slice = (emmap_slice){0};
}
