/* Flush and sync, as callers ask for them. */
#include "container.h"
#include "durability.h"
#include "error.h"
#include "mapping.h"
#include "platform.h"
#include "stale.h"

emmap_error emmap_flush(emmap_file *file)
{
    grip grip;
    emmap_error error = file_refs_take(file, &grip);
    if (error)
        return error;
    const uint64_t from = file->options.offset - file->options.offset % platform_page_size();
    const uint64_t lead = file->options.offset - from;
    /* Nothing that was written to a private mapping is the file's. */
    if ((file->options.flags & (EMMAP_OPEN_SHARED | EMMAP_OPEN_WRITE)) ==
            (EMMAP_OPEN_SHARED | EMMAP_OPEN_WRITE) &&
        platform_start_writeback(grip.descriptor->fd, from, grip.mapping->size + lead, grip.mapping->base) !=
            0)
        error = error_from_errno("sync_file_range");
    file_refs_release(&grip);
    return error ? error : file_check(file);
}

/* Notes that what the file holds is to be synced. What an operation does between this and the sync itself is done as after it. */
static emmap_error note_synced(emmap_file *file)
{
    structure *const self = atomic_load_explicit(&file->structure, memory_order_acquire);
    return self && file_may_write(file) && !file_is_copy(file) ? self->note_synced(file) : EMMAP_OK;
}

static emmap_error sync_with(emmap_file *file, int (*sync_descriptor)(int), const char *syscall)
{
    emmap_error error = note_synced(file);
    if (error)
        return error;
    grip grip;
    error = file_refs_take(file, &grip);
    if (error)
        return error;
    error = durability_write_out(file, &grip, sync_descriptor, syscall);
    if (!error)
        error = durability_sync_entry(file);
    if (!error)
        error = stale_check(file);
    file_refs_release(&grip);
    return error ? error : file_check(file);
}

emmap_error emmap_sync(emmap_file *file)
{
    return sync_with(file, platform_sync, "fsync");
}

emmap_error emmap_datasync(emmap_file *file)
{
    return sync_with(file, platform_datasync, "fdatasync");
}
