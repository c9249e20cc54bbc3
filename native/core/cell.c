/*
 * Publishing and reading a cell's value.
 *
 * A publisher has the container's lock:
 *
 *   1. It fills the slot of the next version: version, length, bytes, checksum.
 *   2. It stores the version into the header. From then on this is the value.
 *
 * If it dies before step 2, the next publisher fills the same slot again.
 *
 * A reader takes no lock:
 *
 *   1. It loads the version V and copies the slot of V.
 *   2. It loads the version again. A publisher begins to overwrite this slot only when the version is V +
 *      CELL_SLOTS - 1. If it is less, the copy is whole.
 *
 * After a power cut the disk may have any of the pages. So every copy is checked by its checksum. If the slot of V
 * is not whole, the value is that of the highest version that is whole. A publisher of a cell that was synced
 * never overwrites the last version that the disk has for certain (`synced`): it first syncs the current one.
 */
#include "cell.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backup.h"
#include "error.h"
#include "pause.h"
#include "vectors.h"

/* How often a reader begins again. Each time others have published CELL_SLOTS - 1 values during a copy. */
enum { ATTEMPTS = 1000 };

/* A value in memory of its own. */
typedef struct cell_value {
    uint8_t *bytes; /* from malloc */
    uint64_t length;
    uint64_t version; /* what the header said when the value was the last one */
    bool recovered;   /* it is that of an earlier version, because the slot of `version` is not whole */
} cell_value_t;

static cell_header_t *header_of(const emmap_mapping *mapping)
{
    return (cell_header_t *)(void *)mapping->data;
}

/* ---- Checksum ---- */

static uint64_t mix(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 29;
}

/* Sums bytes and copies them to `to`, which may be where they are. Four sums side by side, because one would wait
 * for each multiplication. */
static uint64_t sum_and_copy(uint64_t version, uint64_t length, const uint8_t *bytes, uint8_t *to)
{
    uint64_t sums[4] = {version, length, 2, 3}, words[4];
    uint64_t at = 0;
    for (; at + sizeof words <= length; at += sizeof words) {
        memcpy(words, bytes + at, sizeof words);
        memcpy(to + at, words, sizeof words);
        for (unsigned i = 0; i < 4; i++)
            sums[i] = mix(sums[i], words[i]);
    }
    memset(words, 0, sizeof words);
    memcpy(words, bytes + at, (size_t)(length - at));
    memcpy(to + at, words, (size_t)(length - at));
    for (unsigned i = 0; i < 4; i++)
        sums[i] = mix(sums[i], words[i]);
    return mix(mix(mix(sums[0], sums[1]), sums[2]), sums[3]);
}

/* ---- Reading ---- */

/* Copies a slot. False: it does not hold this version, whole. */
static bool copy_slot(emmap_mapping *mapping, uint64_t max_bytes, uint64_t version, cell_value_t *value)
{
    const cell_slot_t *const slot = cell_slot(mapping->data, max_bytes, version);
    const uint64_t length = slot->length, checksum = slot->checksum;
    if (slot->version != version || length > max_bytes)
        return false;
    value->length = length;
    return sum_and_copy(version, length, slot->bytes, value->bytes) == checksum;
}

/* The highest version in the slots that is whole; 0: none. */
static uint64_t best_version(emmap_mapping *mapping, uint64_t max_bytes, cell_value_t *scratch)
{
    uint64_t best = 0;
    for (uint64_t i = 0; i < CELL_SLOTS; i++) {
        const uint64_t version = cell_slot(mapping->data, max_bytes, i)->version;
        if (version % CELL_SLOTS == i && version > best && copy_slot(mapping, max_bytes, version, scratch))
            best = version;
    }
    return best;
}

