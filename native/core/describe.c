/* Facts of a handle about itself and its file. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/stat.h>

#include "error.h"
#include "file.h"
#include "mapping.h"

void emmap_describe(emmap_file *file, emmap_info *info)
{
    uint64_t size = 0;
    visit_t visit;
    if (emi_visit_pin(file, &visit) == EMMAP_OK) {
        size = visit.mapping->size;
        pin_release(visit.pin);
    }
    *info = (emmap_info){.path = file->path,
                         .flags = file->options.flags,
                         .existed = file->existed,
                         .offset = file->options.offset,
                         .size = size,
                         .lock_timeout = file->options.lock_timeout};
}

emmap_error emmap_is_current(emmap_file *file, bool *current)
{
    struct stat about;
    *current = true;
    const emmap_error error = file_owned(file);
    if (error)
        return error;
    pthread_mutex_lock(&file->state);
    const bool closed = !file->descriptor;
    const dev_t device = file->device;
    const ino_t inode = file->inode;
    pthread_mutex_unlock(&file->state);
    if (closed)
        return emi_error_set(EMMAP_CLOSED, NULL);
    if (!file->named)
        return EMMAP_OK;
    if (stat(file->named, &about) == 0)
        *current = about.st_dev == device && about.st_ino == inode;
    else if (errno == ENOENT || errno == ENOTDIR)
        *current = false;
    else
        return emi_error_from_errno("stat");
    return EMMAP_OK;
}

emmap_control *emmap_file_control(emmap_file *file)
{
    return &file->control;
}

emmap_error emmap_size(emmap_file *file, uint64_t *size)
{
    visit_t visit;
    const emmap_error error = visit_begin(file, &visit);
    if (error)
        return error;
    *size = visit.mapping->size;
    return visit_end(file, &visit);
}
