// The operations of a queue that have no shape.
#include <cerrno>
#include <cstring>

#include "bytes.h"
#include "operations.h"

namespace
{

// (bytes)
napi_value push(const Call &call)
{
    const iovec message = call.bytes_at(0);
    return call.answer(emmap_queue_push(call.core(), &message, 1));
}

// ([bytes, …])
napi_value push_many(const Call &call)
{
    const std::vector<iovec> messages = call.list_at(0);
    return call.answer(emmap_queue_push_many(call.core(), messages.data(), messages.size()));
}

// (origin, number, [bytes, …]) → bigint: the origin's last number before. The origin has 16 bytes, the number 63 bits.
napi_value push_once(const Call &call)
{
    const iovec origin = call.bytes_at(0);
    const std::vector<iovec> messages = call.list_at(2);
    uint64_t last = 0;
    const emmap_error error =
        emmap_queue_push_once(call.core(), static_cast<const uint8_t *>(origin.iov_base), call.unsigned_at(1),
                              messages.data(), messages.size(), &last);
    return call.answer(error, make_bigint(call.env, static_cast<int64_t>(last)));
}

// True; false: the queue begins with other messages now.
napi_value removed(const Call &call, const iovec *messages, size_t count)
{
    const emmap_error error = emmap_queue_remove(call.core(), messages, count);
    return error && error != ESTALE ? call.fail(error) : make_boolean(call.env, error == EMMAP_OK);
}

// (bytes) → boolean
napi_value remove_one(const Call &call)
{
    const iovec message = call.bytes_at(0);
    return removed(call, &message, 1);
}

// ([packed, …], skip, count) → boolean. Removes the first `count` of the packed messages behind the first `skip`.
napi_value remove_many(const Call &call)
{
    size_t skip = static_cast<size_t>(call.unsigned_at(1));
    std::vector<iovec> messages(static_cast<size_t>(call.unsigned_at(2)));
    size_t found = 0;
    for (const iovec &packed : call.list_at(0)) {
        uint8_t *at = static_cast<uint8_t *>(packed.iov_base);
        const uint8_t *const end = at + packed.iov_len;
        while (at < end && found < messages.size()) {
            uint32_t length = 0;
            std::memcpy(&length, at, sizeof length);
            if (skip > 0)
                skip--;
            else
                messages[found++] = {at + sizeof length, length};
            at += sizeof length + length;
        }
    }
    return removed(call, messages.data(), found);
}

// (room, length) → number. Removes the first message if it is the one that the room begins with, and copies the next
// one into the room: its length; 0: none was copied; -1: nothing was removed.
napi_value shift(const Call &call)
{
    Room room{call.bytes_at(0)};
    double length = 0;
    napi_get_value_double(call.env, call.arguments[1], &length);
    const iovec message{room.place.iov_base, static_cast<size_t>(length)};
    const emmap_sink sink = room.sink();
    const emmap_error error = emmap_queue_shift(call.core(), &message, &sink);
    if (error && error != ESTALE)
        return call.fail(error);
    napi_value number = nullptr;
    napi_create_double(call.env, error ? -1 : static_cast<double>(room.length), &number);
    return number;
}

// (room, ticket) → see Room::answer. The BigUint64Array gets the ticket.
napi_value pop_begin(const Call &call)
{
    Room room{call.bytes_at(0)};
    const emmap_sink sink = room.sink();
    uint64_t ticket = 0;
    const emmap_error error = emmap_queue_pop_begin(call.core(), &sink, &ticket);
    call.store_at(1, ticket);
    return room.answer(call, error);
}

// (room, delivery) → see Room::answer. The Float64Array of two gets the ticket and the number of the attempt.
napi_value take(const Call &call)
{
    Room room{call.bytes_at(0)};
    const emmap_sink sink = room.sink();
    emmap_delivery delivery;
    const emmap_error error = emmap_queue_take(call.core(), 0, &sink, &delivery);
    const iovec cells = call.bytes_at(1);
    if (cells.iov_base) {
        static_cast<double *>(cells.iov_base)[0] = static_cast<double>(delivery.ticket);
        static_cast<double *>(cells.iov_base)[1] = delivery.attempt;
    }
    return room.answer(call, error);
}

// (ticket, delay)
napi_value release(const Call &call)
{
    return call.answer(emmap_queue_release(call.core(), call.ticket_at(0), call.unsigned_at(1)));
}

// () → an array of messages
napi_value in_hand(const Call &call)
{
    const napi_env env = call.env;
    std::vector<emmap_in_hand> all;
    size_t count = 0;
    // Others take messages meanwhile.
    do {
        all.resize(count);
        const emmap_error error = emmap_queue_in_hand(call.core(), all.data(), all.size(), &count);
        if (error)
            return call.fail(error);
    } while (count > all.size());
    napi_value result = nullptr;
    napi_create_array_with_length(env, count, &result);
    for (uint32_t i = 0; i < count; i++) {
        const emmap_in_hand &each = all[i];
        napi_value message = nullptr;
        napi_create_object(env, &message);
        napi_set_named_property(env, message, "size", make_number(env, each.length));
        napi_set_named_property(env, message, "attempt", make_number(env, each.attempt));
        napi_set_named_property(env, message, "since", make_number(env, each.since));
        napi_set_named_property(env, message, "released", make_boolean(env, each.released));
        napi_set_named_property(env, message, "due", make_number(env, each.due));
        napi_set_named_property(env, message, "process", make_number(env, each.process));
        napi_set_named_property(env, message, "program", make_string(env, each.program));
        napi_set_named_property(env, message, "alive", make_boolean(env, each.alive));
        napi_set_element(env, result, i, message);
    }
    return result;
}

// (backward, limit, state, room) → see Room::answer. Copies as many packed messages as the room can hold. `state` is a
// Float64Array: [0] and [3] are the low and the high 32 bits of the place, in and out; out are also [1], the number of
// messages, and [2], 1 if the room was full before the limit was reached.
napi_value walk(const Call &call)
{
    const emmap_queue_direction direction =
        to_bool(call.env, call.arguments[0]) ? EMMAP_QUEUE_BACKWARD : EMMAP_QUEUE_FORWARD;
    double *const state = static_cast<double *>(call.bytes_at(2).iov_base);
    uint64_t limit = call.unsigned_at(1);
    bool full = false;
    for (;;) {
        Room room{call.bytes_at(3), true};
        const emmap_sink sink = room.sink();
        uint64_t place = static_cast<uint64_t>(state[3]) << 32 | static_cast<uint64_t>(state[0]);
        uint64_t count = 0;
        const emmap_error error = emmap_queue_walk(call.core(), direction, limit, &place, &sink, &count);
        if (room.needed && room.count > 0) {
            // The core says the next place only of a walk that succeeds: walk again over those that fit.
            full = true;
            limit = room.count;
            continue;
        }
        state[0] = static_cast<double>(place & 0xffffffff);
        state[3] = static_cast<double>(place >> 32);
        state[1] = static_cast<double>(count);
        state[2] = full ? 1 : 0;
        return room.answer(call, error);
    }
}

// () → the header
napi_value info(const Call &call)
{
    emmap_queue_metadata about{};
    const emmap_error error = emmap_queue_info(call.core(), &about);
    if (error)
        return call.fail(error);
    napi_value result = nullptr;
    napi_create_object(call.env, &result);
    napi_set_named_property(call.env, result, "size", make_number(call.env, about.size));
    napi_set_named_property(call.env, result, "head", make_number(call.env, about.head));
    napi_set_named_property(call.env, result, "tail", make_number(call.env, about.tail));
    napi_set_named_property(call.env, result, "nextTail", make_number(call.env, about.next_tail));
    return result;
}

} // namespace

void add_queue_operations(Exports &exports)
{
    exports.insert(exports.end(), {
                                      define<push>("queue_push"),
                                      define<push_many>("queue_push_many"),
                                      define<push_once>("queue_push_once"),
                                      // Errors show the pop that it belongs to.
                                      define<remove_one>("queue_remove", "queue_pop"),
                                      define<shift>("queue_shift", "queue_pop"),
                                      define<remove_many>("queue_remove_many", "queue_pop_many"),
                                      define<pop_begin>("queue_pop_begin"),
                                      define<take>("queue_take"),
                                      define<release>("queue_release"),
                                      define<in_hand>("queue_in_hand"),
                                      define<walk>("queue_walk"),
                                      define<info>("queue_info"),
                                  });
}
