#include "request.h"

#include "batch.h"
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
    reply_map(out, 6);
    reply_atom(out, "version");
    reply_binary(out, EMMAP_PORT_VERSION, strlen(EMMAP_PORT_VERSION));
    reply_atom(out, "os_pid");
    reply_signed(out, getpid());
    reply_atom(out, "frame_limit");
    reply_unsigned(out, FRAME_LIMIT);
    reply_atom(out, "batch_limit");
    reply_unsigned(out, BATCH_LIMIT);
    reply_atom(out, "wait_limit");
    reply_unsigned(out, EMMAP_WAIT_LIMIT);
    reply_atom(out, "operations");
    reply_list(out, operation_count + 2);
    reply_atom(out, "batch");
    reply_atom(out, "each");
    for (size_t i = 0; i < operation_count; i++)
        reply_atom(out, operation_name(i));
    reply_nil(out);
    reply_end(out);
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

static uint64_t lock_limit = EMMAP_NO_LIMIT;

void request_limit_locks(uint64_t milliseconds)
{
    lock_limit = milliseconds;
    emmap_lock_limit(milliseconds);
}

/* Its client can't try one of the operations again before the next. */
static void perform_batch(handles *files, term list, reply *out)
{
    emmap_lock_limit(EMMAP_NO_LIMIT);
    batch_perform(files, list, out);
    emmap_lock_limit(lock_limit);
}

static void perform_one(handles *files, term asked, term id, reply *out)
{
    out->id = &id;
    operation_perform_next(files, &asked, out);
    out->id = NULL;
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
    if (operation_open(asked, &name, &name_length, &arity, &arguments) && arity == 1 &&
        name_length == sizeof batch - 1 && memcmp(name, batch, name_length) == 0)
        perform_batch(files, arguments, out);
    else
        perform_one(files, asked, id, out);
    if (out->later)
        reply_drop(out);
    else
        reply_end(out);
    out->later = false;
    return true;
}
