/* What a caller may ask of open, by name and in combination. */
#ifndef EMMAP_CORE_OPTIONS_H
#define EMMAP_CORE_OPTIONS_H

#include "emmap.h"

/* Fills in what is implied and refuses what contradicts itself. Errors: EINVAL. */
emmap_error emi_options_settle(emmap_options *options);

#endif
