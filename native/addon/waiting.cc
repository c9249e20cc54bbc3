#include "waiting.h"

#include <ctime>

#include "call.h"

static uint64_t milliseconds()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

bool is_alive(napi_env env)
{
    // Node-API refuses this one, which runs no code of anybody's, once JavaScript may not run.
    napi_value object = nullptr;
    bool has = false;
    return napi_create_object(env, &object) == napi_ok &&
           napi_has_named_property(env, object, "emmap", &has) == napi_ok;
}

Patience::Patience(uint64_t limit)
{
    const uint64_t now = milliseconds();
    const uint64_t left = limit > SLICE ? limit - SLICE : 0;
    end = left > UINT64_MAX - now ? UINT64_MAX : now + left;
}

bool Patience::is_left() const
{
    return milliseconds() < end;
}

thread_local bool may_wait = true;

void set_may_wait(bool yes)
{
    may_wait = yes;
    emmap_set_may_block(yes);
}

napi_value try_again(const Call &call, Operation operation)
{
    emmap_info about;
    emmap_describe(call.core(), &about);
    const Patience patience(about.lock_timeout);
    Failure failure = last_failure(call.operation, static_cast<emmap_error>(ETIMEDOUT));
    while (may_wait && patience.is_left() && is_alive(call.env)) {
        *call.is_busy = false;
        const napi_value result = operation(call);
        if (!*call.is_busy)
            return result;
        failure = last_failure(call.operation, static_cast<emmap_error>(ETIMEDOUT));
    }
    return throw_error(call.env, call.self, failure, call.file->path.c_str());
}
