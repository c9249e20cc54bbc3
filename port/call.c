#include "call.h"

#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void call_badarg(call_t *c)
{
    reply_error(c->out, EMMAP_BADARG);
}

bool call_number(const call_t *c, size_t argument, uint64_t *value)
{
    return term_integer(c->arguments[argument], value) != TERM_NO_INTEGER;
}

bool call_place(const call_t *c, size_t argument, uint64_t *place)
{
    const term_integer_range_t range = term_integer(c->arguments[argument], place);
    if (range == TERM_BEYOND || (range == TERM_SIGNED && (int64_t)*place < 0))
        *place = EMMAP_NO_PLACE;
    return range != TERM_NO_INTEGER;
}

bool call_operand(const call_t *c, size_t argument, int64_t *value)
{
    uint64_t bits;
    term_integer_range_t range = term_integer(c->arguments[argument], &bits);
    *value = (int64_t)bits;
    return range == TERM_SIGNED || range == TERM_UNSIGNED;
}

void call_answer_unsigned(call_t *c, emmap_error error, uint64_t value)
{
    if (error) {
        reply_failure(c->out, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_unsigned(c->out, value);
}

void call_answer_list(call_t *c, emmap_error error, call_list_t list)
{
    if (!error && !reply_reserve(c->out, list.count * list.longest))
        error = (emmap_error)ENOMEM;
    if (error) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    if (list.count > 0)
        reply_list(c->out, list.count);
    for (size_t i = 0; i < list.count; i++)
        list.add(c->out, (const char *)list.entries + i * list.size);
    reply_nil(c->out);
}

char *call_path(const call_t *c, size_t argument)
{
    struct iovec bytes;
    if (!term_iodata(c->arguments[argument], &bytes))
        return NULL;
    if (memchr(bytes.iov_base, 0, bytes.iov_len))
        return NULL;
    char *path = malloc(bytes.iov_len + 1);
    if (!path)
        return NULL;
    memcpy(path, bytes.iov_base, bytes.iov_len);
    path[bytes.iov_len] = 0;
    return path;
}

emmap_error call_vectors(const call_t *c, size_t argument, struct iovec **vectors, size_t *count)
{
    uint32_t length;
    term_t elements, element;
    if (!term_list(c->arguments[argument], &length, &elements))
        return EMMAP_BADARG;
    *vectors = malloc(((size_t)length + 1) * sizeof **vectors);
    if (!*vectors)
        return ENOMEM;
    bool good = true;
    for (*count = 0; good && *count < length; ++*count)
        good = term_next(&elements, &element) && term_iodata(element, &(*vectors)[*count]);
    if (good && term_is_nil(elements))
        return EMMAP_OK;
    free(*vectors);
    return EMMAP_BADARG;
}

/* `{error, {badarg, Option}}`, unless repeating the option would take a large answer. */
static void refuse_option(call_t *c, emmap_error error, term_t option)
{
    enum { LONGEST = 64 << 10 };
    if (error != EMMAP_BADARG || !option.bytes || option.length > LONGEST ||
        !reply_reserve(c->out, option.length)) {
        reply_error(c->out, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "error");
    reply_tuple(c->out, 2);
    reply_atom(c->out, "badarg");
    reply_term(c->out, option.bytes, option.length);
}

bool call_options(call_t *c, size_t argument, emmap_options *options)
{
    term_t culprit;
    const emmap_error error = options_decode(c->arguments[argument], options, &culprit);
    if (error) {
        refuse_option(c, error, culprit);
        return false;
    }
    c->out->patience = options->has_lock_timeout ? options->lock_timeout : EMMAP_LOCK_TIMEOUT;
    return true;
}

bool call_opening_begin(call_t *c, size_t options, call_opening_t *opening)
{
    if (!call_options(c, options, &opening->options))
        return false;
    opening->path = call_path(c, 0);
    if (!opening->path)
        call_badarg(c);
    return opening->path;
}

void call_opening_end(call_t *c, call_opening_t *opening, emmap_error error, emmap_file *file)
{
    free(opening->path);
    if (error) {
        if (!reply_lack(c->out, error))
            reply_failure(c->out, error);
        return;
    }
    if (!call_answer_file(c, error, file))
        return;
    emmap_info info;
    emmap_describe(file, &info);
    reply_map(c->out, 2);
    reply_atom(c->out, "exist");
    reply_atom(c->out, info.existed ? "true" : "false");
    reply_atom(c->out, "size");
    reply_unsigned(c->out, info.size);
}

bool call_answer_file(call_t *c, emmap_error error, emmap_file *file)
{
    uint64_t handle;
    if (!error && !handles_add(c->files, file, &handle)) {
        emmap_free(file);
        error = (emmap_error)ENOMEM;
    }
    if (error) {
        if (!reply_lack(c->out, error))
            reply_error(c->out, error);
        return false;
    }
    reply_tuple(c->out, 3);
    reply_atom(c->out, "ok");
    reply_unsigned(c->out, handle);
    return true;
}

void call_answer(call_t *c, emmap_error error)
{
    reply_failure(c->out, error);
}
