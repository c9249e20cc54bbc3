/*
 * The open files, each under a number that a client names it by. A number is not given again before its slot
 * has been used 2^35 times, so a client that goes on with a closed one meets nobody else's file.
 */
#ifndef EMMAP_PORT_HANDLES_H
#define EMMAP_PORT_HANDLES_H

#include "emmap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct handle_slot {
    emmap_file *file;    /* NULL: free */
    uint64_t generation; /* of the number that was given last */
    size_t next_free;
    uint32_t waiting; /* requests that wait for a lock, or for their turn behind one */
    uint64_t pass;    /* the last pass over those in which one of this file's went on waiting */
} handle_slot_t;

/* Zero it to begin with; end with handles_free. */
typedef struct handles {
    handle_slot_t *slots;
    size_t count;
    size_t capacity;
    size_t first_free; /* index + 1; 0: none */
    uint64_t turn;     /* the file whose first waiting request is being done; 0: none */
} handles_t;

/* Takes the file over and gives it a number. False, with the file still the caller's, without memory. */
bool handles_add(handles_t *table, emmap_file *file, uint64_t *number);

/* NULL for a number that names no open file. */
emmap_file *handles_find(const handles_t *table, uint64_t number);

/* NULL for a number that names no open file. */
handle_slot_t *handles_slot(const handles_t *table, uint64_t number);

/* True if a request on the file has to wait for its turn behind others. */
bool handles_is_behind(const handles_t *table, uint64_t number);

/* Closes and frees the file. A number that names none is ignored. */
void handles_close(handles_t *table, uint64_t number);

/* Closes all files. */
void handles_free(handles_t *table);

#endif
