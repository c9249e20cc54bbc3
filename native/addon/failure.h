// How a failure of the core becomes a JavaScript error.
#ifndef EMMAP_ADDON_FAILURE_H
#define EMMAP_ADDON_FAILURE_H

#include <napi.h>

#include <emmap.h>

// What a JavaScript error needs to know. The strings are static; it may cross threads.
struct Failure {
    const char *operation;
    emmap_failure core;
};

// What `error`, returned by `operation`, left behind on this thread.
Failure last_failure(const char *operation, emmap_error error);

// Makes the error with the function that JavaScript gave to set_error_factory.
Napi::Value to_error(Napi::Env env, const Failure &failure, const char *path);

// Throws it, and returns an empty value for the binding to return.
Napi::Value throw_error(Napi::Env env, const Failure &failure, const char *path);

// setErrorFactory((number, code, message, operation, syscall, path, reason, offset) => Error)
void set_error_factory(const Napi::CallbackInfo &info);

#endif
