/* Queues, and messages that are being taken out of them. */
#ifndef EMMAP_NIF_QUEUE_H
#define EMMAP_NIF_QUEUE_H

#include "nif_call.h"

/* Opens the resource type, or takes it over from the module's older version. */
bool nif_queue_types(ErlNifEnv *env);

/* Takes the first message out and answers its term: what only BEAM can. */
nif_function nif_queue_pop_term;

#endif
