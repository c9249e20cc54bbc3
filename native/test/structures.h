/* Shared by the tests of queues and block storages. */
#ifndef EMMAP_TEST_STRUCTURES_H
#define EMMAP_TEST_STRUCTURES_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define QUEUE_RW (EMMAP_OPEN_READ | EMMAP_OPEN_WRITE | EMMAP_OPEN_CREATE | EMMAP_OPEN_SHARED)
#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

/* A sink that keeps each piece in memory of its own. */
typedef struct pieces {
    size_t count;
    size_t room;
    struct iovec *list;
    size_t limit; /* refuses memory beyond this; 0: no limit */
} pieces;

static inline void *keep_piece(void *context, size_t length)
{
    pieces *const self = context;
    if (self->limit && self->count == self->limit)
        return NULL;
    if (self->count == self->room) {
        self->room = self->room ? 2 * self->room : 16;
        self->list = realloc(self->list, self->room * sizeof *self->list);
        require(self->list != NULL);
    }
    void *const place = malloc(length);
    require(place != NULL);
    self->list[self->count++] = (struct iovec){.iov_base = place, .iov_len = length};
    return place;
}

static inline emmap_sink sink_pieces(pieces *into)
{
    return (emmap_sink){.allocate = keep_piece, .context = into};
}

static inline void pieces_free(pieces *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->list[i].iov_base);
    free(self->list);
    *self = (pieces){0};
}

/* ---- Queues of messages that carry a number ---- */

/* A number and bytes that follow from it, so that a torn message shows. */
static inline void fill_message(uint8_t *place, uint64_t number, size_t length)
{
    memcpy(place, &number, sizeof number);
    for (size_t i = sizeof number; i < length; i++)
        place[i] = (uint8_t)(number * 31 + i);
}

#define MESSAGE_MAX 70000u

static inline emmap_error push_number(emmap_file *queue, uint64_t number, size_t length)
{
    static _Thread_local uint8_t place[MESSAGE_MAX];
    fill_message(place, number, length);
    const struct iovec vector = {.iov_base = place, .iov_len = length};
    return emmap_queue_push(queue, &vector, 1);
}

/* The number of a message. Ends the process if the message is torn. */
static inline uint64_t number_of(const void *message, size_t length)
{
    uint64_t number;
    require(length >= sizeof number);
    memcpy(&number, message, sizeof number);
    const uint8_t *const data = message;
    size_t end = length;
    while (end > sizeof number && length - end < 7 && data[end - 1] == 0)
        end--;
    for (size_t i = sizeof number; i < end; i++)
        require(data[i] == (uint8_t)(number * 31 + i));
    return number;
}

static inline emmap_error pop_number(emmap_file *queue, uint64_t *number)
{
    bytes got = {0};
    const emmap_sink sink = sink_into(&got);
    const emmap_error error = emmap_queue_pop(queue, &sink);
    if (!error)
        *number = number_of(got.data, got.length);
    bytes_free(&got);
    return error;
}

static inline uint64_t queue_length_of(emmap_file *queue)
{
    uint64_t length;
    require_ok(emmap_queue_length(queue, &length));
    return length;
}

static inline emmap_queue_metadata queue_info_of(emmap_file *queue)
{
    emmap_queue_metadata info;
    require_ok(emmap_queue_info(queue, &info));
    return info;
}

static inline emmap_file *open_queue(const char *path, uint32_t flags, uint64_t size)
{
    const emmap_options options = {.flags = flags, .size = size};
    emmap_file *file;
    require_ok(emmap_queue_open(path, &options, &file));
    return file;
}

static inline emmap_file *open_blocks(const char *path, uint32_t flags, uint64_t size, uint32_t block_size,
                                      unsigned levels)
{
    const emmap_options options = {.flags = flags, .size = size};
    emmap_file *file;
    require_ok(emmap_blocks_open(path, block_size, levels, &options, &file));
    return file;
}

static inline uint64_t blocks_count_of(emmap_file *blocks)
{
    uint64_t count;
    require_ok(emmap_blocks_count(blocks, &count));
    return count;
}

/* Compacts, on platforms that can give space back and on others. */
static inline void require_compacted(emmap_error (*compact)(emmap_file *, uint64_t *), emmap_file *file)
{
    uint64_t bytes;
    const emmap_error error = compact(file, &bytes);
    require(error == EMMAP_OK || error == ENOTSUP);
}

/* The disk space of a file in bytes. */
static inline uint64_t taken(const char *path)
{
    struct stat about;
    require(stat(path, &about) == 0);
    return (uint64_t)about.st_blocks * 512;
}

/* A copy of a file that emmap wrote. */
static inline const char *fixture(const char *name)
{
    char from[64];
    snprintf(from, sizeof from, "fixtures/%s", name);
    size_t length;
    const uint8_t *const data = get_file(from, &length);
    const char *const path = path_of(name);
    put_file(path, data, length);
    return path;
}

#endif
