/* Queues, and messages that are being taken out of them. */
#ifndef EMMAP_NIF_QUEUE_H
#define EMMAP_NIF_QUEUE_H

#include "nif_call.h"

/* Opens the resource type, or takes it over from the module's older version. */
bool nif_queue_types(ErlNifEnv *env);

nif_function nif_queue_open, nif_queue_attach, nif_queue_length, nif_queue_compact;
nif_function nif_queue_push, nif_queue_push_many, nif_queue_pop, nif_queue_pop_many;
nif_function nif_queue_pop_begin, nif_queue_pop_commit, nif_queue_pop_abort;
nif_function nif_queue_pop_term, nif_queue_remove;
nif_function nif_queue_peek_front, nif_queue_peek_back, nif_queue_walk;
nif_function nif_queue_is_empty, nif_queue_info, nif_queue_reset, nif_queue_purge, nif_queue_erase;

#endif