static emmap_error copy_last(emmap_mapping *mapping, uint64_t max_bytes, cell_value_t *value)
{
    cell_header_t *const header = header_of(mapping);
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        const uint64_t version = atomic_load_explicit(&header->version, memory_order_acquire);
        if (version == 0)
            return EMMAP_EOF;
        bool whole = copy_slot(mapping, max_bytes, version, value);
        PAUSE("cell_copied");
        value->recovered = !whole;
        if (!whole && atomic_load(&header->version) == version) {
            const uint64_t best = best_version(mapping, max_bytes, value);
            whole = best != 0 && copy_slot(mapping, max_bytes, best, value);
        }
        /* Pairs with the publisher's release fence: the loads above come before this one. */
        atomic_thread_fence(memory_order_acquire);
        const uint64_t now = atomic_load_explicit(&header->version, memory_order_relaxed);
        value->version = version;
        if (whole && now - version < CELL_SLOTS - 1)
            return EMMAP_OK;
        if (!whole && now == version)
            return emi_error_corrupt(offsetof(cell_header_t, version), "no value of the cell is whole");
    }
    return emi_error_set(EBUSY, "others publish values faster than this one can be copied");
}

emmap_error emi_cell_last_whole(emmap_mapping *mapping, uint64_t max_bytes, uint64_t *version)
{
    cell_value_t value = {.bytes = malloc(max_bytes)};
    if (!value.bytes)
        return emi_error_set(ENOMEM, NULL);
    *version = atomic_load(&header_of(mapping)->version);
    if (!copy_slot(mapping, max_bytes, *version, &value))
        *version = best_version(mapping, max_bytes, &value);
    free(value.bytes);
    return EMMAP_OK;
}

/* Copies the last whole value, which the caller frees. Errors: EMMAP_EOF if nothing was published; EMMAP_CORRUPT
 * if no slot is whole; EBUSY if others publish all the time; ENOMEM. */
static emmap_error read_value(emmap_file *file, cell_value_t *value)
{
    container_t *self;
    emmap_mapping *mapping;
    emmap_error error = emi_container_get(file, CONTAINER_CELL, &self);
    if (!error)
        error = emi_mapping_of(file, &mapping);
    if (error)
        return error;
    const uint64_t max_bytes = ((const cell_t *)self)->max_bytes;
    value->bytes = malloc(max_bytes);
    error = value->bytes ? copy_last(mapping, max_bytes, value) : emi_error_set(ENOMEM, NULL);
    fence_light(); /* as in copy.c */
    const emmap_error fault = emi_file_check(file);
    if (fault || error)
        free(value->bytes);
    emi_mapping_release(mapping);
    return fault ? fault : error;
}

emmap_error emmap_cell_get(emmap_file *file, const emmap_sink *sink, uint64_t *version)
{
    cell_value_t value;
    emmap_error error = read_value(file, &value);
    if (error)
        return error;
    void *const place = sink->allocate(sink->context, (size_t)value.length);
    if (place)
        memcpy(place, value.bytes, (size_t)value.length);
    else
        error = emi_error_set(ENOMEM, NULL);
    if (version)
        *version = value.version;
    free(value.bytes);
    return error;
}

emmap_error emi_cell_check(emmap_file *file)
{
    container_t *self;
    cell_value_t value;
    emmap_error error = emi_container_get(file, CONTAINER_CELL, &self);
    if (!error)
        error = read_value(file, &value);
    if (error)
        return error == EMMAP_EOF ? EMMAP_OK : error;
    free(value.bytes);
    const uint64_t slot = value.version % CELL_SLOTS * cell_stride(((const cell_t *)self)->max_bytes);
    return value.recovered
               ? emi_error_corrupt(sizeof(cell_header_t) + slot, "the last value of the cell is not whole")
               : EMMAP_OK;
}

emmap_error emmap_cell_version(emmap_file *file, uint64_t *version)
{
    container_t *self;
    int64_t word = 0;
    emmap_error error = emi_container_get(file, CONTAINER_CELL, &self);
    if (!error)
        error = emmap_patomic_load(file, offsetof(cell_header_t, version), &word);
    *version = (uint64_t)word;
    return error;
}

emmap_error emmap_cell_wait_begin(emmap_file *file, uint64_t version, uint64_t timeout,
                                  const emmap_waiter *waiter, emmap_wait **wait)
{
    container_t *self;
    *wait = NULL;
    const emmap_error error = emi_container_get(file, CONTAINER_CELL, &self);
    return error ? error
                 : emmap_wait_begin(file, offsetof(cell_header_t, version), (int64_t)version, timeout, waiter,
                                    wait);
}

