#include "batch.h"

#include "operation.h"

#include <errno.h>
#include <string.h>

/*
 * A run: {each, Name, Width, Handle, [Argument]}, operations of one name on one file, whose arguments follow one another in
 * the list, this many of each. What operations begin with is most of their bytes, and of the work of taking them apart:
 * a run has it once.
 */
typedef struct run {
    const operation *op; /* NULL: none takes that */
    uint64_t width;
    term handle;
    term arguments; /* one after the other; or only bytes */
    bool is_string;
    uint32_t count; /* of operations */
} run;

/* True for {each, _, _, _, _}; `parts` are what follows the name. */
static bool is_run(term element, term *parts)
{
    static const char name[] = "each";
    const uint8_t *bytes;
    size_t length;
    uint32_t arity;
    return operation_open(element, &bytes, &length, &arity, parts) && arity == 4 &&
           length == sizeof name - 1 && memcmp(bytes, name, length) == 0;
}

/* The elements of a proper list and how many there are; false if it is none. */
static bool elements_of(term list, bool *is_string, term *elements, uint32_t *count)
{
    term rest, element;
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
static bool open_run(term parts, run *r)
{
    term name, width;
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
    r->op = term_atom_bytes(name, &bytes, &length) ? operation_find(bytes, length, r->width + 1) : NULL;
    return true;
}

/* Cuts the first argument off. Of a string it is a byte, for which `integer` is used. */
static term next_argument(run *r, uint8_t integer[TERM_BYTE_SIZE])
{
    term first;
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
static emmap_error begin_run(run *r, call *c)
{
    c->arguments[0] = r->handle;
    return r->op != NULL && operation_is_on_file(r->op) ? operation_begin(r->op, c) : EMMAP_BADARG;
}

static void perform_run(handles *files, run *r, reply *out)
{
    uint8_t integers[OPERATION_MAX_ARITY][TERM_BYTE_SIZE];
    call c = {.files = files, .out = out};
    const emmap_error error = begin_run(r, &c);
    for (uint32_t i = 0; i < r->count; i++) {
        out->kept -= REPLY_REFUSED;
        if (error != EMMAP_OK) {
            reply_error(out, error);
            continue;
        }
        for (size_t n = 1; n <= r->width; n++)
            c.arguments[n] = next_argument(r, integers[n]);
        operation_perform(r->op, &c);
    }
}

/* Does the first element, and cuts it off. */
static void perform_next(handles *files, term *rest, reply *out)
{
    term parts, element;
    run r;
    if (!is_run(*rest, &parts)) {
        out->kept -= REPLY_REFUSED;
        operation_perform_next(files, rest, out);
        return;
    }
    (void)term_next(rest, &element);
    if (open_run(parts, &r))
        perform_run(files, &r, out);
    else {
        out->kept -= REPLY_REFUSED;
        reply_error(out, EMMAP_BADARG);
    }
}

/* How many answers a batch has; false if it is no proper list, and nothing of it is to be done. */
static bool count_answers(term elements, uint32_t count, uint64_t *answers)
{
    term element, parts;
    run r;
    *answers = 0;
    for (uint32_t i = 0; i < count; i++) {
        (void)term_next(&elements, &element);
        *answers += is_run(element, &parts) && open_run(parts, &r) ? r.count : 1;
    }
    return term_is_nil(elements);
}

void batch_perform(handles *files, term list, reply *out)
{
    uint32_t count;
    uint64_t answers;
    term elements;
    if (!term_list(list, &count, &elements)) {
        reply_error(out, EMMAP_BADARG);
        return;
    }
    const bool is_proper = count_answers(elements, count, &answers);
    if (answers > BATCH_LIMIT) {
        reply_refuse(out, "emsgsize");
        return;
    }
    if (!is_proper) {
        reply_error(out, EMMAP_BADARG);
        return;
    }
    /* Those whose answer turns out too large for what is left are refused, and the others still have theirs. */
    out->kept = answers * REPLY_REFUSED;
    if (!reply_reserve(out, 0)) {
        out->kept = 0;
        reply_error(out, (emmap_error)ENOMEM);
        return;
    }
    reply_list(out, answers);
    for (uint32_t i = 0; i < count; i++)
        perform_next(files, &elements, out);
    reply_nil(out);
}
