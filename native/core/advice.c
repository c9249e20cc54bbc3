/* Telling the kernel how bytes will be used. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "error.h"
#include "file.h"
#include "mapping.h"
#include "platform.h"

static bool kernel_advice(emmap_advice advice, int *result)
{
    switch (advice) {
    case EMMAP_ADVICE_NORMAL:
    case EMMAP_ADVICE_NO_REUSE:
        *result = MADV_NORMAL;
        return true;
    case EMMAP_ADVICE_SEQUENTIAL:
        *result = MADV_SEQUENTIAL;
        return true;
    case EMMAP_ADVICE_RANDOM:
        *result = MADV_RANDOM;
        return true;
    case EMMAP_ADVICE_WILL_NEED:
        *result = MADV_WILLNEED;
        return true;
    case EMMAP_ADVICE_DONT_NEED:
        *result = MADV_DONTNEED;
        return true;
    }
    return false;
}

static emmap_error advise(const emmap_mapping *mapping, uint64_t position, uint64_t length, int advice)
{
    if (position >= mapping->size)
        return EMMAP_OK;
    const uint64_t left = mapping->size - position;
    const uint64_t run = length == 0 || length > left ? left : length;
    const uint64_t begin = (uint64_t)(mapping->data - (uint8_t *)mapping->base) + position;
    const uint64_t page_begin = begin - begin % emi_platform_page_size();
    if (madvise((uint8_t *)mapping->base + page_begin, (size_t)(begin - page_begin + run), advice) != 0)
        return emi_error_from_errno("madvise");
    return EMMAP_OK;
}

emmap_error emmap_advise(emmap_file *file, uint64_t position, uint64_t length, emmap_advice advice)
{
    int kernel;
    emmap_mapping *mapping;
    emmap_error error = emi_mapping_of(file, &mapping);
    if (error)
        return error;
    if (position > INT64_MAX || length > INT64_MAX || !kernel_advice(advice, &kernel))
        error = emi_error_set(EINVAL,
                              "position and length are from 0 to 2^63 - 1, the advice one of emmap_advice");
    /* The kernel would drop private pages, with the bytes written to them. */
    else if (advice != EMMAP_ADVICE_DONT_NEED || (file->options.flags & EMMAP_OPEN_SHARED))
        error = advise(mapping, position, length, kernel);
    emi_mapping_release(mapping);
    return error;
}
