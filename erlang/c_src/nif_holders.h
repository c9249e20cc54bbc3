/* The processes that take messages from a queue. */
#ifndef EMMAP_NIF_HOLDERS_H
#define EMMAP_NIF_HOLDERS_H

#include "nif_file.h"

/*
 * Has all messages released that were taken with this holder, once the calling process is gone. Each process has one
 * monitor for each handle that it takes from, and not one for each message. Call it after the take: a process may be
 * killed while a dirty scheduler takes a message for it.
 */
void nif_hold(ErlNifEnv *env, struct nif_file *file, uint64_t holder);

/* A process has died. The callback `down` of the files' resource type. */
ErlNifResourceDown nif_holder_down;

/* When the file is collected. */
void nif_holders_free(struct nif_file *file);

#endif
