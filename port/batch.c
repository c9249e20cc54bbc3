#include "batch.h"

#include <errno.h>
#include <string.h>

/* True for {each, _, _, _, _}; `parts` are what follows the name. */
static bool is_run(term_t element, term_t *parts)
{
    static const char name[] = "each";
    const uint8_t *bytes;
    size_t length;
    uint32_t arity;
    return operation_open(element, &bytes, &length, &arity, parts) && arity == 4 &&
           length == sizeof name - 1 && memcmp(bytes, name, length) == 0;
}

/* The elements of a proper list and how many there are; false if it is none. */
static bool elements_of(term_t list, bool *is_string, term_t *elements, uint32_t *count)
{
    term_t rest, element;
    *is_string = term_string(list, elements);
    if (*is_string) {
        *count = (uint32_t)elements->length;
        return true;
    }
    if (!term_list(list, count, elements))
        return false;
    rest = *elements;
    for (uint32_t i = 0; i < *count; i++)
        (void)term_next(&rest, &element);
    return term_is_nil(rest);
}

/* False for what does not say how many operations there are. */
static bool open_run(term_t parts, run_t *r)
{
    term_t name, width;
    const uint8_t *bytes;
    size_t length;
    uint32_t count;
    (void)term_next(&parts, &name);
    (void)term_next(&parts, &width);
    (void)term_next(&parts, &r->handle);
    if (term_integer(width, &r->width) != TERM_SIGNED || r->width == 0 || r->width > INT64_MAX ||
        !elements_of(parts, &r->is_string, &r->arguments, &count) || count % r->width != 0)
        return false;
    r->count = (uint32_t)(count / r->width);
    r->op = term_atom_bytes(name, &bytes, &length) ? table_find(bytes, length, r->width + 1) : NULL;
    return true;
}

/* Cuts the first argument off. Of a string it is a byte, for which `integer` is used. */
static term_t next_argument(run_t *r, uint8_t integer[TERM_BYTE_SIZE])
{
    term_t first;
    if (!r->is_string) {
        (void)term_next(&r->arguments, &first);
        return first;
    }
    first = term_byte(*r->arguments.bytes, integer);
    r->arguments.bytes++;
    r->arguments.length--;
    return first;
}

/* An operation that opens or closes is none for a run. */
static emmap_error begin_run(run_t *r, call_t *c)
{
    c->arguments[0] = r->handle;
    return r->op && r->op->on_file ? operation_begin(r->op, c) : EMMAP_BADARG;
}

/* Takes the answer of an operation that waits for a lock back. False: it does not wait. */
static bool take_back(handles_t *files, reply_t *out, size_t start)
{
    if (!operation_waits(files, out))
        return false;
    out->length = start;
    out->kept += REPLY_REFUSED;
    return true;
}

/* False: an operation waits for a lock, and the run's count is how many are left. */
static bool continue_run(run_t *r, handles_t *files, reply_t *out)
{
    uint8_t integers[CALL_MAX_ARGUMENTS][TERM_BYTE_SIZE];
    call_t c = {.files = files, .out = out};
    out->lane = 0;
    const emmap_error error = begin_run(r, &c);
    for (; r->count > 0; r->count--) {
        const size_t start = out->length;
        const term_t arguments = r->arguments;
        out->kept -= REPLY_REFUSED;
        if (!error) {
            for (size_t n = 1; n <= r->width; n++)
                c.arguments[n] = next_argument(r, integers[n]);
            operation_perform(r->op, &c);
        } else {
            reply_error(out, error);
        }
        if (take_back(files, out, start)) {
            r->arguments = arguments;
            return false;
        }
    }
    return true;
}

/* Does the first element, and cuts it off. False: it waits for a lock. */
static bool continue_with_next(batch_t *b, handles_t *files, reply_t *out)
{
    term_t parts, element;
    const term_t elements = b->elements;
    const size_t start = out->length;
    if (is_run(elements, &parts)) {
        (void)term_next(&b->elements, &element);
        if (open_run(parts, &b->run))
            return continue_run(&b->run, files, out);
        b->run.count = 0;
        out->kept -= REPLY_REFUSED;
        reply_error(out, EMMAP_BADARG);
        return true;
    }
    out->kept -= REPLY_REFUSED;
    operation_perform_next(files, &b->elements, out);
    if (!take_back(files, out, start))
        return true;
    b->elements = elements;
    return false;
}

/* How many answers a batch has; false if it is no proper list, and nothing of it is to be done. */
static bool count_answers(term_t elements, uint32_t count, uint64_t *answers)
{
    term_t element, parts;
    run_t r;
    *answers = 0;
    for (uint32_t i = 0; i < count; i++) {
        (void)term_next(&elements, &element);
        *answers += is_run(element, &parts) && open_run(parts, &r) ? r.count : 1;
    }
    return term_is_nil(elements);
}

bool batch_begin(batch_t *b, term_t list, reply_t *out)
{
    uint64_t answers;
    *b = (batch_t){0};
    if (!term_list(list, &b->left, &b->elements)) {
        reply_error(out, EMMAP_BADARG);
        return false;
    }
    const bool is_proper = count_answers(b->elements, b->left, &answers);
    if (answers > BATCH_LIMIT) {
        reply_refuse(out, "emsgsize");
        return false;
    }
    if (!is_proper) {
        reply_error(out, EMMAP_BADARG);
        return false;
    }
    /* Those whose answer turns out too large for what is left are refused, and the others still have theirs. */
    out->kept = answers * REPLY_REFUSED;
    if (!reply_reserve(out, 0)) {
        out->kept = 0;
        reply_error(out, (emmap_error)ENOMEM);
        return false;
    }
    reply_list(out, answers);
    return true;
}

bool batch_continue(batch_t *b, handles_t *files, reply_t *out)
{
    if (b->run.count > 0 && !continue_run(&b->run, files, out))
        return false;
    while (b->left > 0) {
        b->left--;
        if (!continue_with_next(b, files, out)) {
            /* A run that has begun is no element any more. */
            b->left += b->run.count == 0;
            return false;
        }
    }
    reply_nil(out);
    return true;
}

void batch_move(batch_t *b, const uint8_t *from, uint8_t *to)
{
    term_t *const terms[] = {&b->elements, &b->run.handle, &b->run.arguments};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        if (terms[i]->bytes)
            terms[i]->bytes = to + (terms[i]->bytes - from);
}
