// What waits for the disk, on Node's thread pool.
#ifndef EMMAP_ADDON_SYNC_H
#define EMMAP_ADDON_SYNC_H

#include <string>

#include "buffer.h"

// `to` is what emmap_backup takes.
using SyncOperation = emmap_error (*)(emmap_file *file, const char *to);

// A promise for `operation` on the file, which is kept until then, as is what makes the error: see error_factory.
napi_value sync_in_background(napi_env env, napi_value self, Handle handle, std::string path,
                              SyncOperation operation, const char *name, std::string to = {});

#endif
