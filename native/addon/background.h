// Operations that wait for the disk, on Node's thread pool.
#ifndef EMMAP_ADDON_BACKGROUND_H
#define EMMAP_ADDON_BACKGROUND_H

#include <string>

#include "call.h"

// `to` is the path for emmap_backup; other operations ignore it.
using BackgroundOperation = emmap_error (*)(emmap_file *file, const char *to);

// A promise for the operation. The file stays open until it is settled.
napi_value in_background(const Call &call, BackgroundOperation operation, std::string to = {});

#endif
