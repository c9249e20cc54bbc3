// Makes JavaScript errors of the core's failures.
#ifndef EMMAP_ADDON_FAILURE_H
#define EMMAP_ADDON_FAILURE_H

#include <node_api.h>

#include <emmap.h>

// All that a JavaScript error shows. The strings are static, so it can be used on another thread.
struct Failure {
    const char *operation;
    emmap_failure core;
};

// The failure that `operation` has left on this thread when it returned `error`.
Failure last_failure(const char *operation, emmap_error error);

// Several instances of the JavaScript may share this addon, for example after a module registry was reset, and each has
// its own class of errors. So the addon keeps no state of an instance: the instance calls the functions on its own
// object, `self`, whose createError makes the error. A reference in the addon would keep the instance alive until the
// thread ends.
napi_value error_factory(napi_env env, napi_value self);

// Makes the error with that function; without one, an Error with the code.
napi_value to_error(napi_env env, napi_value factory, const Failure &failure, const char *path);

// Throws the error, and returns null, which the caller returns to Node-API.
napi_value throw_error(napi_env env, napi_value self, const Failure &failure, const char *path);

#endif
