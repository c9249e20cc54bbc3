/* Making a file a cell, and opening one. */
#include <errno.h>
#include <stdlib.h>

#include "attach.h"
#include "cell.h"
#include "error.h"
#include "pause.h"

static const char no_max_bytes[] = "a new cell needs the most bytes of a value";

/* Makes an empty cell of zeros. The magic comes last: it tells that the rest is there. */
static void create(emmap_mapping *mapping, uint64_t max_bytes)
{
    cell_header_t *const header = (cell_header_t *)(void *)mapping->data;
    PAUSE("cell_create_begin");
    header->format = CELL_FORMAT;
    header->slots = CELL_SLOTS;
    header->max_bytes = max_bytes;
    PAUSE("cell_create_shaped");
    __atomic_store_n(&header->magic, CELL_MAGIC, __ATOMIC_RELEASE);
    PAUSE("cell_create_done");
}

/* Whether the creator died before it wrote the magic. */
static bool unfinished(const operation_t *operation)
{
    return operation->locked && operation->mapping->size >= sizeof(cell_header_t) &&
           ((const cell_header_t *)(void *)operation->mapping->data)->magic == 0 &&
           emi_operation_zeros(operation, offsetof(cell_header_t, reserved),
                               operation->mapping->size - offsetof(cell_header_t, reserved));
}

const char *emi_cell_header_wrong(const cell_header_t *header, uint64_t size, uint64_t *offset)
{
    *offset = 0;
    if (size < sizeof *header || header->magic != CELL_MAGIC)
        return "not a cell: no \"EMMCELL\\n\" at its beginning";
    *offset = offsetof(cell_header_t, format);
    if (header->format != CELL_FORMAT || header->slots != CELL_SLOTS)
        return "the cell has another format";
    *offset = offsetof(cell_header_t, max_bytes);
    if (header->max_bytes == 0 || header->max_bytes > CELL_MAX_BYTES || size < cell_size(header->max_bytes))
        return "the cell's max_bytes does not fit the file's size";
    return NULL;
}

static emmap_error check_header(const operation_t *operation)
{
    uint64_t offset;
    const char *const wrong = emi_cell_header_wrong((const cell_header_t *)(void *)operation->mapping->data,
                                                    operation->mapping->size, &offset);
    return wrong ? emi_operation_corrupt(operation, offset, wrong) : EMMAP_OK;
}

/* After a power cut the header may name a version that the disk does not have whole. If it has no value, a cell that
 * was never synced is empty. In one that was synced this is damage, and reads fail until the next publish. */
static emmap_error recover(const operation_t *operation, uint64_t max_bytes)
{
    cell_header_t *const header = (cell_header_t *)(void *)operation->mapping->data;
    uint64_t last;
    const emmap_error error = emi_cell_last_whole(operation->mapping, max_bytes, &last);
    if (error || last == atomic_load(&header->version) || (last == 0 && header->synced != 0))
        return error;
    PAUSE("cell_recover_begin");
    atomic_store(&header->version, last);
    PAUSE("cell_recover_done");
    return EMMAP_OK;
}

static emmap_error check(container_t *base, operation_t *operation)
{
    cell_t *const self = (cell_t *)base;
    const uint64_t asked = self->max_bytes;
    if (unfinished(operation)) {
        if (asked == 0)
            return emi_error_set(EINVAL, no_max_bytes);
        if (operation->mapping->size >= cell_size(asked))
            create(operation->mapping, asked);
    }
    const emmap_error error = check_header(operation);
    if (error)
        return error;
    self->max_bytes = ((const cell_header_t *)(void *)operation->mapping->data)->max_bytes;
    if (asked != 0 && asked != self->max_bytes)
        return emi_error_set(EINVAL, "the cell has another max_bytes");
    return operation->locked ? recover(operation, self->max_bytes) : EMMAP_OK;
}

/* Brings the current value to the disk, so that no later publish overwrites the last one that is there. */
static emmap_error note_synced(emmap_file *file)
{
    operation_t operation;
    emmap_error error = emi_operation_begin(file, CONTAINER_CELL, LOCK_CONTAINER, &operation);
    if (error)
        return error;
    cell_header_t *const header = (cell_header_t *)(void *)operation.mapping->data;
    const uint64_t version = atomic_load(&header->version);
    if (header->synced != version)
        error = emi_operation_sync(&operation);
    if (!error)
        header->synced = version;
    PAUSE("cell_noted");
    return emi_operation_end(&operation, error);
}

#define REFUSED_FLAGS (EMMAP_OPEN_ANON | EMMAP_OPEN_TRUNCATE | EMMAP_OPEN_FOLLOW)

emmap_error emmap_cell_open(const char *path, uint64_t max_bytes, const emmap_options *given,
                            emmap_file **result)
{
    *result = NULL;
    emmap_options options;
    bool fresh;
    if (max_bytes > CELL_MAX_BYTES)
        return emi_error_set(EINVAL, "a value of a cell has at most 2^30 bytes");
    if (given && ((given->flags & REFUSED_FLAGS) || given->size))
        return emi_error_set(EINVAL, "a cell is a file whose size is decided by max_bytes");
    emmap_error error = emi_container_options(given, &options, &fresh);
    if (error)
        return error;
    options.flags |= EMMAP_OPEN_FIXED_SIZE;
    const container_preparer_t preparer = {.base = {emi_container_prepare},
                                           .size = cell_size(max_bytes),
                                           .lacking = max_bytes ? NULL : no_max_bytes,
                                           .blank_from = offsetof(cell_header_t, reserved)};
    emmap_file *file;
    error = emi_file_open(path, &options, &preparer.base, &file);
    if (error)
        return error;
    cell_t *const self = calloc(1, sizeof *self);
    if (self) {
        self->base = (container_t){.kind = CONTAINER_CELL, .note_synced = note_synced};
        self->max_bytes = max_bytes;
    }
    error = emi_container_attach(file, self ? &self->base : NULL, check);
    if (error) {
        emi_file_abandon(file);
        return error;
    }
    *result = file;
    return EMMAP_OK;
}
