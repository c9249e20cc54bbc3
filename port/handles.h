/*
 * The open files, each under a number by which clients name it. A number comes again only after its slot was used
 * 2^35 times. So a client that goes on with a closed number does not meet another client's file.
 */
#ifndef EMMAP_PORT_HANDLES_H
#define EMMAP_PORT_HANDLES_H

#include "emmap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct handle_slot {
    emmap_file *file;    /* NULL: free */
    uint64_t generation; /* the slot's last number has this generation */
    size_t next_free;
    uint32_t waiting; /* requests that wait for a lock, or for their turn behind one */
    uint64_t pass;    /* the last pass over waiting requests that left one of this file waiting */
} handle_slot_t;

/* Set all bytes to 0 first; end with handles_free. */
typedef struct handles {
    handle_slot_t *slots;
    size_t count;
    size_t capacity;
    size_t first_free; /* index + 1; 0: none */
    uint64_t turn;     /* the handle whose first waiting request is being done; 0: none */
} handles_t;

/* Takes the file over and gives it a number. False: no memory; then the caller still owns the file. */
bool handles_add(handles_t *table, emmap_file *file, uint64_t *number);

/* NULL: the number names no open file. */
emmap_file *handles_find(const handles_t *table, uint64_t number);

/* NULL: the number names no open file. */
handle_slot_t *handles_slot(const handles_t *table, uint64_t number);

/* True if a request on the file has to wait for its turn behind others. */
bool handles_is_behind(const handles_t *table, uint64_t number);

/* Closes and frees the file. A number that names none is ignored. */
void handles_close(handles_t *table, uint64_t number);

/* Closes all files. */
void handles_free(handles_t *table);

#endif
