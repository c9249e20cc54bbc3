/* One mmap region, unmapped when its last reference goes. */
#ifndef EMMAP_CORE_MAPPING_H
#define EMMAP_CORE_MAPPING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "emmap.h"
#include "fault.h"
#include "file.h"

struct emmap_mapping {
    uint8_t *data; /* position 0 */
    uint64_t size; /* bytes from there on that the file gave */
    void *base;    /* what mmap returned, at or before data */
    size_t length; /* what mmap was given */
    atomic_uint references;
    fault_region_t *region;
    emmap_mapping *next, *previous; /* of the list of all */
    emmap_file *file; /* holds a reference on it: its status word, its loans, its path to unlink */
};

/*
 * Maps `size` bytes of `fd` as the file's options say, with one reference. `at` is a hint or, with
 * EMMAP_OPEN_FIXED, the place. Errors: what mmap says; EEXIST; ENOTSUP; ENOMEM.
 */
emmap_error emi_mapping_create(emmap_file *file, int fd, uint64_t size, uint64_t at, emmap_mapping **result);

/* Whether the file that `fd` is could be mapped as `options` say once it is `size` bytes long. Errors: as
 * emi_mapping_create. */
emmap_error emi_mapping_try(int fd, const emmap_options *options, uint64_t size);

void emi_mapping_retain(emmap_mapping *self);
void emi_mapping_release(emmap_mapping *self);

/* The file's current mapping with a reference for the caller. Errors: EMMAP_CLOSED, EFAULT. */
emmap_error emi_mapping_of(emmap_file *file, emmap_mapping **result);

/* The first of all mappings of the process, each of which has the next one. Nobody forks, and none comes or goes, until
 * emi_mapping_list_end. Not under a pin. */
emmap_mapping *emi_mapping_list_begin(void);
void emi_mapping_list_end(void);

/* Whether the mapping shows the same file on disk. */
static inline bool mapping_is_of(const emmap_mapping *self, const emmap_file *file)
{
    return self->file->inode == file->inode && self->file->device == file->device;
}

#endif
