// ArrayBuffers over a file's memory, and who owns that memory meanwhile.
#ifndef EMMAP_ADDON_BUFFER_H
#define EMMAP_ADDON_BUFFER_H

#include <memory>

#include <node_api.h>

#include <emmap.h>

using Handle = std::shared_ptr<emmap_file>;

// An ArrayBuffer over `slice`, which it takes over whatever happens. `shown` says that user code will have
// it. undefined where the runtime has no ArrayBuffers over foreign memory (Electron).
napi_value buffer_over_slice(napi_env env, emmap_slice slice, bool shown);

// An ArrayBuffer over the words of emmap_file_control. It keeps the handle. undefined as above.
napi_value buffer_over_control(napi_env env, Handle handle);

// revoke(buffer): its length is 0 from now on. What is under a buffer that was not shown is let go at once; what
// is under one that was, when the last view of it is collected. Nothing happens to a buffer that was transferred
// away: its memory belongs to another.
napi_value revoke(napi_env env, napi_callback_info info);

// moved(buffer): its memory is about to go to another ArrayBuffer, and perhaps to another thread.
napi_value moved(napi_env env, napi_callback_info info);

#endif
