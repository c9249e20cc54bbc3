// emmap_sync and emmap_datasync on Node's thread pool.
#ifndef EMMAP_ADDON_SYNC_H
#define EMMAP_ADDON_SYNC_H

#include <string>

#include "buffer.h"

using SyncOperation = emmap_error (*)(emmap_file *file);

// A promise for `operation` on the file, which is kept until then, as is what makes the error: see error_factory.
napi_value sync_in_background(napi_env env, napi_value self, Handle handle, std::string path,
                              SyncOperation operation, const char *name);

#endif
