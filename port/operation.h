/* The operations by name: each decodes its arguments, calls the core and answers one term. */
#ifndef EMMAP_PORT_OPERATION_H
#define EMMAP_PORT_OPERATION_H

#include "handles.h"
#include "reply.h"
#include "term.h"

#include <stddef.h>
#include <stdint.h>

#define OPERATION_MAX_ARITY 4

typedef struct call {
    handles *files;
    emmap_file *file; /* of the first argument, where that is a handle */
    term arguments[OPERATION_MAX_ARITY];
    reply *out;
} call;

typedef struct operation operation;

extern const size_t operation_count;

/* From 0 to operation_count - 1. */
const char *operation_name(size_t index);

/* NULL if there is none of that name and number of arguments. */
const operation *operation_find(const uint8_t *name, size_t length, uint32_t arity);

/* Adds exactly one term to `c->out`. */
void operation_perform(const operation *op, call *c);

#endif
