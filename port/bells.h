/*
 * The bells of queues: descriptors that become readable once a wait is woken (emmap_queue_wait_descriptor). One descriptor
 * stands for all of them, so the program can sleep on it.
 */
#ifndef EMMAP_PORT_BELLS_H
#define EMMAP_PORT_BELLS_H

#include "handles.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A descriptor that is readable once a bell has rung, or `other` is readable. -1: bells can't be watched. */
int bells_descriptor(int other);

/* Watches the bell of a handle until the handle is closed. False: there is no bell, or it can't be watched. */
bool bells_watch(emmap_file *file, uint64_t handle);

/* Finds handles whose bells have rung since the last call. If there are more, bells_descriptor stays readable. */
enum { BELLS_AT_ONCE = 16 };
size_t bells_rung(const handles_t *files, uint64_t handles[BELLS_AT_ONCE]);

#endif
