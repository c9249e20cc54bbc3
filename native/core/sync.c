/* emmap_flush, emmap_sync and emmap_datasync. */
#include "container.h"
#include "durability.h"
#include "error.h"
#include "mapping.h"
#include "platform.h"
#include "stale.h"

emmap_error emmap_flush(emmap_file *file)
{
    file_refs_t refs;
    emmap_error error = emi_file_refs_take(file, &refs);
    if (error)
        return error;
    const uint64_t from = file->options.offset - file->options.offset % emi_platform_page_size();
    const uint64_t lead = file->options.offset - from;
    /* Stores to a private mapping do not belong to the file. */
    if ((file->options.flags & (EMMAP_OPEN_SHARED | EMMAP_OPEN_WRITE)) ==
            (EMMAP_OPEN_SHARED | EMMAP_OPEN_WRITE) &&
        emi_platform_start_writeback(refs.descriptor->fd, from, refs.mapping->size + lead,
                                     refs.mapping->base) != 0)
        error = emi_error_from_errno("sync_file_range");
    emi_file_refs_release(&refs);
    return error ? error : emi_file_check(file);
}

/* Marks the file's container as synced, and syncs its file beside this one. An operation between this call and the sync itself
 * counts as one after the sync. */
static emmap_error note_synced(emmap_file *file)
{
    container_t *const self = atomic_load_explicit(&file->container, memory_order_acquire);
    if (!self || !file_may_write(file) || file_is_copy(file))
        return EMMAP_OK;
    const emmap_error error = self->note_synced(file);
    return error || !self->sync_beside ? error : self->sync_beside(file);
}

static emmap_error sync_with(emmap_file *file, int (*sync_descriptor)(int), const char *syscall)
{
    emmap_error error = note_synced(file);
    if (error)
        return error;
    file_refs_t refs;
    error = emi_file_refs_take(file, &refs);
    if (error)
        return error;
    error = emi_durability_write_out(file, &refs, sync_descriptor, syscall);
    if (!error)
        error = emi_durability_sync_entry(file);
    if (!error)
        error = emi_stale_check(file);
    emi_file_refs_release(&refs);
    return error ? error : emi_file_check(file);
}

emmap_error emmap_sync(emmap_file *file)
{
    return sync_with(file, emi_platform_sync, "fsync");
}

emmap_error emmap_datasync(emmap_file *file)
{
    return sync_with(file, emi_platform_datasync, "fdatasync");
}
