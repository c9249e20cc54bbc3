// Waits for words, counters and messages. The core ends a wait on a thread of its own, and JavaScript learns of it on
// its thread.
#include <cerrno>

#include <fcntl.h>
#include <pthread.h>

#include "lock_wait.h"
#include "operations.h"

namespace
{

struct Wait;

// The waits of one environment, which is the main thread or a worker.
struct Waits {
    napi_env env = nullptr;
    napi_threadsafe_function wake = nullptr;
    Wait *first = nullptr; // all current waits; only JavaScript's thread uses the list
    size_t refs = 0;       // the number of waits that keep the process alive

    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of the members below
    Wait *ended = nullptr;                            // waits that JavaScript does not know of yet, in order
    Wait **ended_last = &ended;
    bool closed = false; // the environment ends: JavaScript learns of nothing any more

    ~Waits()
    {
        pthread_mutex_destroy(&lock);
    }
};

class Locked
{
  public:
    explicit Locked(Waits &waits) : lock(&waits.lock)
    {
        pthread_mutex_lock(lock);
    }
    Locked(const Locked &) = delete;
    Locked &operator=(const Locked &) = delete;
    ~Locked()
    {
        pthread_mutex_unlock(lock);
    }

  private:
    pthread_mutex_t *lock;
};

// It owns itself until it ends; the token, with which JavaScript cancels it, owns it too.
struct Wait {
    std::shared_ptr<Waits> waits;
    Handle handle; // the file stays open for it
    napi_ref settle = nullptr;
    emmap_wait *core = nullptr;
    std::shared_ptr<Wait> self{};
    Wait *next = nullptr; // in Waits::first
    Wait *previous = nullptr;
    Wait *next_ended = nullptr;
    emmap_error result = EMMAP_OK; // under the lock
    bool has_ended = false;        // under the lock
    bool refs = false;             // keeps the process alive; only JavaScript's thread uses it

