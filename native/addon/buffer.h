// ArrayBuffers over a file's memory, and who owns that memory meanwhile.
#ifndef EMMAP_ADDON_BUFFER_H
#define EMMAP_ADDON_BUFFER_H

#include <memory>

#include <napi.h>

#include <emmap.h>

using Handle = std::shared_ptr<emmap_file>;

// An ArrayBuffer over `slice`, which it takes over whatever happens. `shown` says that user code will have
// it. undefined where the runtime has no ArrayBuffers over foreign memory (Electron).
Napi::Value buffer_over_slice(Napi::Env env, emmap_slice slice, bool shown);

// An ArrayBuffer over the words of emmap_file_control. It keeps the handle. undefined as above.
Napi::Value buffer_over_control(Napi::Env env, Handle handle);

// revoke(buffer): its length is 0 from now on. The slice of a buffer that was not shown ends at once; that of
// one that was, when the last view of it is collected. Does nothing to a buffer that was transferred away.
void revoke(const Napi::CallbackInfo &info);

// moved(buffer): its memory is about to go to another ArrayBuffer, and perhaps to another thread.
void moved(const Napi::CallbackInfo &info);

#endif
