#include "sync.h"

#include <cerrno>
#include <memory>

#include "failure.h"
#include "values.h"
#include "waiting.h"

namespace
{

// Belongs to the work, until it is complete.
struct Sync {
    Handle handle;
    std::string path;
    BackgroundOperation operation;
    const char *name;
    Failure failure{};
    napi_ref factory = nullptr;
    std::string to{};
    napi_deferred deferred = nullptr;
    napi_async_work work = nullptr;
    std::unique_ptr<Patience> patience{}; // once a lock was not had in a slice
};

napi_value factory_of(napi_env env, const Sync *sync)
{
    napi_value factory = nullptr;
    if (sync->factory)
        napi_get_reference_value(env, sync->factory, &factory);
    return factory;
}

void end(napi_env env, Sync *sync)
{
    if (sync->work)
        napi_delete_async_work(env, sync->work);
    if (sync->factory)
        napi_delete_reference(env, sync->factory);
    delete sync;
}

void execute(napi_env, void *data)
{
    Sync *const sync = static_cast<Sync *>(data);
    sync->failure = {};
    const emmap_error error = sync->operation(sync->handle.get(), sync->to.c_str());
    if (error)
        sync->failure = last_failure(sync->name, error); // the last failure is this thread's own
}

bool queue(napi_env env, Sync *sync);

// Whether it was begun again, since somebody has the lock still: in the thread pool it waits a slice at a time.
bool try_again(napi_env env, Sync *sync)
{
    if (sync->failure.core.error != ETIMEDOUT || !is_alive(env))
        return false;
    if (!sync->patience) {
        emmap_info about;
        emmap_describe(sync->handle.get(), &about);
        sync->patience = std::make_unique<Patience>(about.lock_timeout);
    }
    if (!sync->patience->is_left())
        return false;
    napi_delete_async_work(env, sync->work);
    sync->work = nullptr;
    return queue(env, sync);
}

// Also runs where the work was cancelled, because its worker ends.
void complete(napi_env env, napi_status status, void *data)
{
    Sync *const sync = static_cast<Sync *>(data);
    if (status == napi_ok && try_again(env, sync))
        return;
    const emmap_failure &failure = sync->failure.core;
    const std::string &path = failure.about == EMMAP_ABOUT_COPY ? sync->to : sync->path;
    if (failure.error == EMMAP_OK)
        napi_resolve_deferred(env, sync->deferred, make_undefined(env));
    else if (const napi_value error = to_error(env, factory_of(env, sync), sync->failure, path.c_str()))
        napi_reject_deferred(env, sync->deferred, error);
    end(env, sync);
}

bool queue(napi_env env, Sync *sync)
{
    return napi_create_async_work(env, nullptr, make_string(env, sync->name), execute, complete, sync,
                                  &sync->work) == napi_ok &&
           napi_queue_async_work(env, sync->work) == napi_ok;
}

} // namespace

napi_value in_background(const Call &call, BackgroundOperation operation, std::string to)
{
    const napi_env env = call.env;
    Sync *const sync = new Sync{call.file->handle, call.file->path, operation, call.operation};
    sync->to = std::move(to);
    if (const napi_value factory = error_factory(env, call.self))
        napi_create_reference(env, factory, 1, &sync->factory);
    napi_value promise = nullptr;
    if (napi_create_promise(env, &sync->deferred, &promise) == napi_ok && queue(env, sync))
        return promise;
    end(env, sync);
    return nullptr;
}
