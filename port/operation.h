/* Doing an operation: find its arguments, and the file of the first one; decode the others, call the core, and answer one
 * term. */
#ifndef EMMAP_PORT_OPERATION_H
#define EMMAP_PORT_OPERATION_H

#include "table.h"

/* Takes apart a tuple that begins with an atom: the atom, the number of the other elements, and these elements. False: the
 * term is none. */
bool operation_open(term_t tuple, const uint8_t **name, size_t *length, uint32_t *arity, term_t *arguments);

/* Finds the file of the first argument, if the operation takes a handle there. Errors: EMMAP_BADARG if it is no handle;
 * EMMAP_CLOSED if it names no open file. */
emmap_error operation_begin(const operation_t *op, call_t *c);

/* Does an operation that was begun, once for each set of arguments; adds exactly one term to `c->out`. */
void operation_perform(const operation_t *op, call_t *c);

/* Does the first of several operations and cuts it off; adds one term. The operation may be any term. */
void operation_perform_next(handles_t *files, term_t *rest, reply_t *out);

/*
 * Call it after each operation. True: the operation found a lock taken, or an earlier request waits for its file, and its
 * time is not over. Then drop its answer, and do it again later, from the same bytes.
 */
bool operation_waits(const handles_t *files, reply_t *out);

#endif
