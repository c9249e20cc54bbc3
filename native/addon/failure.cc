#include "failure.h"

#include "values.h"

Failure last_failure(const char *operation, emmap_error error)
{
    Failure failure{operation, *emmap_last_failure()};
    // An answer such as EMMAP_EOF may come without a failure of its own.
    if (failure.core.error != error)
        failure.core = emmap_failure{error, nullptr, nullptr, 0};
    return failure;
}

napi_value to_error(napi_env env, const Failure &failure, const char *path)
{
    void *factory = nullptr;
    napi_get_instance_data(env, &factory);
    napi_value function = nullptr;
    if (factory)
        napi_get_reference_value(env, static_cast<napi_ref>(factory), &function);
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
    };
    napi_value error = nullptr;
    napi_call_function(env, make_undefined(env), function, sizeof arguments / sizeof *arguments, arguments,
                       &error);
    return error;
}

napi_value throw_error(napi_env env, const Failure &failure, const char *path)
{
    if (const napi_value error = to_error(env, failure, path))
        napi_throw(env, error);
    return nullptr;
}

napi_value set_error_factory(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value function = nullptr;
    napi_get_cb_info(env, info, &count, &function, nullptr, nullptr);
    napi_ref reference = nullptr;
    // The reference ends with the environment.
    if (napi_create_reference(env, function, 1, &reference) == napi_ok)
        napi_set_instance_data(env, reference, nullptr, nullptr);
    return nullptr;
}
