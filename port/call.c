#include "call.h"

#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void call_badarg(call *c)
{
    reply_error(c->out, EMMAP_BADARG);
}

bool call_number(const call *c, size_t argument, uint64_t *value)
{
    return term_integer(c->arguments[argument], value) != TERM_NO_INTEGER;
}

bool call_place(const call *c, size_t argument, uint64_t *place)
{
    const term_integer_range range = term_integer(c->arguments[argument], place);
    if (range == TERM_BEYOND || (range == TERM_SIGNED && (int64_t)*place < 0))
        *place = EMMAP_NO_PLACE;
    return range != TERM_NO_INTEGER;
}

bool call_operand(const call *c, size_t argument, int64_t *value)
{
    uint64_t bits;
    term_integer_range range = term_integer(c->arguments[argument], &bits);
    *value = (int64_t)bits;
    return range == TERM_SIGNED || range == TERM_UNSIGNED;
}

void call_answer_unsigned(call *c, emmap_error error, uint64_t value)
{
    if (error != EMMAP_OK) {
        reply_failure(c->out, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_unsigned(c->out, value);
}

char *call_path(const call *c, size_t argument)
{
    struct iovec bytes;
    if (!term_iodata(c->arguments[argument], &bytes))
        return NULL;
    if (memchr(bytes.iov_base, 0, bytes.iov_len) != NULL)
        return NULL;
    char *path = malloc(bytes.iov_len + 1);
    if (path == NULL)
        return NULL;
    memcpy(path, bytes.iov_base, bytes.iov_len);
    path[bytes.iov_len] = 0;
    return path;
}

emmap_error call_vectors(const call *c, size_t argument, struct iovec **vectors, size_t *count)
{
    uint32_t length;
    term elements, element;
    if (!term_list(c->arguments[argument], &length, &elements))
        return EMMAP_BADARG;
    *vectors = malloc(((size_t)length + 1) * sizeof **vectors);
    if (*vectors == NULL)
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
static void refuse_option(call *c, emmap_error error, term option)
{
    enum { LONGEST = 64 << 10 };
    if (error != EMMAP_BADARG || option.bytes == NULL || option.length > LONGEST ||
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

bool call_options(call *c, size_t argument, emmap_options *options)
{
    term culprit;
    const emmap_error error = options_decode(c->arguments[argument], options, &culprit);
    if (error != EMMAP_OK) {
        refuse_option(c, error, culprit);
        return false;
    }
    c->out->patience = options->has_lock_timeout ? options->lock_timeout : EMMAP_LOCK_TIMEOUT;
    return true;
}

bool call_answer_file(call *c, emmap_error error, emmap_file *file)
{
    uint64_t handle;
    if (error == EMMAP_OK && !handles_add(c->files, file, &handle)) {
        emmap_free(file);
        error = (emmap_error)ENOMEM;
    }
    if (error != EMMAP_OK) {
        if (!reply_lack(c->out, error))
            reply_error(c->out, error);
        return false;
    }
    reply_tuple(c->out, 3);
    reply_atom(c->out, "ok");
    reply_unsigned(c->out, handle);
    return true;
}

void call_answer(call *c, emmap_error error)
{
    reply_failure(c->out, error);
}

void call_answer_described(call *c, emmap_error error, emmap_file *file)
{
    if (error != EMMAP_OK) {
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
