#include "overlap.h"

#include "mapping.h"

/* A range of bytes in a file on disk. */
typedef struct range {
    uint64_t begin, end;
} range_t;

/* The bytes of the mapping's file that the vector shows; empty if it lies elsewhere. */
static range_t shown(const emmap_mapping *mapping, const struct iovec *vector)
{
    const uintptr_t data = (uintptr_t)mapping->data, begin = (uintptr_t)vector->iov_base;
    const uintptr_t data_end = data + mapping->size, end = begin + vector->iov_len;
    if (begin >= data_end || end <= data)
        return (range_t){0};
    const uint64_t offset = mapping->file->options.offset;
    return (range_t){offset + (begin > data ? begin - data : 0),
                     offset + ((end < data_end ? end : data_end) - data)};
}

static bool intersect(range_t one, range_t other)
{
    return one.begin < other.end && other.begin < one.end;
}

/* How the vectors overlap with the written range through one mapping. */
static overlap_t overlap_in(const emmap_mapping *mapping, range_t written, const struct iovec *list,
                            size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const range_t read = shown(mapping, &list[i]);
        if (!intersect(read, written))
            continue;
        if (length > 1 || read.end - read.begin < list[i].iov_len)
            return OVERLAP_MIXED;
        if (read.begin != written.begin)
            return read.begin > written.begin ? OVERLAP_AHEAD : OVERLAP_BACKWARD;
    }
    return OVERLAP_NONE;
}

static overlap_t find(const emmap_file *file, range_t written, const struct iovec *list, size_t length)
{
    overlap_t result = OVERLAP_NONE;
    for (const emmap_mapping *each = emi_mapping_list_begin(); each && result == OVERLAP_NONE;
         each = each->next)
        if (mapping_is_of(each, file))
            result = overlap_in(each, written, list, length);
    emi_mapping_list_end();
    return result;
}

overlap_t emi_overlap_find(const emmap_file *file, uint64_t position, const struct iovec *list, size_t length,
                           uint64_t total)
{
    const uint64_t begin = file->options.offset + position;
    const uint64_t end = total > UINT64_MAX - begin ? UINT64_MAX : begin + total;
    return find(file, (range_t){begin, end}, list, length);
}

bool emi_overlap_anywhere(const emmap_file *file, const struct iovec *list, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (find(file, (range_t){0, UINT64_MAX}, &list[i], 1) != OVERLAP_NONE)
            return true;
    return false;
}
