/* What the operations share: their arguments, and the answers of one shape. */
#ifndef EMMAP_PORT_CALL_H
#define EMMAP_PORT_CALL_H

#include "handles.h"
#include "reply.h"
#include "term.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_MAX_ARGUMENTS 5

typedef struct call {
    handles *files;
    emmap_file *file; /* of the first argument, where that is a handle */
    term arguments[CALL_MAX_ARGUMENTS];
    reply *out;
} call;

typedef struct operation operation;

/* Does an operation once: adds exactly one term to `c->out`. */
typedef void perform_function(const operation *op, call *c);

void call_badarg(call *c);

/* ---- Arguments, by their index; false if one is of another type ---- */

/* A position, length, size or index. What 64 bits can't hold becomes a number that the core refuses; so does a
 * negative one, by its sign bit. */
bool call_number(const call *c, size_t argument, uint64_t *value);

/* A place of a walk or a repair. An integer that no uint64_t holds becomes EMMAP_NO_PLACE. */
bool call_place(const call *c, size_t argument, uint64_t *place);

/* A 64-bit operand, from -2^63 to 2^64 - 1. */
bool call_operand(const call *c, size_t argument, int64_t *value);

/* The path as a string of the caller's. NULL for no path, one with a NUL in it, and without memory. */
char *call_path(const call *c, size_t argument);

/* The bytes of a list of iodata, to be freed. Errors: EMMAP_BADARG, ENOMEM. */
emmap_error call_vectors(const call *c, size_t argument, struct iovec **vectors, size_t *count);

/* The options of an operation that opens a file. False, with the error answered: the list is wrong. */
bool call_options(call *c, size_t argument, emmap_options *options);

/* ---- Answers ---- */

/* `ok`, or the error with all that is known. */
void call_answer(call *c, emmap_error error);

/* `{ok, Integer}`, or the error. */
void call_answer_unsigned(call *c, emmap_error error, uint64_t value);

/* Begins `{ok, Handle, …}`. The table owns the file from here on. False, with the error answered, on failure. */
bool call_answer_file(call *c, emmap_error error, emmap_file *file);

/* `{ok, Handle, #{exist, size}}`, or the error. */
void call_answer_described(call *c, emmap_error error, emmap_file *file);

#endif
