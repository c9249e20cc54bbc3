/* Ending the work of a process that is gone. */
#ifndef EMMAP_NIF_LATER_H
#define EMMAP_NIF_LATER_H

#include "nif_file.h"

/*
 * Calls a function of the core until it has found no lock taken. The caller is a destructor or the like: it runs on a
 * normal scheduler, which may not wait for other users of the queue, and nobody gets the answer. So the function is
 * tried once, and then a thread goes on.
 */
void nif_later(struct nif_file *file, emmap_error (*function)(emmap_file *file, uint64_t number),
               uint64_t number);

#endif
