#include "lock_wait.h"

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
    // Node-API refuses this call, which runs no JavaScript, when no JavaScript may run.
    napi_value object = nullptr;
    bool has = false;
    return napi_create_object(env, &object) == napi_ok &&
           napi_has_named_property(env, object, "emmap", &has) == napi_ok;
}

Deadline::Deadline(uint64_t limit)
{
    const uint64_t now = milliseconds();
    const uint64_t left = limit > LOCK_WAIT ? limit - LOCK_WAIT : 0;
    end = left > UINT64_MAX - now ? UINT64_MAX : now + left;
}

bool Deadline::is_over() const
{
    return milliseconds() >= end;
}

thread_local bool may_block = true;

void set_may_block(bool yes)
{
    may_block = yes;
    emmap_set_may_block(yes);
}

napi_value retry(const Call &call, Operation operation)
{
    emmap_info about;
    emmap_describe(call.core(), &about);
    const Deadline deadline(about.lock_timeout);
    Failure failure = last_failure(call.operation, static_cast<emmap_error>(ETIMEDOUT));
    while (may_block && !deadline.is_over() && is_alive(call.env)) {
        *call.is_busy = false;
        const napi_value result = operation(call);
        if (!*call.is_busy)
            return result;
        failure = last_failure(call.operation, static_cast<emmap_error>(ETIMEDOUT));
    }
    return throw_error(call.env, call.self, failure, call.file->path.c_str());
}
