#include "hello.h"

#include "lock_limit.h"
#include "protocol.h"
#include "table.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Shorter replies would not hold an error with its text. */
enum { SHORTEST_REPLY_LIMIT = 4096 };

static void reply_info(reply_t *out)
{
    reply_map(out, 9);
    reply_atom(out, "version");
    reply_binary(out, EMMAP_PORT_VERSION, strlen(EMMAP_PORT_VERSION));
    reply_atom(out, "protocols");
    reply_list(out, 2);
    reply_unsigned(out, HELLO_FIRST_VERSION);
    reply_unsigned(out, HELLO_LAST_VERSION);
    reply_nil(out);
    reply_atom(out, "os_pid");
    reply_signed(out, getpid());
    reply_atom(out, "frame_limit");
    reply_unsigned(out, FRAME_LIMIT);
    reply_atom(out, "reply_limit");
    reply_unsigned(out, reply_limit(out));
    reply_atom(out, "batch_limit");
    reply_unsigned(out, BATCH_LIMIT);
    reply_atom(out, "wait_limit");
    reply_unsigned(out, EMMAP_WAIT_LIMIT);
    reply_atom(out, "postponed_limit");
    reply_unsigned(out, POSTPONED_LIMIT);
    reply_atom(out, "operations");
    reply_list(out, table_length + 3);
    reply_atom(out, "hello");
    reply_atom(out, "batch");
    reply_atom(out, "each");
    for (size_t i = 0; i < table_length; i++)
        reply_atom(out, table_name(i));
    reply_nil(out);
}

void hello_write(reply_t *out)
{
    reply_begin(out);
    reply_tuple(out, 3);
    reply_atom(out, "emmap_port");
    reply_unsigned(out, HELLO_FIRST_VERSION);
    reply_info(out);
    reply_end(out);
}

/* Reads [{reply_limit, Bytes}]. */
static emmap_error decode_options(term_t list, uint64_t *reply_limit)
{
    uint32_t count, arity;
    term_t elements, option, key, value;
    char name[TERM_ATOM_SIZE];
    *reply_limit = FRAME_LIMIT;
    if (term_is_nil(list))
        return EMMAP_OK;
    if (!term_list(list, &count, &elements))
        return EMMAP_BADARG;
    for (uint32_t i = 0; i < count; i++) {
        if (!term_next(&elements, &option) || !term_tuple(option, &arity, &option) || arity != 2 ||
            !term_next(&option, &key) || !term_atom(key, name) || strcmp(name, "reply_limit") != 0 ||
            !term_next(&option, &value) || term_integer(value, reply_limit) != TERM_SIGNED)
            return EMMAP_BADARG;
    }
    if (!term_is_nil(elements))
        return EMMAP_BADARG;
    return *reply_limit < SHORTEST_REPLY_LIMIT || *reply_limit > FRAME_LIMIT ? (emmap_error)EINVAL : EMMAP_OK;
}

/* {hello, Version, Options} -> {ok, Agreed, Info} */
void hello_answer(term_t arguments, reply_t *out)
{
    term_t options;
    uint64_t version, limit;
    (void)term_next(&arguments, &options);
    if (term_integer(options, &version) != TERM_SIGNED) {
        reply_error(out, EMMAP_BADARG);
        return;
    }
    (void)term_next(&arguments, &options);
    emmap_error error = decode_options(options, &limit);
    if (!error && (version < HELLO_FIRST_VERSION || version > INT64_MAX))
        error = (emmap_error)EINVAL;
    if (error) {
        reply_error(out, error);
        return;
    }
    if (version > HELLO_LAST_VERSION)
        version = HELLO_LAST_VERSION;
    out->limit = (size_t)limit;
    lock_limit_postpone(out, version > HELLO_FIRST_VERSION);
    reply_tuple(out, 3);
    reply_atom(out, "ok");
    reply_unsigned(out, version);
    reply_info(out);
}