/* ---- Publishing ---- */

static void fill(cell_slot_t *slot, uint64_t version, const struct iovec *vectors, uint64_t length)
{
    vectors_t from = {.next = vectors};
    PAUSE("cell_publish_begin");
    slot->version = version;
    slot->length = length;
    PAUSE("cell_publish_length");
    emi_vectors_gather(slot->bytes, &from, (size_t)length);
    PAUSE("cell_publish_bytes");
    slot->checksum = sum_and_copy(version, length, slot->bytes, slot->bytes);
    PAUSE("cell_publish_filled");
}

/* Before the slot is overwritten that has the last version on the disk. Errors: as emi_operation_sync. */
static emmap_error keep_synced(operation_t *operation, uint64_t version)
{
    cell_header_t *header = header_of(operation->mapping);
    if (header->synced == 0 || version + 1 - header->synced < CELL_SLOTS)
        return EMMAP_OK;
    const emmap_error error = emi_operation_sync(operation);
    if (!error)
        header->synced = version;
    return error;
}

static emmap_error publish(operation_t *operation, const struct iovec *vectors, uint64_t length)
{
    const uint64_t max_bytes = ((const cell_t *)operation->container)->max_bytes;
    cell_header_t *const header = header_of(operation->mapping);
    if (length > max_bytes)
        return emi_error_set(EINVAL, "the value is longer than the cell's max_bytes");
    const uint64_t version = atomic_load_explicit(&header->version, memory_order_relaxed);
    if (version == UINT64_MAX)
        return emi_operation_corrupt(operation, offsetof(cell_header_t, version),
                                     "no cell gets so many values");
    const emmap_error error = keep_synced(operation, version);
    if (error)
        return error;
    /* Pairs with a reader's acquire fence: a reader that sees a byte of the new value in this slot sees at
     * least `version`. */
    atomic_thread_fence(memory_order_release);
    fill(cell_slot(operation->mapping->data, max_bytes, version + 1), version + 1, vectors, length);
    atomic_store_explicit(&header->version, version + 1, memory_order_release);
    PAUSE("cell_publish_done");
    return EMMAP_OK;
}

emmap_error emmap_cell_publish(emmap_file *file, const struct iovec *vectors, size_t count)
{
    uint64_t length;
    operation_t operation;
    if (!emi_vectors_total(vectors, count, &length))
        return emi_error_set(EINVAL, "the value is longer than the cell's max_bytes");
    emmap_error error = emi_operation_begin(file, CONTAINER_CELL, LOCK_CONTAINER, &operation);
    if (error)
        return error;
    error = emi_operation_end(&operation, publish(&operation, vectors, length));
    /* If the process dies before this, waits end within 100 ms (wait.h). */
    if (!error)
        (void)emmap_notify(file, offsetof(cell_header_t, version), EMMAP_NO_LIMIT, NULL);
    return error;
}

/* ---- A copy of the file ---- */

emmap_error emi_cell_backup(emmap_file *file, backup_image_t *image)
{
    container_t *self;
    cell_value_t value = {0};
    emmap_error error = emi_container_get(file, CONTAINER_CELL, &self);
    if (!error)
        error = read_value(file, &value);
    const bool empty = error == EMMAP_EOF;
    if (error && !empty)
        return error;
    const uint64_t max_bytes = ((const cell_t *)self)->max_bytes;
    error = emi_backup_image_create(cell_size(max_bytes), image);
    if (!error) {
        cell_header_t *const header = (cell_header_t *)(void *)image->bytes;
        *header = (cell_header_t){
            .magic = CELL_MAGIC, .format = CELL_FORMAT, .slots = CELL_SLOTS, .max_bytes = max_bytes};
        atomic_init(&header->version, value.version);
        const struct iovec bytes = {.iov_base = value.bytes, .iov_len = (size_t)value.length};
        if (!empty)
            fill(cell_slot(image->bytes, max_bytes, value.version), value.version, &bytes, value.length);
        image->length = image->size = cell_size(max_bytes);
    }
    if (!empty)
        free(value.bytes);
    return error;
}
