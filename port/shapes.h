/* The operations that share their code with others of the same shape: see emmap_operations.h. */
#ifndef EMMAP_PORT_SHAPES_H
#define EMMAP_PORT_SHAPES_H

#include "call.h"

/* The core's functions by their shapes, so that operations of one shape share the code around them. */
typedef union core_function {
    emmap_error (*act)(emmap_file *);
    emmap_error (*act_on)(emmap_file *, uint64_t);
    emmap_error (*measure)(emmap_file *, uint64_t *);
    emmap_error (*take)(emmap_file *, const emmap_sink *);
    emmap_error (*load)(emmap_file *, uint64_t, int64_t *);
    emmap_error (*store)(emmap_file *, uint64_t, int64_t);
    emmap_error (*update)(emmap_file *, uint64_t, int64_t, int64_t *);
    emmap_error (*ask)(emmap_file *, bool *);
    emmap_error (*compare_exchange)(emmap_file *, uint64_t, int64_t, int64_t, int64_t *);
} core_function_t;

struct operation {
    const char *name;
    size_t length; /* of the name: at least SHORTEST_NAME */
    unsigned arity;
    bool on_file; /* the first argument is a handle */
    bool lends;   /* its bytes alias the mapping if the file was opened with `direct` */
    perform_function_t *perform;
    core_function_t core;
};

perform_function_t perform_act;
perform_function_t perform_act_on;
perform_function_t perform_measure;
perform_function_t perform_ask;
perform_function_t perform_take;
perform_function_t perform_update;
perform_function_t perform_compare_exchange;
perform_function_t perform_load;
perform_function_t perform_store;

#endif
