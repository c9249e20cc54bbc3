#include "sync.h"

#include "failure.h"

namespace
{

class SyncWorker final : public Napi::AsyncWorker
{
  public:
    SyncWorker(Napi::Env env, Handle handle, SyncOperation operation, const char *name)
        : Napi::AsyncWorker(env, name), deferred(Napi::Promise::Deferred::New(env)),
          handle(std::move(handle)), operation(operation), failure{name, {}}
    {
    }

    Napi::Promise promise() const
    {
        return deferred.Promise();
    }

    void Execute() override
    {
        const emmap_error error = operation(handle.get());
        if (error)
            failure = last_failure(failure.operation, error); // the last failure is this thread's own
    }

    void OnOK() override
    {
        if (failure.core.error == EMMAP_OK)
            return deferred.Resolve(Env().Undefined());
        emmap_info about;
        emmap_describe(handle.get(), &about);
        const Napi::Value error = to_error(Env(), failure, about.path);
        if (!error.IsEmpty())
            deferred.Reject(error);
    }

  private:
    Napi::Promise::Deferred deferred;
    Handle handle;
    SyncOperation operation;
    Failure failure;
};

} // namespace

Napi::Value sync_in_background(Napi::Env env, Handle handle, SyncOperation operation, const char *name)
{
    SyncWorker *const worker = new SyncWorker(env, std::move(handle), operation, name); // deletes itself
    const Napi::Promise promise = worker->promise();
    worker->Queue();
    return promise;
}
