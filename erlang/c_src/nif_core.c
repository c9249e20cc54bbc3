#include "nif_core.h"

const struct nif_core nif_core = {NIF_CORE_FUNCTIONS(NIF_CORE_ENTRY)};
