#include "failure.h"

#include "values.h"

Failure last_failure(const char *operation, emmap_error error)
{
    Failure failure{operation, *emmap_last_failure()};
    // EMMAP_EOF, for example, comes without a failure.
    if (failure.core.error != error)
        failure.core = emmap_failure{error, nullptr, nullptr, 0, 0, 0, EMMAP_ABOUT_FILE};
    return failure;
}

napi_value error_factory(napi_env env, napi_value self)
{
    napi_value factory = nullptr;
    napi_valuetype type = napi_undefined;
    if (napi_get_named_property(env, self, "createError", &factory) != napi_ok ||
        napi_typeof(env, factory, &type) != napi_ok || type != napi_function)
        return nullptr;
    return factory;
}

napi_value to_error(napi_env env, napi_value factory, const Failure &failure, const char *path)
{
    const emmap_failure &core = failure.core;
    const napi_value arguments[] = {
        make_number(env, core.error),
        make_string(env, emmap_error_name(core.error)),
        make_string(env, emmap_error_message(core.error)),
        make_string(env, failure.operation),
        make_string(env, core.syscall),
        make_string(env, path),
        make_string(env, core.reason),
        core.error == EMMAP_CORRUPT ? make_number(env, core.offset) : make_undefined(env),
        core.found ? make_number(env, core.found) : make_undefined(env),
        core.found ? make_number(env, core.asked) : make_undefined(env),
    };
    napi_value error = nullptr;
    if (factory)
        napi_call_function(env, make_undefined(env), factory, sizeof arguments / sizeof *arguments, arguments,
                           &error);
    else
        napi_create_error(env, arguments[1], arguments[2], &error);
    return error;
}

napi_value throw_error(napi_env env, napi_value self, const Failure &failure, const char *path)
{
    if (const napi_value error = to_error(env, error_factory(env, self), failure, path))
        napi_throw(env, error);
    return nullptr;
}
