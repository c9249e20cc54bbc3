/* Doing an operation: its arguments are found, and the file of the first one; then it decodes the others, calls the core and
 * answers one term. */
#ifndef EMMAP_PORT_OPERATION_H
#define EMMAP_PORT_OPERATION_H

#include "table.h"

/* Takes a tuple headed by an atom apart: that atom, how many elements there are besides, and these. False for any other
 * term. */
bool operation_open(term_t tuple, const uint8_t **name, size_t *length, uint32_t *arity, term_t *arguments);

/* Finds the file of the first argument, where that is a handle: EMMAP_BADARG if it is none, EMMAP_CLOSED if it names no
 * file. */
emmap_error operation_begin(const operation_t *op, call_t *c);

/* Does what was begun, once or for one set of arguments after the other; adds exactly one term to `c->out`. */
void operation_perform(const operation_t *op, call_t *c);

/* Does the first of several operations, whatever term it is, and cuts it off; adds one term. */
void operation_perform_next(handles_t *files, term_t *rest, reply_t *out);

/*
 * To be called after each operation. True: it found a lock taken, or its file's turn is another request's, and its time is
 * not up. Its answer is to be dropped then, and it is to be done again later, from the same bytes.
 */
bool operation_waits(const handles_t *files, reply_t *out);

#endif
