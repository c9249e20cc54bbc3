#define _GNU_SOURCE
#include "mapping.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "descriptor.h"
#include "error.h"
#include "file.h"
#include "platform.h"

/* All mappings of the process, under `lock`, which is taken last. Nobody forks while it is held. */
static emmap_mapping *first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Updates `aliases` of every handle of the file. */
static void count(const emmap_file *file)
{
    uint32_t found = 0;
    for (const emmap_mapping *each = first; each; each = each->next)
        found += mapping_is_of(each, file);
    for (const emmap_mapping *each = first; each; each = each->next)
        if (mapping_is_of(each, file))
            __atomic_store_n(&each->file->control.aliases, found - 1, __ATOMIC_RELAXED);
}

static void enter(emmap_mapping *mapping)
{
    pthread_mutex_lock(&lock);
    mapping->next = first;
    if (first)
        first->previous = mapping;
    first = mapping;
    count(mapping->file);
    pthread_mutex_unlock(&lock);
}

static void leave(emmap_mapping *mapping)
{
    pthread_mutex_lock(&lock);
    if (mapping->next)
        mapping->next->previous = mapping->previous;
    *(mapping->previous ? &mapping->previous->next : &first) = mapping->next;
    count(mapping->file);
    pthread_mutex_unlock(&lock);
}

emmap_mapping *emi_mapping_list_begin(void)
{
    emi_descriptor_forbid_fork();
    pthread_mutex_lock(&lock);
    return first;
}

void emi_mapping_list_end(void)
{
    pthread_mutex_unlock(&lock);
    emi_descriptor_allow_fork();
}

static emmap_error map(const emmap_options *options, int fd, uint64_t begin, uint64_t at, int protection,
                       emmap_mapping *self)
{
    int flags;
    if (!emi_platform_map_flags(options->flags, &flags))
        return emi_error_set(ENOTSUP, "this platform lacks one of the options");
    self->base = mmap((void *)(uintptr_t)at, self->length, protection, flags, fd, (off_t)begin);
    if (self->base == MAP_FAILED)
        return errno == EOPNOTSUPP
                   ? emi_error_from_syscall(ENOTSUP, "mmap", "the storage can't be mapped this way")
                   : emi_error_from_errno("mmap");
    /* Kernels before 4.17 do not know MAP_FIXED_NOREPLACE and take the address for a hint. */
    if ((options->flags & EMMAP_OPEN_FIXED) && self->base != (void *)(uintptr_t)at) {
        munmap(self->base, self->length);
        return emi_error_from_syscall(EEXIST, "mmap", "the address range is taken");
    }
    return EMMAP_OK;
}

static emmap_error watch(emmap_mapping *self, size_t unit, uint32_t *status)
{
    self->region = emi_fault_watch(self->base, self->length, unit, status);
    if (self->region)
        return EMMAP_OK;
    munmap(self->base, self->length);
    return emi_error_set(ENOMEM, NULL);
}

static int protection_of(const emmap_options *options)
{
    return options->flags & EMMAP_OPEN_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
}

/* Rounds `size` bytes from the offset on up to whole pages. */
static emmap_error measure(const emmap_options *options, size_t unit, uint64_t size, emmap_mapping *self)
{
    const size_t lead = (size_t)(options->offset % unit);
    if (size > SIZE_MAX - lead - unit)
        return emi_error_set(ENOMEM, "the mapping is larger than an address space");
    self->size = size;
    self->length = (lead + (size_t)size + unit - 1) / unit * unit;
    return EMMAP_OK;
}

emmap_error emi_mapping_try(int fd, const emmap_options *options, uint64_t size)
{
    const size_t unit = emi_platform_mapping_unit(fd);
    /* Mapping huge pages would use them up and make the file longer. */
    if (unit > emi_platform_page_size())
        return EMMAP_OK;
    emmap_options trial = *options;
    trial.flags &= ~(uint32_t)EMMAP_OPEN_POPULATE;
    emmap_mapping self;
    emmap_error error =
        measure(&trial, unit, options->length ? options->length : size - options->offset, &self);
    if (error)
        return error;
    emi_descriptor_forbid_fork();
    error = map(&trial, fd, options->offset - options->offset % unit, options->address,
                protection_of(options), &self);
    if (!error)
        munmap(self.base, self.length);
    emi_descriptor_allow_fork();
    return error;
}

emmap_error emi_mapping_create(emmap_file *file, int fd, uint64_t size, uint64_t at, emmap_mapping **result)
{
    const emmap_options *const options = &file->options;
    const size_t unit = emi_platform_mapping_unit(fd);
    const size_t lead = (size_t)(options->offset % unit);
    emmap_mapping *const self = calloc(1, sizeof *self);
    if (!self)
        return emi_error_set(ENOMEM, NULL);
    emmap_error error = measure(options, unit, size, self);
    if (error) {
        free(self);
        return error;
    }
    self->file = file;
    emi_descriptor_forbid_fork();
    error = map(options, fd, options->offset - lead, at, protection_of(options), self);
    if (!error)
        error = watch(self, unit, &file->control.status);
    if (!error) {
        self->data = (uint8_t *)self->base + lead;
        enter(self);
    }
    emi_descriptor_allow_fork();
    if (error) {
        free(self);
        return error;
    }
    atomic_init(&self->references, 1);
    emi_file_retain(file);
    *result = self;
    return EMMAP_OK;
}

void emi_mapping_retain(emmap_mapping *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

void emi_mapping_release(emmap_mapping *self)
{
    /* Release on every decrement, acquire on the last: all accesses come before the munmap. */
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1)
        return;
    emi_descriptor_forbid_fork();
    leave(self);
    emi_fault_forget(self->region);
    munmap(self->base, self->length);
    emi_descriptor_allow_fork();
    emmap_file *const file = self->file;
    free(self);
    emi_file_release(file);
}

emmap_error emi_mapping_of(emmap_file *file, emmap_mapping **result)
{
    visit_t visit;
    const emmap_error error = visit_begin(file, &visit);
    if (error)
        return error;
    emi_mapping_retain(visit.mapping);
    *result = visit.mapping;
    pin_release(visit.pin);
    return EMMAP_OK;
}
