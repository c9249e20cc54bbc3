/* Waits for words and messages. The end of a wait sends a message to its process; no scheduler waits. */
#ifndef EMMAP_NIF_WAIT_H
#define EMMAP_NIF_WAIT_H

#include "nif_call.h"

/* Opens the resource type, or takes it over from an older version of the module. */
bool nif_wait_types(ErlNifEnv *env);

nif_function nif_wait_begin, nif_counter_wait_begin, nif_queue_wait_begin, nif_cell_wait_begin, nif_wait_end;

/* Their entries in the table of NIFs. None of them blocks. */
#define NIF_WAIT_FUNCTIONS                                                                                   \
    {"wait_begin", 5, nif_wait_begin, 0}, {"counter_wait_begin", 5, nif_counter_wait_begin, 0},              \
        {"queue_wait_begin", 3, nif_queue_wait_begin, 0}, {"cell_wait_begin", 4, nif_cell_wait_begin, 0},    \
    {                                                                                                        \
        "wait_end", 2, nif_wait_end, 0                                                                       \
    }

#endif
