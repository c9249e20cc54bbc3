#include "request.h"

#include "frame.h"
#include "operation.h"
#include "term.h"

#include <string.h>
#include <unistd.h>

void request_hello(reply *out)
{
    reply_begin(out);
    reply_tuple(out, 3);
    reply_atom(out, "emmap_port");
    reply_unsigned(out, REQUEST_PROTOCOL_VERSION);
    reply_map(out, 5);
    reply_atom(out, "version");
    reply_binary(out, EMMAP_PORT_VERSION, strlen(EMMAP_PORT_VERSION));
    reply_atom(out, "os_pid");
    reply_signed(out, getpid());
    reply_atom(out, "frame_limit");
    reply_unsigned(out, FRAME_LIMIT);
    reply_atom(out, "batch_limit");
    reply_unsigned(out, REQUEST_BATCH_LIMIT);
    reply_atom(out, "operations");
    reply_list(out, operation_count + 1);
    reply_atom(out, "batch");
    for (size_t i = 0; i < operation_count; i++)
        reply_atom(out, operation_name(i));
    reply_nil(out);
    reply_end(out);
}

/* Takes a tuple headed by an atom apart. */
static bool open_operation(term whole, char name[TERM_ATOM_SIZE], uint32_t *arity, term *arguments)
{
    term head;
    if (!term_tuple(whole, arity, arguments) || *arity == 0)
        return false;
    *arity -= 1;
    return term_next(arguments, &head) && term_atom(head, name);
}

static void perform(handles *files, term whole, reply *out)
{
    char name[TERM_ATOM_SIZE];
    uint32_t arity;
    term arguments;
    call c = {.files = files, .out = out};
    const operation *op =
        open_operation(whole, name, &arity, &arguments) ? operation_find(name, arity) : NULL;
    bool complete = op != NULL;
    for (uint32_t i = 0; complete && i < arity; i++)
        complete = term_next(&arguments, &c.arguments[i]);
    if (complete)
        operation_perform(op, &c);
    else
        reply_error(out, EMMAP_BADARG);
}

/* {batch, [Operation]}: all in order, one after the other's failure too. */
static void perform_batch(handles *files, term list, reply *out)
{
    uint32_t count;
    term elements, rest, one;
    if (!term_list(list, &count, &elements)) {
        reply_error(out, EMMAP_BADARG);
        return;
    }
    if (count > REQUEST_BATCH_LIMIT) {
        reply_refuse(out, "emsgsize");
        return;
    }
    rest = elements;
    for (uint32_t i = 0; i < count; i++)
        (void)term_next(&rest, &one);
    if (!term_is_nil(rest)) { /* an improper list: nothing of it is done */
        reply_error(out, EMMAP_BADARG);
        return;
    }
    reply_list(out, count);
    for (uint32_t i = 0; i < count && term_next(&elements, &one); i++)
        perform(files, one, out);
    reply_nil(out);
}

bool request_answer(handles *files, uint8_t *frame, size_t length, reply *out)
{
    char name[TERM_ATOM_SIZE];
    uint32_t arity;
    term whole, elements, id, asked, arguments;
    if (length < 1 || frame[0] != TERM_VERSION)
        return false;
    whole = (term){.bytes = frame + 1, .length = length - 1};
    if (term_check(whole.bytes, whole.length) != whole.length)
        return false;
    if (whole.length == 0 || !term_tuple(whole, &arity, &elements) || arity != 2)
        return false;
    if (!term_next(&elements, &id) || !term_next(&elements, &asked))
        return false;
    if (id.length > REQUEST_ID_LIMIT)
        return false;

    reply_begin(out);
    reply_tuple(out, 2);
    reply_term(out, id.bytes, id.length);
    if (open_operation(asked, name, &arity, &arguments) && arity == 1 && strcmp(name, "batch") == 0)
        perform_batch(files, arguments, out);
    else
        perform(files, asked, out);
    reply_end(out);
    return true;
}
