#include "nif_core.h"

#define ENTRY(name) .name = emmap_##name,
#define OPERATION(name, arity, shape, cost) ENTRY(name)

const struct nif_core nif_core = {EMMAP_OPERATIONS(OPERATION) NIF_CORE_OTHERS(ENTRY)};
