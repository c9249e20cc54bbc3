#include "request.h"

#include "hello.h"
#include "lock_limit.h"
#include "operation.h"
#include "term.h"

#include <string.h>

/* True for an operation of this name and number of arguments. */
static bool is_named(term_t operation, const char *name, uint32_t count, term_t *arguments)
{
    const uint8_t *found;
    size_t length;
    uint32_t arity;
    return operation_open(operation, &found, &length, &arity, arguments) && arity == count &&
           length == strlen(name) && memcmp(found, name, length) == 0;
}

/* {Id, Operation} or {Id, Operation, Id}, with nothing behind it. Without the memory for a long request ERTS drops the
 * rest of it, and later requests come in its place: then the frame does not end with its id. */
bool request_open(request_t *r, uint8_t *frame, size_t length)
{
    uint32_t arity;
    term_t elements, arguments;
    *r = (request_t){0};
    if (length < 2 || frame[0] != TERM_VERSION)
        return false;
    const term_t whole = {.bytes = frame + 1, .length = length - 1};
    if (term_check(whole.bytes, whole.length) != whole.length || !term_tuple(whole, &arity, &elements) ||
        (arity != 2 && arity != 3) || !term_next(&elements, &r->id) || r->id.length > ID_LIMIT ||
        !term_next(&elements, &r->operation))
        return false;
    if (arity == 3 &&
        (elements.length != r->id.length || memcmp(elements.bytes, r->id.bytes, r->id.length) != 0))
        return false;
    if (is_named(r->operation, "batch", 1, &arguments))
        r->kind = REQUEST_BATCH;
    else if (is_named(r->operation, "hello", 2, &arguments))
        r->kind = REQUEST_HELLO;
    else
        return true;
    r->operation = arguments;
    return true;
}

static bool perform_batch(request_t *r, handles_t *files, reply_t *out)
{
    out->lock_limit = EMMAP_NO_LIMIT;
    if (!r->has_begun && !batch_begin(&r->batch, r->operation, out))
        return true;
    r->has_begun = true;
    if (out->postpones)
        return batch_continue(&r->batch, files, out);
    /* Its client can't try one of the operations again before the next. */
    lock_limit_suspend(EMMAP_NO_LIMIT);
    (void)batch_continue(&r->batch, files, out);
    lock_limit_restore(out);
    return true;
}

static bool perform_one(request_t *r, handles_t *files, reply_t *out)
{
    term_t operation = r->operation;
    out->lock_limit = lock_limit_get();
    out->id = &r->id;
    operation_perform_next(files, &operation, out);
    out->id = NULL;
    return !operation_waits(files, out);
}

bool request_perform(request_t *r, handles_t *files, reply_t *out)
{
    if (r->has_begun) {
        reply_resume(out, &r->part);
    } else {
        reply_begin(out);
        reply_tuple(out, 2);
        reply_term(out, r->id.bytes, r->id.length);
    }
    out->deadline = r->deadline;
    bool is_done = true;
    if (r->kind == REQUEST_HELLO)
        hello_answer(r->operation, out);
    else
        is_done = r->kind == REQUEST_BATCH ? perform_batch(r, files, out) : perform_one(r, files, out);
    r->deadline = out->deadline;
    out->deadline = 0;
    if (!is_done && r->has_begun)
        reply_suspend(out, &r->part);
    else if (!is_done || out->later)
        reply_drop(out);
    else
        reply_end(out);
    out->later = false;
    return is_done;
}

void request_move(request_t *r, const uint8_t *from, uint8_t *to)
{
    r->id.bytes = to + (r->id.bytes - from);
    r->operation.bytes = to + (r->operation.bytes - from);
    if (r->has_begun)
        batch_move(&r->batch, from, to);
}
