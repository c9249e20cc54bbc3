#include "cell.h"

#include <stdlib.h>

/* {cell_open, Path, MaxBytes, Options} -> {ok, Handle, #{exist, size}} */
void perform_cell_open(const operation_t *op, call_t *c)
{
    (void)op;
    call_opening_t opening;
    emmap_file *file = NULL;
    uint64_t max_bytes;
    if (!call_number(c, 1, &max_bytes)) {
        call_badarg(c);
        return;
    }
    if (!call_opening_begin(c, 2, &opening))
        return;
    const emmap_error error = emmap_cell_open(opening.path, max_bytes, &opening.options, &file);
    call_opening_end(c, &opening, error, file);
}

/* {cell_publish, Handle, Bytes} -> ok */
void perform_cell_publish(const operation_t *op, call_t *c)
{
    (void)op;
    struct iovec bytes;
    if (term_iodata(c->arguments[1], &bytes))
        call_answer(c, emmap_cell_publish(c->file, &bytes, 1));
    else
        call_badarg(c);
}

/* {cell_get, Handle} -> {ok, Binary, Version} | eof */
void perform_cell_get(const operation_t *op, call_t *c)
{
    (void)op;
    uint64_t version = 0;
    emmap_sink sink = reply_sink(c->out, 3);
    if (reply_read(c->out, emmap_cell_get(c->file, &sink, &version)))
        reply_unsigned(c->out, version);
}
