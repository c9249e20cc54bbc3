#include "operation.h"

#include <errno.h>
#include <time.h>

/* Memory can't be lent through a pipe. A copy, which does not follow the file, would not be what was asked for. */
static bool is_direct(emmap_file *file)
{
    emmap_info info;
    emmap_describe(file, &info);
    return info.flags & EMMAP_OPEN_DIRECT;
}

emmap_error operation_begin(const operation_t *op, call_t *c)
{
    uint64_t handle;
    if (!op->on_file)
        return EMMAP_OK;
    if (!call_number(c, 0, &handle))
        return EMMAP_BADARG;
    const handle_slot_t *const slot = handles_slot(c->files, handle);
    if (!slot)
        return EMMAP_CLOSED;
    c->file = slot->file;
    c->out->lane = handle;
    if (slot->waiting > 0 && handle != c->files->turn)
        return (emmap_error)ETIMEDOUT;
    return op->lends && is_direct(c->file) ? (emmap_error)ENOTSUP : EMMAP_OK;
}

void operation_perform(const operation_t *op, call_t *c)
{
    if (c->out->postpones)
        term_keep_lists();
    if (reply_reserve(c->out, 0))
        op->perform(op, c);
    else
        reply_error(c->out, (emmap_error)ENOMEM);
}

bool operation_open(term_t tuple, const uint8_t **name, size_t *length, uint32_t *arity, term_t *arguments)
{
    term_t head;
    if (!term_tuple(tuple, arity, arguments) || *arity == 0)
        return false;
    *arity -= 1;
    return term_next(arguments, &head) && term_atom_bytes(head, name, length);
}

void operation_perform_next(handles_t *files, term_t *rest, reply_t *out)
{
    const uint8_t *name;
    size_t length;
    uint32_t arity;
    term_t arguments;
    call_t c = {.files = files, .out = out};
    const operation_t *op =
        operation_open(*rest, &name, &length, &arity, &arguments) ? table_find(name, length, arity) : NULL;
    out->lane = 0;
    if (!op) {
        term_t ignored;
        (void)term_next(rest, &ignored);
        reply_error(out, EMMAP_BADARG);
        return;
    }
    /* They are there: the whole frame has been checked. */
    for (uint32_t i = 0; i < arity; i++)
        (void)term_next(&arguments, &c.arguments[i]);
    *rest = arguments;
    const emmap_error error = operation_begin(op, &c);
    if (!error)
        operation_perform(op, &c);
    else
        reply_error(out, error);
}

/* Milliseconds of the monotonic clock, from 1 up. */
static uint64_t now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000 + 1;
}

/* How long the operation is to be tried: as its file's lock_timeout says, or the options of the open that it is. */
static uint64_t patience(const handles_t *files, const reply_t *out)
{
    emmap_info info;
    emmap_file *const file = handles_find(files, out->lane);
    if (!file)
        return out->patience;
    emmap_describe(file, &info);
    return info.lock_timeout;
}

bool operation_waits(const handles_t *files, reply_t *out)
{
    if (!out->postpones)
        return false;
    bool waits = false;
    if (out->locked) {
        out->locked = false;
        const uint64_t time = now();
        if (out->deadline == 0) {
            const uint64_t asked = patience(files, out);
            const uint64_t limit = asked < out->lock_limit ? asked : out->lock_limit;
            out->deadline = limit > UINT64_MAX - time ? UINT64_MAX : time + limit;
        }
        waits = time < out->deadline;
    }
    if (waits)
        term_restore_lists();
    else
        out->deadline = 0;
    term_forget_lists();
    return waits;
}
