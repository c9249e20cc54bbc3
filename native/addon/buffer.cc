#include "buffer.h"

namespace
{

// Made for one ArrayBuffer, deleted when both its memory and its object have been given back. V8 frees the
// memory of a transferred buffer when the last ArrayBuffer that got it is collected, long after the object.
struct Loan {
    emmap_slice slice;
    bool shown;
    bool revoked = false;
    bool moved = false;
    bool memory_returned = false;
    bool object_collected = false;
};

// False while a worker is being torn down. Nothing else tells a finalizer why it runs.
bool can_run_javascript(napi_env env)
{
    napi_value object;
    return napi_create_object(env, &object) == napi_ok &&
           napi_set_named_property(env, object, "alive", object) == napi_ok;
}

void settle(Loan *loan)
{
    if (loan->memory_returned && loan->object_collected)
        delete loan;
}

void memory_returned(napi_env env, void *, void *hint)
{
    Loan *const loan = static_cast<Loan *>(hint);
    loan->memory_returned = true;
    // Node calls this at the end of a worker too, when another thread may have the memory: it stays.
    if (!loan->revoked && (!loan->moved || can_run_javascript(env)))
        emmap_slice_release(&loan->slice);
    settle(loan);
}

void object_collected(napi_env, void *data, void *)
{
    Loan *const loan = static_cast<Loan *>(data);
    loan->object_collected = true;
    if (loan->revoked)
        emmap_slice_release(&loan->slice);
    settle(loan);
}

void control_returned(napi_env, void *, void *hint)
{
    delete static_cast<Handle *>(hint);
}

} // namespace

Napi::Value buffer_over_slice(Napi::Env env, emmap_slice slice, bool shown)
{
    // V8 counts the mapping as memory that a collection could free: opening a large one costs an incremental
    // collection. napi_adjust_external_memory can't take it back: V8 aborts (from Node 24 on) when freeing the
    // buffer then makes its count negative, and its limits are relative to what is there anyway.
    Loan *const loan = new Loan{slice, shown};
    napi_value buffer;
    if (napi_create_external_arraybuffer(env, slice.data, static_cast<size_t>(slice.length), memory_returned,
                                         loan, &buffer) != napi_ok) {
        emmap_slice_release(&loan->slice);
        delete loan;
        return env.IsExceptionPending() ? Napi::Value() : env.Undefined();
    }
    napi_wrap(env, buffer, loan, object_collected, nullptr, nullptr);
    return Napi::Value(env, buffer);
}

Napi::Value buffer_over_control(Napi::Env env, Handle handle)
{
    emmap_control *const control = emmap_file_control(handle.get());
    Handle *const kept = new Handle(std::move(handle));
    napi_value buffer;
    if (napi_create_external_arraybuffer(env, control, sizeof *control, control_returned, kept, &buffer) !=
        napi_ok) {
        delete kept;
        return env.IsExceptionPending() ? Napi::Value() : env.Undefined();
    }
    return Napi::Value(env, buffer);
}

static Loan *loan_of(const Napi::Value &buffer)
{
    void *loan = nullptr;
    napi_unwrap(buffer.Env(), buffer, &loan);
    return static_cast<Loan *>(loan);
}

void revoke(const Napi::CallbackInfo &info)
{
    Loan *const loan = loan_of(info[0]);
    bool detached = true;
    napi_is_detached_arraybuffer(info.Env(), info[0], &detached);
    if (!loan || detached)
        return;
    loan->revoked = true;
    napi_detach_arraybuffer(info.Env(), info[0]);
    // A thread of zlib, crypto or fs may be at work on a buffer of the user's: it holds the object, so the
    // memory waits for that. Nobody but us has the others.
    if (!loan->shown)
        emmap_slice_release(&loan->slice);
}

void moved(const Napi::CallbackInfo &info)
{
    if (Loan *const loan = loan_of(info[0]))
        loan->moved = true;
}
