#include <napi.h>

#include "buffer.h"
#include "failure.h"
#include "file.h"
#include "instance.h"

static Napi::Object initialize(Napi::Env env, Napi::Object exports)
{
    env.SetInstanceData(new Instance);
    exports.Set("File", File::define(env));
    exports.Set("revoke", Napi::Function::New(env, revoke, "revoke"));
    exports.Set("moved", Napi::Function::New(env, moved, "moved"));
    exports.Set("setErrorFactory", Napi::Function::New(env, set_error_factory, "setErrorFactory"));
    return exports;
}

NODE_API_MODULE(emmap, initialize)
