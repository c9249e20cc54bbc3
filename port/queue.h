/* The operations on queues that have a shape of their own. */
#ifndef EMMAP_PORT_QUEUE_H
#define EMMAP_PORT_QUEUE_H

#include "call.h"

perform_function_t perform_queue_open;
perform_function_t perform_queue_push;
perform_function_t perform_queue_push_many;
perform_function_t perform_queue_push_once;
perform_function_t perform_queue_pop_many;
perform_function_t perform_queue_remove;
perform_function_t perform_queue_pop_begin;
perform_function_t perform_queue_take;
perform_function_t perform_queue_release;
perform_function_t perform_queue_in_hand;
perform_function_t perform_queue_walk;
perform_function_t perform_queue_info;

#endif
