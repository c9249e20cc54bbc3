#include "request.h"

#include "operation.h"
#include "term.h"

#include <string.h>

/* {Id, Operation}, with nothing behind it. */
bool request_open(request *r, uint8_t *frame, size_t length)
{
    static const char batch[] = "batch";
    const uint8_t *name;
    size_t name_length;
    uint32_t arity;
    term elements, arguments;
    *r = (request){0};
    if (length < 2 || frame[0] != TERM_VERSION)
        return false;
    const term whole = {.bytes = frame + 1, .length = length - 1};
    if (term_check(whole.bytes, whole.length) != whole.length || !term_tuple(whole, &arity, &elements) ||
        arity != 2 || !term_next(&elements, &r->id) || r->id.length > REQUEST_ID_LIMIT ||
        elements.length == 0)
        return false;
    r->operation = elements;
    r->is_batch = operation_open(elements, &name, &name_length, &arity, &arguments) && arity == 1 &&
                  name_length == sizeof batch - 1 && memcmp(name, batch, name_length) == 0;
    if (r->is_batch)
        r->operation = arguments;
    return true;
}

static uint64_t lock_limit = EMMAP_NO_LIMIT;

void request_limit_locks(uint64_t milliseconds)
{
    lock_limit = milliseconds;
    emmap_lock_limit(milliseconds);
}

void request_postpone(reply *out, bool postpones)
{
    out->postpones = postpones;
    emmap_lock_limit(postpones ? 0 : lock_limit);
}

static bool perform_batch(request *r, handles *files, reply *out)
{
    out->lock_limit = EMMAP_NO_LIMIT;
    if (!r->has_begun && !batch_begin(&r->batch, r->operation, out))
        return true;
    r->has_begun = true;
    if (out->postpones)
        return batch_continue(&r->batch, files, out);
    /* Its client can't try one of the operations again before the next. */
    emmap_lock_limit(EMMAP_NO_LIMIT);
    (void)batch_continue(&r->batch, files, out);
    emmap_lock_limit(lock_limit);
    return true;
}

static bool perform_one(request *r, handles *files, reply *out)
{
    term operation = r->operation;
    out->lock_limit = lock_limit;
    out->id = &r->id;
    operation_perform_next(files, &operation, out);
    out->id = NULL;
    return !operation_waits(files, out);
}

bool request_perform(request *r, handles *files, reply *out)
{
    if (r->has_begun) {
        reply_resume(out, &r->part);
    } else {
        reply_begin(out);
        reply_tuple(out, 2);
        reply_term(out, r->id.bytes, r->id.length);
    }
    out->deadline = r->deadline;
    const bool is_done = r->is_batch ? perform_batch(r, files, out) : perform_one(r, files, out);
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

void request_move(request *r, const uint8_t *from, uint8_t *to)
{
    r->id.bytes = to + (r->id.bytes - from);
    r->operation.bytes = to + (r->operation.bytes - from);
    if (r->has_begun)
        batch_move(&r->batch, from, to);
}
