/* The options of `open` and `counters_open`, from their term. */
#ifndef EMMAP_PORT_OPTIONS_H
#define EMMAP_PORT_OPTIONS_H

#include "emmap.h"
#include "term.h"

/*
 * Sets what a list of `Name` and `{Name, Value}` says. EMMAP_BADARG for what is no such list or no option;
 * *culprit is then the element that is wrong, or zeroed where it is the list itself.
 */
emmap_error options_decode(term_t list, emmap_options *options, term_t *culprit);

#endif
