#include "shapes.h"

/* What a word held: `{ok, Integer}`; or the error. */
static void answer_word(call_t *c, emmap_error error, int64_t value)
{
    if (error) {
        reply_error(c->out, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_signed(c->out, value);
}

/* {Name, Handle} -> ok */
void perform_act(const operation_t *op, call_t *c)
{
    call_answer(c, op->core.act(c->file));
}

/* {Name, Handle, Number} -> ok */
void perform_act_on(const operation_t *op, call_t *c)
{
    uint64_t subject;
    if (call_number(c, 1, &subject))
        call_answer(c, op->core.act_on(c->file, subject));
    else
        call_badarg(c);
}

/* {Name, Handle} -> {ok, Integer} */
void perform_measure(const operation_t *op, call_t *c)
{
    uint64_t measure = 0;
    emmap_error error = op->core.measure(c->file, &measure);
    call_answer_unsigned(c, error, measure);
}

/* {Name, Handle} -> {ok, Boolean} */
void perform_ask(const operation_t *op, call_t *c)
{
    bool yes = false;
    emmap_error error = op->core.ask(c->file, &yes);
    if (error) {
        call_answer(c, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    reply_atom(c->out, yes ? "true" : "false");
}

/* {Name, Handle} -> {ok, Binary} | eof */
void perform_take(const operation_t *op, call_t *c)
{
    emmap_sink sink = reply_sink(c->out, 2);
    (void)reply_read(c->out, op->core.take(c->file, &sink));
}

/* {Name, Handle, Position, Value} -> {ok, Old} */
void perform_update(const operation_t *op, call_t *c)
{
    uint64_t position;
    int64_t value, old = 0;
    if (!call_number(c, 1, &position) || !call_operand(c, 2, &value)) {
        call_badarg(c);
        return;
    }
    emmap_error error = op->core.update(c->file, position, value, &old);
    answer_word(c, error, old);
}

/* {Name, Handle, Position, Expected, Replacement} -> {ok, Old} */
void perform_compare_exchange(const operation_t *op, call_t *c)
{
    uint64_t position;
    int64_t expected, replacement, old = 0;
    if (!call_number(c, 1, &position) || !call_operand(c, 2, &expected) ||
        !call_operand(c, 3, &replacement)) {
        call_badarg(c);
        return;
    }
    emmap_error error = op->core.compare_exchange(c->file, position, expected, replacement, &old);
    answer_word(c, error, old);
}

/* {Name, Handle, Position} -> {ok, Value} */
void perform_load(const operation_t *op, call_t *c)
{
    uint64_t position;
    int64_t value = 0;
    if (!call_number(c, 1, &position)) {
        call_badarg(c);
        return;
    }
    emmap_error error = op->core.load(c->file, position, &value);
    answer_word(c, error, value);
}

/* {Name, Handle, Position, Value} -> ok */
void perform_store(const operation_t *op, call_t *c)
{
    uint64_t position;
    int64_t value;
    if (!call_number(c, 1, &position) || !call_operand(c, 2, &value)) {
        call_badarg(c);
        return;
    }
    reply_error(c->out, op->core.store(c->file, position, value));
}
