#include "background.h"

#include <cerrno>
#include <memory>

#include "failure.h"
#include "lock_wait.h"
#include "values.h"

namespace
{

// An operation in the background. It owns itself until it is complete.
struct Work {
    Handle handle;
    std::string path;
    BackgroundOperation operation;
    const char *name;
    Failure failure{};
    napi_ref factory = nullptr;
    std::string to{};
    napi_deferred deferred = nullptr;
    napi_async_work async = nullptr;
    std::unique_ptr<Deadline> deadline{}; // set when the lock was not free
};

napi_value factory_of(napi_env env, const Work *work)
{
    napi_value factory = nullptr;
    if (work->factory)
        napi_get_reference_value(env, work->factory, &factory);
    return factory;
}

void end(napi_env env, Work *work)
{
    if (work->async)
        napi_delete_async_work(env, work->async);
    if (work->factory)
        napi_delete_reference(env, work->factory);
    delete work;
}

void execute(napi_env, void *data)
{
    Work *const work = static_cast<Work *>(data);
    work->failure = {};
    const emmap_error error = work->operation(work->handle.get(), work->to.c_str());
    if (error)
        work->failure = last_failure(work->name, error); // each thread has its own last failure
}

bool queue(napi_env env, Work *work);

// Queues the work again if another handle still has the lock. A thread of the pool waits for LOCK_WAIT at a time.
bool retry(napi_env env, Work *work)
{
    if (work->failure.core.error != ETIMEDOUT || !is_alive(env))
        return false;
    if (!work->deadline) {
        emmap_info about;
        emmap_describe(work->handle.get(), &about);
        work->deadline = std::make_unique<Deadline>(about.lock_timeout);
    }
    if (work->deadline->is_over())
        return false;
    napi_delete_async_work(env, work->async);
    work->async = nullptr;
    return queue(env, work);
}

// Also runs when the work was cancelled, since its worker ends.
void complete(napi_env env, napi_status status, void *data)
{
    Work *const work = static_cast<Work *>(data);
    if (status == napi_ok && retry(env, work))
        return;
    const emmap_failure &failure = work->failure.core;
    const std::string &path = failure.about == EMMAP_ABOUT_COPY ? work->to : work->path;
    if (failure.error == EMMAP_OK)
        napi_resolve_deferred(env, work->deferred, make_undefined(env));
    else if (const napi_value error = to_error(env, factory_of(env, work), work->failure, path.c_str()))
        napi_reject_deferred(env, work->deferred, error);
    end(env, work);
}

bool queue(napi_env env, Work *work)
{
    return napi_create_async_work(env, nullptr, make_string(env, work->name), execute, complete, work,
                                  &work->async) == napi_ok &&
           napi_queue_async_work(env, work->async) == napi_ok;
}

} // namespace

napi_value in_background(const Call &call, BackgroundOperation operation, std::string to)
{
    const napi_env env = call.env;
    Work *const work = new Work{call.file->handle, call.file->path, operation, call.operation};
    work->to = std::move(to);
    if (const napi_value factory = error_factory(env, call.self))
        napi_create_reference(env, factory, 1, &work->factory);
    napi_value promise = nullptr;
    if (napi_create_promise(env, &work->deferred, &promise) == napi_ok && queue(env, work))
        return promise;
    end(env, work);
    return nullptr;
}
