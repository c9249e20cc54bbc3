/*
 * Waits for words and messages: the requests that are answered later than those that came after them. The core ends a wait on a thread
 * of its own; the program's one thread, which alone writes answers, sleeps on waits_descriptor besides its input.
 */
#ifndef EMMAP_PORT_WAITS_H
#define EMMAP_PORT_WAITS_H

#include "call.h"

perform_function_t perform_wait;
perform_function_t perform_counter_wait;
perform_function_t perform_cell_wait;
perform_function_t perform_queue_wait;
perform_function_t perform_queue_receive;
perform_function_t perform_notify;
perform_function_t perform_counter_notify;
perform_function_t perform_cancel;

/* Is readable once a wait has ended. -1: there are none. */
int waits_descriptor(void);

/* Answers those waits that have ended, each in a frame of its own. */
void waits_answer(const handles_t *files, reply_t *out);

/* How many waits with this id go on. */
size_t waits_count(term_t id);

/* Forgets all waits, whose answers nobody takes any more. */
void waits_free(void);

#endif
