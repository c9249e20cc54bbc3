// The operations of the shapes that the doors share.
#include "operations.h"

#include <emmap_operations.h>

#include "background.h"
#include "bytes.h"

namespace
{

template <emmap_error (*operation)(emmap_file *)> napi_value act(const Call &call)
{
    return call.answer(operation(call.core()));
}

// They wait for the disk, so they give promises.
template <> napi_value act<emmap_sync>(const Call &call)
{
    return in_background(call, [](emmap_file *file, const char *) { return emmap_sync(file); });
}

template <> napi_value act<emmap_datasync>(const Call &call)
{
    return in_background(call, [](emmap_file *file, const char *) { return emmap_datasync(file); });
}

// (number) → true; false: there is no such thing
template <emmap_error (*operation)(emmap_file *, uint64_t)> napi_value act_on(const Call &call)
{
    const emmap_error error = operation(call.core(), call.unsigned_at(0));
    return error && error != ENOENT ? call.fail(error) : make_boolean(call.env, error == EMMAP_OK);
}

// (ticket)
template <emmap_error (*operation)(emmap_file *, uint64_t)> napi_value ticket(const Call &call)
{
    return call.answer(operation(call.core(), call.ticket_at(0)));
}

template <emmap_error (*operation)(emmap_file *, uint64_t *)> napi_value measure(const Call &call)
{
    uint64_t number = 0;
    const emmap_error error = operation(call.core(), &number);
    return call.answer(error, make_number(call.env, number));
}

template <emmap_error (*operation)(emmap_file *, bool *)> napi_value ask(const Call &call)
{
    bool yes = false;
    const emmap_error error = operation(call.core(), &yes);
    return call.answer(error, make_boolean(call.env, yes));
}

// (room) → see Room::answer
template <emmap_error (*operation)(emmap_file *, const emmap_sink *)> napi_value take(const Call &call)
{
    Room room{call.bytes_at(0)};
    const emmap_sink sink = room.sink();
    return room.answer(call, operation(call.core(), &sink));
}

// (place) → the word
template <emmap_error (*operation)(emmap_file *, uint64_t, int64_t *)> napi_value load(const Call &call)
{
    int64_t word = 0;
    const emmap_error error = operation(call.core(), call.unsigned_at(0), &word);
    return call.answer(error, make_bigint(call.env, word));
}

// (place, value)
template <emmap_error (*operation)(emmap_file *, uint64_t, int64_t)> napi_value store(const Call &call)
{
    return call.answer(operation(call.core(), call.unsigned_at(0), call.signed_at(1)));
}

// (place, value) → the word before
template <emmap_error (*operation)(emmap_file *, uint64_t, int64_t, int64_t *)>
napi_value update(const Call &call)
{
    int64_t old = 0;
    const emmap_error error = operation(call.core(), call.unsigned_at(0), call.signed_at(1), &old);
    return call.answer(error, make_bigint(call.env, old));
}

// (place, expected, replacement) → the word before
template <emmap_error (*operation)(emmap_file *, uint64_t, int64_t, int64_t, int64_t *)>
napi_value compare_exchange(const Call &call)
{
    int64_t old = 0;
    const emmap_error error =
        operation(call.core(), call.unsigned_at(0), call.signed_at(1), call.signed_at(2), &old);
    return call.answer(error, make_bigint(call.env, old));
}

} // namespace

#define SHAPE_APART(name)
#define SHAPE_OWN(name)
#define SHAPE_READ(name)
#define SHAPE_ACT(name) define<act<emmap_##name>>(#name),
#define SHAPE_ACT_ON(name) define<act_on<emmap_##name>>(#name),
#define SHAPE_TICKET(name) define<ticket<emmap_##name>>(#name),
#define SHAPE_MEASURE(name) define<measure<emmap_##name>>(#name),
#define SHAPE_ASK(name) define<ask<emmap_##name>>(#name),
#define SHAPE_TAKE(name) define<take<emmap_##name>>(#name),
#define SHAPE_LOAD(name) define<load<emmap_##name>>(#name),
#define SHAPE_STORE(name) define<store<emmap_##name>>(#name),
#define SHAPE_UPDATE(name) define<update<emmap_##name>>(#name),
#define SHAPE_COMPARE_EXCHANGE(name) define<compare_exchange<emmap_##name>>(#name),
#define OPERATION(name, arity, shape, cost) SHAPE_##shape(name)

void add_shaped_operations(Exports &exports)
{
    exports.insert(
        exports.end(),
        {
            EMMAP_OPERATIONS(OPERATION)
            // They have a shape, but no other door uses them. Errors show a glance as the pop that it belongs to.
            define<measure<emmap_follow>>("follow"),
            define<take<emmap_queue_glance_front>>("queue_glance_front", "queue_pop"),
        });
}
