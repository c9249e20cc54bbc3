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

/* Takes a tuple headed by an atom apart: that atom, how many elements there are besides, and these. */
static bool open_operation(term tuple, const uint8_t **name, size_t *length, uint32_t *arity, term *arguments)
{
    term head;
    if (!term_tuple(tuple, arity, arguments) || *arity == 0)
        return false;
    *arity -= 1;
    return term_next(arguments, &head) && term_atom_bytes(head, name, length);
}

/* Does the first operation, and cuts it off. */
static void perform_next(handles *files, term *rest, reply *out)
{
    const uint8_t *name;
    size_t length;
    uint32_t arity;
    term arguments;
    call c = {.files = files, .out = out};
    const operation *op = open_operation(*rest, &name, &length, &arity, &arguments)
                              ? operation_find(name, length, arity)
                              : NULL;
    if (op == NULL) {
        term ignored;
        (void)term_next(rest, &ignored);
        reply_error(out, EMMAP_BADARG);
        return;
    }
    /* They are there: the whole frame has been checked. */
    for (uint32_t i = 0; i < arity; i++)
        (void)term_next(&arguments, &c.arguments[i]);
    *rest = arguments;
    operation_perform(op, &c);
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
    for (uint32_t i = 0; i < count; i++)
        perform_next(files, &elements, out);
    reply_nil(out);
}

/* {Id, Operation}, with nothing behind it. */
static bool open_request(term frame, term *id, term *asked)
{
    uint32_t arity;
    term elements;
    return term_check(frame.bytes, frame.length) == frame.length && term_tuple(frame, &arity, &elements) &&
           arity == 2 && term_next(&elements, id) && id->length <= REQUEST_ID_LIMIT &&
           (*asked = elements).length > 0;
}

bool request_answer(handles *files, uint8_t *frame, size_t length, reply *out)
{
    static const char batch[] = "batch";
    const uint8_t *name;
    size_t name_length;
    uint32_t arity;
    term id, asked, arguments;
    if (length < 2 || frame[0] != TERM_VERSION)
        return false;
    if (!open_request((term){.bytes = frame + 1, .length = length - 1}, &id, &asked))
        return false;

    reply_begin(out);
    reply_tuple(out, 2);
    reply_term(out, id.bytes, id.length);
    if (open_operation(asked, &name, &name_length, &arity, &arguments) && arity == 1 &&
        name_length == sizeof batch - 1 && memcmp(name, batch, name_length) == 0)
        perform_batch(files, arguments, out);
    else
        perform_next(files, &asked, out);
    reply_end(out);
    return true;
}
