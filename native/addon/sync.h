// emmap_sync and emmap_datasync on Node's thread pool.
#ifndef EMMAP_ADDON_SYNC_H
#define EMMAP_ADDON_SYNC_H

#include "buffer.h"

using SyncOperation = emmap_error (*)(emmap_file *file);

// A promise for `operation` on the file, which is kept until then.
Napi::Value sync_in_background(Napi::Env env, Handle handle, SyncOperation operation, const char *name);

#endif
