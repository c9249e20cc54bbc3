// ArrayBuffers over the memory of a file, and the owner of that memory.
#ifndef EMMAP_ADDON_BUFFER_H
#define EMMAP_ADDON_BUFFER_H

#include <memory>

#include <node_api.h>

#include <emmap.h>

using Handle = std::shared_ptr<emmap_file>;

// An ArrayBuffer over `slice`, which owns the slice. On failure the slice is released. `shown`: the user's code gets the
// ArrayBuffer. undefined if the runtime has no ArrayBuffers over foreign memory (Electron).
napi_value buffer_over_slice(napi_env env, emmap_slice slice, bool shown);

// An ArrayBuffer over the words of emmap_file_control, which keeps the handle. undefined as above.
napi_value buffer_over_control(napi_env env, Handle handle);

// revoke(buffer): its length is 0 from now on. The memory is given back at once; if the buffer was shown, when its last
// view is collected. A buffer that was transferred stays as it is: its memory belongs to another one.
napi_value revoke(napi_env env, napi_callback_info info);

// moved(buffer): its memory is about to move to another ArrayBuffer, and maybe to another thread.
napi_value moved(napi_env env, napi_callback_info info);

#endif
