/* The options of an open: by name, and in combination. */
#ifndef EMMAP_CORE_OPTIONS_H
#define EMMAP_CORE_OPTIONS_H

#include "emmap.h"

/* Adds implied options and refuses contradicting ones. Errors: EINVAL. */
emmap_error emi_options_settle(emmap_options *options);

#endif
