/*
 * Waits for words, messages and values: requests whose answers may come after those of later requests. The core ends a wait on
 * a thread of its own. Only the program's main thread writes answers; it sleeps on waits_descriptor and on its input.
 */
#ifndef EMMAP_PORT_WAITS_H
#define EMMAP_PORT_WAITS_H

#include "call.h"

perform_function_t perform_wait;
perform_function_t perform_counter_wait;
perform_function_t perform_cell_wait;
perform_function_t perform_queue_wait;
perform_function_t perform_queue_wait_front;
perform_function_t perform_queue_receive;
perform_function_t perform_notify;
perform_function_t perform_counter_notify;
perform_function_t perform_cancel;

/* A descriptor that is readable once a wait has ended. -1: there are no waits. */
int waits_descriptor(void);

/* Answers the waits that have ended, each in a frame of its own. */
void waits_answer(const handles_t *files, reply_t *out);

/* The number of current waits with this id. */
size_t waits_count(term_t id);

/* Forgets all waits, because the client no longer reads answers. */
void waits_free(void);

#endif
