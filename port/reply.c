#include "reply.h"

#include "client.h"
#include "frame.h"

#include <ei.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    USUAL_CAPACITY = 64 << 10,
    SCALAR_SIZE = 3 + 255 * 4, /* the longest atom; integers and headers are shorter */
    CLIENT_STEP = 4 << 20
};

void reply_free(reply_t *out)
{
    free(out->bytes);
    out->bytes = NULL;
    out->capacity = out->length = 0;
}

void reply_clear(reply_t *out)
{
    if (out->capacity > 16 * (size_t)USUAL_CAPACITY)
        reply_free(out);
    out->length = 0;
}

size_t reply_limit(const reply_t *out)
{
    return out->limit ? out->limit : FRAME_LIMIT;
}

static bool make_room(reply_t *out, size_t length)
{
    if (out->capacity - out->length >= length)
        return true;
    size_t capacity = out->capacity ? out->capacity : USUAL_CAPACITY;
    while (capacity - out->length < length)
        capacity *= 2;
    uint8_t *bytes = realloc(out->bytes, capacity);
    if (!bytes) {
        capacity = out->length + length;
        bytes = realloc(out->bytes, capacity);
    }
    if (!bytes)
        return false;
    out->bytes = bytes;
    out->capacity = capacity;
    return true;
}

bool reply_reserve(reply_t *out, size_t length)
{
    return make_room(out, length + out->kept + REPLY_SLACK);
}

static void end_without_memory(void)
{
    fprintf(stderr, "emmap_port: out of memory\n");
    exit(EXIT_FAILURE);
}

static char *room(reply_t *out, size_t length)
{
    if (!make_room(out, length))
        end_without_memory();
    return (char *)out->bytes + out->length;
}

void reply_begin(reply_t *out)
{
    int index = 0;
    out->frame = out->length;
    out->allowed = CLIENT_STEP;
    char *at = room(out, FRAME_HEADER + 1);
    ei_encode_version(at + FRAME_HEADER, &index);
    out->length += FRAME_HEADER + 1;
}

void reply_drop(reply_t *out)
{
    out->length = out->frame;
}

void reply_suspend(reply_t *out, reply_part_t *part)
{
    const size_t start = out->frame + FRAME_HEADER + 1;
    part->length = out->length - start;
    part->kept = out->kept;
    part->bytes = malloc(part->length);
    if (!part->bytes)
        end_without_memory();
    memcpy(part->bytes, out->bytes + start, part->length);
    reply_drop(out);
    out->kept = 0;
}

void reply_resume(reply_t *out, reply_part_t *part)
{
    reply_begin(out);
    reply_term(out, part->bytes, part->length);
    out->kept = part->kept;
    free(part->bytes);
    *part = (reply_part_t){0};
}

void reply_end(reply_t *out)
{
    size_t length = out->length - out->frame - FRAME_HEADER;
    for (size_t i = 0; i < FRAME_HEADER; i++)
        out->bytes[out->frame + i] = (uint8_t)(length >> (24 - 8 * i));
}

/* One scalar by libei, which answers how long it was through an index. */
#define ENCODE(out, encode, ...)                                                                             \
    do {                                                                                                     \
        int index = 0;                                                                                       \
        encode(room(out, SCALAR_SIZE), &index, __VA_ARGS__);                                                 \
        (out)->length += (size_t)index;                                                                      \
    } while (0)

void reply_atom(reply_t *out, const char *name)
{
    ENCODE(out, ei_encode_atom_as, name, ERLANG_UTF8, ERLANG_UTF8);
}

void reply_signed(reply_t *out, int64_t value)
{
    ENCODE(out, ei_encode_longlong, value);
}

void reply_unsigned(reply_t *out, uint64_t value)
{
    ENCODE(out, ei_encode_ulonglong, value);
}

void reply_tuple(reply_t *out, unsigned arity)
{
    ENCODE(out, ei_encode_tuple_header, (int)arity);
}

void reply_list(reply_t *out, size_t count)
{
    if (count > 0)
        ENCODE(out, ei_encode_list_header, (int)count);
}

void reply_nil(reply_t *out)
{
    int index = 0;
    ei_encode_empty_list(room(out, 1), &index);
    out->length += (size_t)index;
}

void reply_map(reply_t *out, unsigned pairs)
{
    ENCODE(out, ei_encode_map_header, (int)pairs);
}

enum { BINARY_HEADER = 5 };

/* Where the bytes of a binary go, for which there is room. */
static uint8_t *place_binary(reply_t *out, size_t length)
{
    uint8_t *at = out->bytes + out->length;
    at[0] = ERL_BINARY_EXT;
    for (size_t i = 0; i < 4; i++)
        at[1 + i] = (uint8_t)(length >> (24 - 8 * i));
    out->length += BINARY_HEADER + length;
    return at + BINARY_HEADER;
}

