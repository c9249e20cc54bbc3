// How a failure of the core becomes a JavaScript error.
#ifndef EMMAP_ADDON_FAILURE_H
#define EMMAP_ADDON_FAILURE_H

#include <node_api.h>

#include <emmap.h>

// What a JavaScript error needs to know. The strings are static; it may cross threads.
struct Failure {
    const char *operation;
    emmap_failure core;
};

// What `error`, returned by `operation`, left behind on this thread.
Failure last_failure(const char *operation, emmap_error error);

// Several instances of the JavaScript may share this addon (a module registry that is reset evaluates it again), and
// each has a class of errors of its own. So the addon keeps no state: each instance calls the functions on an object of
// its own, `self`, whose createError(number, code, message, operation, syscall, path, reason, offset) makes the error.
// A reference that the addon kept would keep the instance, and all that it refers to, until the thread ends.
napi_value error_factory(napi_env env, napi_value self);

// Makes the error with that function; where there is none, an Error that has the code.
napi_value to_error(napi_env env, napi_value factory, const Failure &failure, const char *path);

// Throws it, and returns null for the binding to return.
napi_value throw_error(napi_env env, napi_value self, const Failure &failure, const char *path);

#endif
