/*
 * The bells of queues: descriptors that become readable once a wait is woken (emmap_queue_wait_descriptor). The program
 * sleeps on all of them by one descriptor.
 */
#ifndef EMMAP_PORT_BELLS_H
#define EMMAP_PORT_BELLS_H

#include "handles.h"

#include <stdbool.h>
#include <stdint.h>

/* Is readable once a bell has rung, or `other` is readable. -1 where bells can't be watched. */
int bells_descriptor(int other);

/* Watches the bell of a handle until it is closed. False: the handle has no bell, or it can't be watched. */
bool bells_watch(emmap_file *file, uint64_t handle);

/* A handle whose bell has rung since. False: there is none. */
bool bells_next(const handles_t *files, uint64_t *handle);

#endif
