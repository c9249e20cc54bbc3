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

// Makes the error with the function that JavaScript gave to set_error_factory.
napi_value to_error(napi_env env, const Failure &failure, const char *path);

// Throws it, and returns null for the binding to return.
napi_value throw_error(napi_env env, const Failure &failure, const char *path);

// setErrorFactory((number, code, message, operation, syscall, path, reason, offset) => Error). The environment
// (the main thread and every worker is one) keeps it.
napi_value set_error_factory(napi_env env, napi_callback_info info);

#endif