    ~Wait()
    {
        emmap_wait_free(core);
    }
};

// The core calls it once, on any thread.
void done(void *context, emmap_error result)
{
    Wait *const wait = static_cast<Wait *>(context);
    std::shared_ptr<Wait> last; // freed after the lock is released
    const std::shared_ptr<Waits> waits = wait->waits;
    const Locked locked(*waits);
    if (waits->closed) {
        last = std::move(wait->self);
        return;
    }
    wait->result = result;
    wait->has_ended = true;
    const bool is_first = !waits->ended;
    *waits->ended_last = wait;
    waits->ended_last = &wait->next_ended;
    // Under the lock, so that the environment does not end meanwhile. It does not block, since the queue has no limit.
    if (is_first)
        napi_call_threadsafe_function(waits->wake, nullptr, napi_tsfn_nonblocking);
}

// A wait keeps the process alive, as a socket does, unless wait_ref says otherwise.
void keep_alive(Wait *wait, bool yes)
{
    Waits &waits = *wait->waits;
    if (wait->refs == yes)
        return;
    wait->refs = yes;
    if (yes && waits.refs++ == 0)
        napi_ref_threadsafe_function(waits.env, waits.wake);
    if (!yes && --waits.refs == 0)
        napi_unref_threadsafe_function(waits.env, waits.wake);
}

void enter(Waits &waits, Wait *wait)
{
    wait->next = waits.first;
    if (waits.first)
        waits.first->previous = wait;
    waits.first = wait;
    keep_alive(wait, true);
}

void leave(Waits &waits, Wait *wait)
{
    keep_alive(wait, false);
    if (wait->next)
        wait->next->previous = wait->previous;
    *(wait->previous ? &wait->previous->next : &waits.first) = wait->next;
}

// Calls settle(number, name, message).
void settle(napi_env env, Wait *wait, emmap_error result)
{
    napi_value function = nullptr;
    napi_get_reference_value(env, wait->settle, &function);
    napi_delete_reference(env, wait->settle);
    wait->settle = nullptr;
    const napi_value arguments[] = {make_number(env, result), make_string(env, emmap_error_name(result)),
                                    make_string(env, emmap_error_message(result))};
    if (function)
        napi_call_function(env, make_undefined(env), function, sizeof arguments / sizeof *arguments,
                           arguments, nullptr);
}

// Runs on JavaScript's thread, after `done`. `env` is null when the environment has ended.
void settle_ended(napi_env env, napi_value, void *context, void *)
{
    if (!env)
        return;
    Waits &waits = *static_cast<Waits *>(context);
    Wait *next;
    {
        const Locked locked(waits);
        next = waits.ended;
        waits.ended = nullptr;
        waits.ended_last = &waits.ended;
    }
    while (next) {
        const std::shared_ptr<Wait> wait = std::move(next->self);
        next = next->next_ended;
        leave(waits, wait.get());
        settle(env, wait.get(), wait->result);
    }
}

// Node calls it when the environment ends, before it ends the threadsafe function, which was made earlier.
void close_all(void *data)
{
    const std::unique_ptr<std::shared_ptr<Waits>> own(static_cast<std::shared_ptr<Waits> *>(data));
    Waits &waits = **own;
    {
        const Locked locked(waits);
        waits.closed = true;
    }
    while (Wait *const wait = waits.first) {
        waits.first = wait->next;
        // Either `done` has run, or will never run; or it runs now, finds `closed` set, and frees the wait itself.
        if (wait->has_ended || emmap_wait_cancel(wait->core)) {
            const std::shared_ptr<Wait> last = std::move(wait->self);
        }
    }
    waits.ended = nullptr;
    napi_release_threadsafe_function(waits.wake, napi_tsfn_abort);
}

void forget_instance(napi_env, void *data, void *)
{
    delete static_cast<std::shared_ptr<Waits> *>(data);
}

// The waits of the environment, made with the first wait. Null if the environment is about to end.
std::shared_ptr<Waits> waits_of(napi_env env)
{
    void *data = nullptr;
    if (napi_get_instance_data(env, &data) == napi_ok && data)
        return *static_cast<std::shared_ptr<Waits> *>(data);
    std::unique_ptr<std::shared_ptr<Waits>> made(new std::shared_ptr<Waits>(new Waits));
    const std::shared_ptr<Waits> waits = *made;
    waits->env = env;
    if (napi_create_threadsafe_function(env, nullptr, nullptr, make_string(env, "emmap wait"), 0, 1, nullptr,
                                        nullptr, waits.get(), settle_ended, &waits->wake) != napi_ok)
        return nullptr;
    napi_unref_threadsafe_function(env, waits->wake);
    std::unique_ptr<std::shared_ptr<Waits>> hooked(new std::shared_ptr<Waits>(waits));
    if (napi_set_instance_data(env, made.get(), forget_instance, nullptr) == napi_ok) {
        made.release();
        if (napi_add_env_cleanup_hook(env, close_all, hooked.get()) == napi_ok) {
            hooked.release();
            return waits;
        }
        napi_set_instance_data(env, nullptr, nullptr, nullptr);
    }
    napi_release_threadsafe_function(waits->wake, napi_tsfn_abort);
    return nullptr;
}

void token_collected(napi_env, void *data, void *)
{
    delete static_cast<std::shared_ptr<Wait> *>(data);
}

// Begins a wait, and answers a token; or, if the wait is over at once, the number that `settle` would have got.
// `watches`: JavaScript watches the descriptor of queue_wait_descriptor.
template <typename Begin>
napi_value begin_wait(const Call &call, napi_value settle, Begin begin, bool watches = false)
{
    const napi_env env = call.env;
    const std::shared_ptr<Waits> waits = waits_of(env);
    if (!waits)
        return nullptr;
    const std::shared_ptr<Wait> self(new Wait{waits, call.file->handle});
    if (napi_create_reference(env, settle, 1, &self->settle) != napi_ok)
        return nullptr;
    self->self = self;
    const emmap_waiter waiter{done, self.get(), watches};
    const emmap_error error = begin(&waiter, &self->core);
    if (error) {
        self->self.reset();
        napi_delete_reference(env, self->settle);
        return error == EAGAIN || error == ETIMEDOUT ? make_number(env, error) : call.fail(error);
    }
    enter(*waits, self.get());
    napi_value token = nullptr;
    std::shared_ptr<Wait> *const shared = new std::shared_ptr<Wait>(self);
    if (napi_create_external(env, shared, token_collected, nullptr, &token) != napi_ok)
        delete shared;
    return token;
}

using Begin = emmap_error (*)(emmap_file *, uint64_t, int64_t, uint64_t, const emmap_waiter *, emmap_wait **);

// (place, expected, timeout, settle)
template <Begin begin> napi_value wait(const Call &call)
{
    return begin_wait(call, call.arguments[3], [&](const emmap_waiter *waiter, emmap_wait **core) {
        return begin(call.core(), call.unsigned_at(0), call.signed_at(1), call.unsigned_at(2), waiter, core);
    });
}

// (timeout, watches, settle)
napi_value queue_wait(const Call &call)
{
    const auto begin = [&](const emmap_waiter *waiter, emmap_wait **core) {
        return emmap_queue_wait_begin(call.core(), call.unsigned_at(0), waiter, core);
    };
    return begin_wait(call, call.arguments[2], begin, to_bool(call.env, call.arguments[1]));
}

// () → a descriptor that JavaScript has to close; null: the queue has none
napi_value queue_wait_descriptor(const Call &call)
{
    int descriptor = -1;
    if (emmap_queue_wait_descriptor(call.core(), &descriptor) != EMMAP_OK)
        return make_null(call.env);
    descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    return descriptor < 0 ? make_null(call.env) : make_number(call.env, static_cast<uint64_t>(descriptor));
}

// (version, timeout, settle)
napi_value cell_wait(const Call &call)
{
    return begin_wait(call, call.arguments[2], [&](const emmap_waiter *waiter, emmap_wait **core) {
        return emmap_cell_wait_begin(call.core(), call.unsigned_at(0), call.unsigned_at(1), waiter, core);
    });
}

// (yes): whether operations of this thread may block
napi_value set_may_block_now(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value yes = nullptr;
    napi_get_cb_info(env, info, &count, &yes, nullptr, nullptr);
    set_may_block(to_bool(env, yes));
    return nullptr;
}

std::shared_ptr<Wait> wait_of(napi_env env, napi_value token)
{
    void *data = nullptr;
    return napi_get_value_external(env, token, &data) == napi_ok ? *static_cast<std::shared_ptr<Wait> *>(data)
                                                                 : nullptr;
}

// (token, yes): whether the wait keeps the process alive
napi_value wait_ref(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value arguments[2] = {nullptr, nullptr};
    napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
    const std::shared_ptr<Wait> wait = wait_of(env, arguments[0]);
    if (wait && wait->settle) // it has not ended
        keep_alive(wait.get(), to_bool(env, arguments[1]));
    return nullptr;
}

// (place, count) → the number of waits that it ended
template <emmap_error (*operation)(emmap_file *, uint64_t, uint64_t, uint64_t *)>
napi_value notify(const Call &call)
{
    uint64_t woken = 0;
    const emmap_error error = operation(call.core(), call.unsigned_at(0), call.unsigned_at(1), &woken);
    return call.answer(error, make_number(call.env, woken));
}

// (token) → true: the wait has ended by this, and settle is not called; false: it had ended before
template <bool (*end)(emmap_wait *)> napi_value end_wait(napi_env env, napi_callback_info info)
{
    size_t count = 1;
    napi_value token = nullptr;
    napi_get_cb_info(env, info, &count, &token, nullptr, nullptr);
    const std::shared_ptr<Wait> wait = wait_of(env, token);
    if (!wait)
        return nullptr;
    if (!end(wait->core))
        return make_boolean(env, false);
    leave(*wait->waits, wait.get());
    napi_delete_reference(env, wait->settle);
    wait->settle = nullptr;
    wait->self.reset();
    return make_boolean(env, true);
}

} // namespace

void add_wait_operations(Exports &exports)
{
    exports.insert(exports.end(), {
                                      define<wait<emmap_wait_begin>>("wait"),
                                      define<notify<emmap_notify>>("notify"),
                                      define<wait<emmap_counter_wait_begin>>("counter_wait"),
                                      define<notify<emmap_counter_notify>>("counter_notify"),
                                      define<queue_wait>("queue_wait"),
                                      define<cell_wait>("cell_wait"),
                                      define<queue_wait_descriptor>("queue_wait_descriptor"),
                                      define("wait_cancel", end_wait<emmap_wait_cancel>),
                                      define("wait_woken", end_wait<emmap_wait_woken>),
                                      define("wait_ref", wait_ref),
                                      define("set_may_block", set_may_block_now),
                                  });
}
