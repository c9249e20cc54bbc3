/* Queues, and messages that are being taken out of them. */
#ifndef EMMAP_NIF_QUEUE_H
#define EMMAP_NIF_QUEUE_H

#include "nif_call.h"

/* Opens the resource type, or takes it over from an older version of the module. */
bool nif_queue_types(ErlNifEnv *env);

/* Removes the first message and answers its term. */
nif_function nif_queue_pop_term;

#endif
