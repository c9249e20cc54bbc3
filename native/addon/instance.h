// What the addon keeps for each environment: the main thread and every worker have one of their own.
#ifndef EMMAP_ADDON_INSTANCE_H
#define EMMAP_ADDON_INSTANCE_H

#include <napi.h>

struct Instance {
    Napi::FunctionReference error_factory;
};

#endif
