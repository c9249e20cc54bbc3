#include "failure.h"

#include "instance.h"

static Napi::Value text_or_undefined(Napi::Env env, const char *text)
{
    return text ? Napi::String::New(env, text).As<Napi::Value>() : env.Undefined();
}

Failure last_failure(const char *operation, emmap_error error)
{
    Failure failure{operation, *emmap_last_failure()};
    // An answer such as EMMAP_EOF may come without a failure of its own.
    if (failure.core.error != error)
        failure.core = emmap_failure{error, nullptr, nullptr, 0};
    return failure;
}

Napi::Value to_error(Napi::Env env, const Failure &failure, const char *path)
{
    const emmap_failure &core = failure.core;
    const Napi::Value offset =
        core.error == EMMAP_CORRUPT
            ? Napi::Number::New(env, static_cast<double>(core.offset)).As<Napi::Value>()
            : env.Undefined();
    return env.GetInstanceData<Instance>()->error_factory.Call({
        Napi::Number::New(env, core.error),
        Napi::String::New(env, emmap_error_name(core.error)),
        Napi::String::New(env, emmap_error_message(core.error)),
        Napi::String::New(env, failure.operation),
        text_or_undefined(env, core.syscall),
        text_or_undefined(env, path),
        text_or_undefined(env, core.reason),
        offset,
    });
}

Napi::Value throw_error(Napi::Env env, const Failure &failure, const char *path)
{
    const Napi::Value error = to_error(env, failure, path);
    if (!error.IsEmpty())
        napi_throw(env, error);
    return Napi::Value();
}

void set_error_factory(const Napi::CallbackInfo &info)
{
    info.Env().GetInstanceData<Instance>()->error_factory = Napi::Persistent(info[0].As<Napi::Function>());
}