void reply_binary(reply_t *out, const void *bytes, size_t length)
{
    (void)room(out, length + SCALAR_SIZE);
    memcpy(place_binary(out, length), bytes, length);
}

void reply_term(reply_t *out, const uint8_t *bytes, size_t length)
{
    memcpy(room(out, length), bytes, length);
    out->length += length;
}

void reply_refuse(reply_t *out, const char *reason)
{
    reply_tuple(out, 2);
    reply_atom(out, "error");
    reply_atom(out, reason);
}

void reply_error(reply_t *out, emmap_error error)
{
    if (error == ETIMEDOUT)
        out->locked = true;
    if (!error)
        reply_atom(out, "ok");
    else if (error == EMMAP_EOF)
        reply_atom(out, "eof");
    else
        reply_refuse(out, emmap_error_atom(error));
}

void reply_failure(reply_t *out, emmap_error error)
{
    const emmap_failure *const failure = emmap_last_failure();
    if (error != EMMAP_CORRUPT || failure->error != error) {
        reply_error(out, error);
        return;
    }
    const char *const reason = failure->reason ? failure->reason : emmap_error_message(error);
    reply_tuple(out, 2);
    reply_atom(out, "error");
    reply_tuple(out, 3);
    reply_atom(out, "corrupt");
    reply_unsigned(out, failure->offset);
    reply_binary(out, reason, strlen(reason));
}

bool reply_lack(reply_t *out, emmap_error error)
{
    const emmap_failure *const failure = emmap_last_failure();
    if (failure->error != error || failure->about != EMMAP_ABOUT_FILE_SYSTEM)
        return false;
    reply_tuple(out, 2);
    reply_atom(out, "error");
    reply_tuple(out, 2);
    reply_atom(out, emmap_error_atom(error));
    reply_binary(out, failure->reason, strlen(failure->reason));
    return true;
}

/* The client's memory is asked for in steps, since asking takes longer than copying a short piece. */
static bool client_takes(reply_t *out, size_t frame)
{
    if (frame <= out->allowed)
        return true;
    if (!client_can_receive(frame))
        return false;
    out->allowed = frame + CLIENT_STEP;
    return true;
}

static void *allocate(void *context, size_t length)
{
    reply_t *out = context;
    const size_t used = out->length - out->frame;
    const size_t limit = reply_limit(out);
    if (used >= limit || length > limit - used) {
        out->too_long = true;
        return NULL;
    }
    if (!client_takes(out, used + length))
        return NULL;
    out->has_bytes = reply_reserve(out, BINARY_HEADER + length);
    return out->has_bytes ? place_binary(out, length) : NULL;
}

emmap_sink reply_sink(reply_t *out, unsigned arity)
{
    out->read_start = out->length;
    out->has_bytes = false;
    out->too_long = false;
    reply_tuple(out, arity);
    reply_atom(out, "ok");
    return (emmap_sink){.allocate = allocate, .context = out};
}

void reply_read_drop(reply_t *out)
{
    out->length = out->read_start;
}

bool reply_read(reply_t *out, emmap_error error)
{
    if (!error) {
        if (!out->has_bytes)
            reply_binary(out, "", 0);
        return true;
    }
    reply_read_drop(out);
    if (out->too_long)
        reply_refuse(out, "emsgsize");
    else
        reply_failure(out, error);
    return false;
}

/* ---- Lists of binaries ---- */

/* A list's length is known when the list is there: its header is filled in last. */
enum { LIST_HEADER = 5 };

static void *allocate_piece(void *context, size_t length)
{
    reply_t *out = context;
    void *const place = allocate(out, length);
    if (place)
        out->pieces++;
    else
        out->is_short = true;
    return place;
}

emmap_sink reply_list_sink(reply_t *out, unsigned arity)
{
    out->read_start = out->length;
    out->too_long = out->is_short = false;
    out->pieces = 0;
    reply_tuple(out, arity);
    reply_atom(out, "ok");
    (void)room(out, LIST_HEADER);
    out->list_start = out->length;
    out->length += LIST_HEADER;
    return (emmap_sink){.allocate = allocate_piece, .context = out};
}

bool reply_list_cut(reply_t *out, emmap_error error, uint64_t *limit)
{
    if (!error || !out->is_short || out->pieces == 0)
        return false;
    *limit = out->pieces;
    out->length = out->read_start;
    return true;
}

bool reply_list_read(reply_t *out, emmap_error error)
{
    if (error)
        return reply_read(out, error);
    int index = 0;
    if (out->pieces == 0)
        out->length = out->list_start;
    else
        ei_encode_list_header((char *)out->bytes + out->list_start, &index, (int)out->pieces);
    reply_nil(out);
    return true;
}
