#include "slice.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "error.h"
#include "file.h"
#include "mapping.h"
#include "platform.h"

static loans_t *loans_of(const emmap_mapping *mapping)
{
    return &mapping->file->loans;
}

emmap_error emi_slice_take(emmap_mapping *mapping, uint64_t position, uint64_t length, emmap_slice *slice)
{
    loan_t *const taken = malloc(sizeof *taken);
    if (!taken)
        return emi_error_set(ENOMEM, NULL);
    loans_t *const list = loans_of(mapping);
    pthread_mutex_lock(&list->lock);
    *taken = (loan_t){.next = list->first, .end = position + length};
    if (list->first)
        list->first->previous = taken;
    list->first = taken;
    pthread_mutex_unlock(&list->lock);
    emi_mapping_retain(mapping);
    *slice =
        (emmap_slice){.data = mapping->data + position, .length = length, .mapping = mapping, .loan = taken};
    return EMMAP_OK;
}

void emi_slice_cut(emmap_slice *slice, uint64_t length)
{
    loans_t *const list = loans_of(slice->mapping);
    pthread_mutex_lock(&list->lock);
    slice->loan->end -= slice->length - length;
    pthread_mutex_unlock(&list->lock);
    slice->length = length;
}

emmap_error emmap_pread_direct(emmap_file *file, uint64_t position, uint64_t length, emmap_slice *slice)
{
    *slice = (emmap_slice){0};
    visit_t visit;
    const emmap_error error = visit_begin(file, &visit);
    if (error)
        return error;
    const uint64_t size = visit.mapping->size;
    const uint64_t left = position < size ? size - position : 0;
    const uint64_t run = length < left ? length : left;
    emmap_error taken = EMMAP_OK;
    if (position > INT64_MAX || length > INT64_MAX)
        taken = emi_error_set(EINVAL, "position and length are from 0 to 2^63 - 1");
    else if (left == 0)
        taken = EMMAP_EOF;
    else if (run > 0)
        taken = emi_slice_take(visit.mapping, position, run, slice);
    pin_release(visit.pin);
    return taken;
}

bool emmap_slice_faulted(const emmap_slice *slice)
{
    /* An empty slice has no bytes that could go away. */
    return slice->mapping && file_faulted(slice->mapping->file);
}

emmap_error emmap_slice_copy_on_write(const emmap_slice *slice)
{
    if (!slice->mapping || file_may_write(slice->mapping->file))
        return EMMAP_OK;
    const uintptr_t page = emi_platform_page_size(), data = (uintptr_t)slice->data;
    const uintptr_t begin = data - data % page, end = data + (uintptr_t)slice->length;
    if (mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE) == 0)
        return EMMAP_OK;
    return emi_error_from_syscall((emmap_error)errno, "mprotect",
                                  "a buffer over a read-only file needs a mapping that is private");
}

static void take_off(loans_t *list, const loan_t *returned)
{
    pthread_mutex_lock(&list->lock);
    if (returned->next)
        returned->next->previous = returned->previous;
    if (returned->previous)
        returned->previous->next = returned->next;
    else
        list->first = returned->next;
    pthread_mutex_unlock(&list->lock);
}

void emmap_slice_release(emmap_slice *slice)
{
    if (!slice->mapping)
        return;
    loan_t *const returned = slice->loan;
    /* In a forked child the list may be half changed. Nothing looks at it there. */
    if (!file_inherited(slice->mapping->file))
        take_off(loans_of(slice->mapping), returned);
    free(returned);
    emi_mapping_release(slice->mapping);
    *slice = (emmap_slice){0};
}
