/* The arguments of operations, and answers of common shapes. */
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
    handles_t *files;
    emmap_file *file; /* of the first argument, if that is a handle */
    term_t arguments[CALL_MAX_ARGUMENTS];
    reply_t *out;
} call_t;

typedef struct operation operation_t;

/* Does an operation once: adds exactly one term to `c->out`. */
typedef void perform_function_t(const operation_t *op, call_t *c);

void call_badarg(call_t *c);

/* ---- Arguments, by their index; false if one is of another type ---- */

/* A position, length, size or index. A number that 64 bits can't hold becomes one that the core refuses. The core refuses a
 * negative number by its sign bit. */
bool call_number(const call_t *c, size_t argument, uint64_t *value);

/* A place of a walk or a repair. An integer that no uint64_t holds becomes EMMAP_NO_PLACE. */
bool call_place(const call_t *c, size_t argument, uint64_t *place);

/* A 64-bit operand, from -2^63 to 2^64 - 1. */
bool call_operand(const call_t *c, size_t argument, int64_t *value);

/* The path as a string, which the caller frees. NULL: no path, a path with a NUL in it, or no memory. */
char *call_path(const call_t *c, size_t argument);

/* The bytes of a list of iodata; the caller frees *vectors. Errors: EMMAP_BADARG, ENOMEM. */
emmap_error call_vectors(const call_t *c, size_t argument, struct iovec **vectors, size_t *count);

/* The options of an operation that opens a file. False: the list is wrong, and the error is answered. */
bool call_options(call_t *c, size_t argument, emmap_options *options);

/* The arguments of every operation that opens a file: the path, which is the first, and the options. */
typedef struct call_opening {
    char *path; /* to be freed; call_opening_end does so */
    emmap_options options;
} call_opening_t;

/* False, with the error answered: there is nothing to end. */
bool call_opening_begin(call_t *c, size_t options, call_opening_t *opening);

/* Answers `{ok, Handle, #{exist, size}}`, or the error. The table of handles owns the file from here on. */
void call_opening_end(call_t *c, call_opening_t *opening, emmap_error error, emmap_file *file);

/* ---- Answers ---- */

/* `ok`, or the error with its details. */
void call_answer(call_t *c, emmap_error error);

/* `{ok, Integer}`, or the error. */
void call_answer_unsigned(call_t *c, emmap_error error, uint64_t value);

/* `{ok, [Entry]}`, or the error. */
typedef struct call_list {
    const void *entries;
    size_t count, size; /* of an entry in memory, in bytes */
    size_t longest;     /* that an entry takes in the answer, in bytes */
    void (*add)(reply_t *out, const void *entry);
} call_list_t;
void call_answer_list(call_t *c, emmap_error error, call_list_t list);

/* Begins `{ok, Handle, …}`. The table of handles owns the file from here on. On failure it answers the error: false. */
bool call_answer_file(call_t *c, emmap_error error, emmap_file *file);

#endif
