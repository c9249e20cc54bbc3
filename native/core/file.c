#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "error.h"

static void init_locks(emmap_file *file)
{
    emi_thread_lock_init(&file->bytes);
    loans_init(&file->loans);
    pthread_mutex_init(&file->cursor, NULL);
    pthread_mutex_init(&file->resize, NULL);
    pthread_mutex_init(&file->state, NULL);
    emi_thread_lock_init(&file->attaching);
}

/* Returns the path unchanged if there is no current folder. NULL: no memory. */
static char *from_root(const char *path)
{
    char folder[PATH_MAX];
    if (path[0] == '/' || !getcwd(folder, sizeof folder))
        return strdup(path);
    const size_t size = strlen(folder) + 1 + strlen(path) + 1;
    char *const result = malloc(size);
    if (result)
        snprintf(result, size, "%s/%s", folder, path);
    return result;
}

emmap_error emi_file_create(const char *path, const emmap_options *options, emmap_file **result)
{
    emmap_file *const file = calloc(1, sizeof *file);
    if (!file)
        return emi_error_set(ENOMEM, NULL);
    file->options = *options;
    const bool anonymous = options->flags & EMMAP_OPEN_ANON;
    file->path = strdup(anonymous ? "" : path);
    file->named = anonymous ? NULL : from_root(path);
    if (!file->path || !(anonymous || file->named)) {
        free(file->path);
        free(file->named);
        free(file);
        return emi_error_set(ENOMEM, NULL);
    }
    init_locks(file);
    atomic_init(&file->references, 1);
    file->forks = emi_descriptor_forks;
    *result = file;
    return EMMAP_OK;
}

void emi_file_retain(emmap_file *file)
{
    atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
}

void emi_file_release(emmap_file *file)
{
    if (atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) != 1)
        return;
    emi_container_free(file->container);
    emi_thread_lock_destroy(&file->bytes);
    loans_destroy(&file->loans);
    pthread_mutex_destroy(&file->cursor);
    pthread_mutex_destroy(&file->resize);
    pthread_mutex_destroy(&file->state);
    emi_thread_lock_destroy(&file->attaching);
    free(file->absolute);
    free(file->named);
    free(file->path);
    free(file);
}

bool emi_file_has_its_name(const emmap_file *file)
{
    struct stat about;
    return stat(file->absolute, &about) == 0 && about.st_dev == file->device && about.st_ino == file->inode;
}

emmap_error emi_file_not_owned(const emmap_file *file)
{
    return file_is_closed(file)
               ? emi_error_set(EMMAP_CLOSED, NULL)
               : emi_error_set(EFAULT, "this process is a forked child of the one that opened the file");
}

emmap_error emi_file_descriptor(emmap_file *file, descriptor_t **result)
{
    const emmap_error error = file_owned(file);
    if (error)
        return error;
    pthread_mutex_lock(&file->state);
    *result = file->descriptor;
    if (*result)
        emi_descriptor_retain(*result);
    pthread_mutex_unlock(&file->state);
    return *result ? EMMAP_OK : emi_error_set(EMMAP_CLOSED, NULL);
}

emmap_error emi_file_check(const emmap_file *file)
{
    return file_faulted(file)
               ? emi_error_set(
                     EFAULT,
                     "the file was truncated, or its storage failed, under its mapping, or this process is a "
                     "forked child")
               : EMMAP_OK;
}

emmap_error emi_file_fault(emmap_file *file)
{
    __atomic_fetch_or(&file->control.status, EMMAP_STATUS_FAULTED, __ATOMIC_SEQ_CST);
    return emi_file_check(file);
}

emmap_error emi_visit_pin(emmap_file *file, visit_t *visit)
{
    visit->pin = pin_self();
    if (!visit->pin)
        return emi_error_set(ENOMEM, NULL);
    while ((visit->mapping = pin_hold(visit->pin, &file->mapping)) == NULL) {
        pin_release(visit->pin);
        if (file_is_closed(file))
            return emi_error_set(EMMAP_CLOSED, NULL);
        const emmap_error error = file_owned(file);
        if (error)
            return error;
        /* Another thread holds the lock and is replacing the mapping. */
        pthread_mutex_lock(&file->resize);
        pthread_mutex_unlock(&file->resize);
    }
    return EMMAP_OK;
}

emmap_error emi_visit_begin_slowly(emmap_file *file, visit_t *visit)
{
    const emmap_error error = emi_visit_pin(file, visit);
    if (error || !file_faulted(file))
        return error;
    pin_release(visit->pin);
    return emi_file_check(file);
}
