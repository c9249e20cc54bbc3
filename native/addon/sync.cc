#include "sync.h"

#include "failure.h"
#include "values.h"

namespace
{

// Belongs to the work, until it is complete.
struct Sync {
    Handle handle;
    std::string path;
    SyncOperation operation;
    Failure failure;
    napi_ref factory = nullptr;
    napi_deferred deferred = nullptr;
    napi_async_work work = nullptr;
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
    const emmap_error error = sync->operation(sync->handle.get());
    if (error)
        sync->failure = last_failure(sync->failure.operation, error); // the last failure is this thread's own
}

// Also runs where the work was cancelled, because its worker ends.
void complete(napi_env env, napi_status, void *data)
{
    Sync *const sync = static_cast<Sync *>(data);
    if (sync->failure.core.error == EMMAP_OK)
        napi_resolve_deferred(env, sync->deferred, make_undefined(env));
    else if (const napi_value error = to_error(env, factory_of(env, sync), sync->failure, sync->path.c_str()))
        napi_reject_deferred(env, sync->deferred, error);
    end(env, sync);
}

} // namespace

napi_value sync_in_background(napi_env env, napi_value self, Handle handle, std::string path,
                              SyncOperation operation, const char *name)
{
    Sync *const sync = new Sync{std::move(handle), std::move(path), operation, Failure{name, {}}};
    if (const napi_value factory = error_factory(env, self))
        napi_create_reference(env, factory, 1, &sync->factory);
    napi_value promise = nullptr;
    if (napi_create_promise(env, &sync->deferred, &promise) == napi_ok &&
        napi_create_async_work(env, nullptr, make_string(env, name), execute, complete, sync, &sync->work) ==
            napi_ok &&
        napi_queue_async_work(env, sync->work) == napi_ok)
        return promise;
    end(env, sync);
    return nullptr;
}
