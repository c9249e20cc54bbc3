/*
 * The bells of queues: descriptors that become readable once a wait is woken (emmap_queue_wait_descriptor). One descriptor
 * stands for all of them, so the program can sleep on it.
 */
#ifndef EMMAP_PORT_BELLS_H
#define EMMAP_PORT_BELLS_H

#include "handles.h"

#include <stdbool.h>
#include <stdint.h>

/* A descriptor that is readable once a bell has rung, or `other` is readable. -1: bells can't be watched. */
int bells_descriptor(int other);

/* Watches the bell of a handle until the handle is closed. False: there is no bell, or it can't be watched. */
bool bells_watch(emmap_file *file, uint64_t handle);

/* Finds a handle whose bell has rung since the last call. False: there is none. */
bool bells_next(const handles_t *files, uint64_t *handle);

#endif
