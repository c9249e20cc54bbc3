/* The options of `open` and `counters_open`, from their term. */
#ifndef EMMAP_PORT_OPTIONS_H
#define EMMAP_PORT_OPTIONS_H

#include "emmap.h"
#include "term.h"

/*
 * Sets the options of a list of `Name` and `{Name, Value}`. EMMAP_BADARG: the term is no such list, or an element is no
 * option. *culprit is then the wrong element, or zeros if the list itself is wrong.
 */
emmap_error options_decode(term_t list, emmap_options *options, term_t *culprit);

#endif
