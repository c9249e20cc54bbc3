#include "buffer.h"

#include "values.h"

namespace
{

// The memory of one ArrayBuffer. It is deleted after V8 has given back both the memory and the object: the memory of a
// transferred buffer is given back when the last ArrayBuffer that got it is collected, long after the object.
struct Loan {
    emmap_slice slice; // zeroed if there is nothing to release
    Handle handle;     // keeps the words of emmap_file_control
    bool shown;
    bool revoked = false;
    bool moved = false;
    bool memory_returned = false;
    bool object_collected = false;
};

// False while a worker ends. A finalizer has no other way to find that out.
bool can_run_javascript(napi_env env)
{
    napi_value object;
    return napi_create_object(env, &object) == napi_ok &&
           napi_set_named_property(env, object, "alive", object) == napi_ok;
}

void release(Loan *loan)
{
    emmap_slice_release(&loan->slice);
    loan->handle.reset();
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
    // Node also calls this when a worker ends. Another thread may have the memory of a moved buffer then: it stays.
    if (!loan->revoked && (!loan->moved || can_run_javascript(env)))
        release(loan);
    settle(loan);
}

void object_collected(napi_env, void *data, void *)
{
    Loan *const loan = static_cast<Loan *>(data);
    loan->object_collected = true;
    if (loan->revoked)
        release(loan);
    settle(loan);
}

// Owns the loan. undefined if the runtime has no ArrayBuffers over foreign memory.
napi_value lend(napi_env env, void *data, size_t length, Loan *loan)
{
    napi_value buffer = nullptr;
    const napi_status status =
        napi_create_external_arraybuffer(env, data, length, memory_returned, loan, &buffer);
    if (status != napi_ok) {
        // In some of these failures Node has called the finalizer, in others not.
        if (!loan->memory_returned)
            release(loan);
        delete loan;
        return status == napi_no_external_buffers_allowed ? make_undefined(env) : nullptr;
    }
    if (napi_wrap(env, buffer, loan, object_collected, nullptr, nullptr) != napi_ok) {
        loan->object_collected = true;
        return nullptr;
    }
    return buffer;
}

} // namespace

// V8 counts the mapping as memory that a collection could free, so a large one costs an incremental collection.
// napi_adjust_external_memory cannot correct the count: from Node 24 on V8 aborts when the buffer is freed and the
// count becomes negative. So a mapping is lent in as few pieces as possible.
napi_value buffer_over_slice(napi_env env, emmap_slice slice, bool shown)
{
    return lend(env, slice.data, static_cast<size_t>(slice.length), new Loan{slice, nullptr, shown});
}

napi_value buffer_over_control(napi_env env, Handle handle)
{
    emmap_control *const control = emmap_file_control(handle.get());
    return lend(env, control, sizeof *control, new Loan{{}, std::move(handle), false});
}

// The argument and its loan; null for an ArrayBuffer that has none.
static Loan *loan_of_argument(napi_env env, napi_callback_info info, napi_value *buffer)
{
    size_t count = 1;
    *buffer = nullptr;
    napi_get_cb_info(env, info, &count, buffer, nullptr, nullptr);
    void *loan = nullptr;
    napi_unwrap(env, *buffer, &loan);
    return static_cast<Loan *>(loan);
}

napi_value revoke(napi_env env, napi_callback_info info)
{
    napi_value buffer;
    Loan *const loan = loan_of_argument(env, info, &buffer);
    bool detached = true;
    napi_is_detached_arraybuffer(env, buffer, &detached);
    if (!loan || detached || napi_detach_arraybuffer(env, buffer) != napi_ok)
        return nullptr;
    loan->revoked = true; // before the finalizer, which runs in a later turn of the event loop
    // A thread of zlib, crypto or fs may use a buffer of the user. It keeps the object, so the memory stays until the
    // object is collected. The other buffers are used by src/ alone.
    if (!loan->shown)
        release(loan);
    return nullptr;
}

napi_value moved(napi_env env, napi_callback_info info)
{
    napi_value buffer;
    if (Loan *const loan = loan_of_argument(env, info, &buffer))
        loan->moved = true;
    return nullptr;
}
