// The operations of a queue.
#include <cerrno>
#include <cstring>

#include "call.h"

namespace
{

// Where messages go: into a buffer that JavaScript has made, since only there can a failure to get memory be caught.
struct Room {
    iovec place;
    size_t length = 0; // of what was copied
    size_t count = 0;
    size_t needed = 0; // by the one that there is no room for; 0: there was room
    bool packed;       // each behind its length in 32 bits, which src/packed.ts takes apart

    static void *allocate(void *context, size_t length)
    {
        Room *const self = static_cast<Room *>(context);
        const uint32_t prefix = static_cast<uint32_t>(length);
        const size_t before = self->packed ? sizeof prefix : 0;
        if (self->place.iov_len - self->length < before + length) {
            self->needed = before + length;
            return nullptr;
        }
        uint8_t *const at = static_cast<uint8_t *>(self->place.iov_base) + self->length;
        std::memcpy(at, &prefix, before);
        self->length += before + length;
        self->count++;
        return at + before;
    }

    emmap_sink sink()
    {
        return {allocate, this};
    }

    // How many bytes there are; null: no message; below 0: so many are needed for it.
    napi_value answer(const Call &call, emmap_error error) const
    {
        if (error == EMMAP_EOF)
            return make_null(call.env);
        if (needed == 0 && error)
            return call.fail(error);
        napi_value number = nullptr;
        napi_create_double(call.env, needed ? -static_cast<double>(needed) : static_cast<double>(length),
                           &number);
        return number;
    }
};

// push(bytes)
napi_value push(const Call &call)
{
    const iovec message = call.bytes_at(0);
    return call.answer(emmap_queue_push(call.core(), &message, 1));
}

// pushMany([bytes, …])
napi_value push_many(const Call &call)
{
    const std::vector<iovec> messages = call.list_at(0);
    return call.answer(emmap_queue_push_many(call.core(), messages.data(), messages.size()));
}

// (room)
template <emmap_error (*operation)(emmap_file *, const emmap_sink *)> napi_value one(const Call &call)
{
    Room room{call.bytes_at(0), 0, 0, 0, false};
    const emmap_sink sink = room.sink();
    return room.answer(call, operation(call.core(), &sink));
}

// False where other messages are the first ones by now.
napi_value removed(const Call &call, const iovec *messages, size_t count)
{
    const emmap_error error = emmap_queue_remove(call.core(), messages, count);
    return error && error != ESTALE ? call.fail(error) : make_boolean(call.env, error == EMMAP_OK);
}

// remove(bytes)
napi_value remove_one(const Call &call)
{
    const iovec message = call.bytes_at(0);
    return removed(call, &message, 1);
}

// take(room, length): removes the first message if it is the one that the room begins with. -1: it is another one. Then the
// room gets the next message, so that who pops it need not ask for it: its length, or 0 where that can't be. Whether it is
// the first one still is found out when it is taken.
napi_value take(const Call &call)
{
    Room room{call.bytes_at(0), 0, 0, 0, false};
    double length = 0;
    napi_get_value_double(call.env, call.arguments[1], &length);
    const iovec message{room.place.iov_base, static_cast<size_t>(length)};
    const emmap_sink sink = room.sink();
    const emmap_error error = emmap_queue_take(call.core(), &message, &sink);
    if (error && error != ESTALE)
        return call.fail(error);
    napi_value number = nullptr;
    napi_create_double(call.env, error ? -1 : static_cast<double>(room.length), &number);
    return number;
}

// removeMany(packed, count): the first of those that are packed.
napi_value remove_many(const Call &call)
{
    const iovec packed = call.bytes_at(0);
    std::vector<iovec> messages(static_cast<size_t>(call.unsigned_at(1)));
    uint8_t *at = static_cast<uint8_t *>(packed.iov_base);
    for (iovec &message : messages) {
        uint32_t length = 0;
        std::memcpy(&length, at, sizeof length);
        message = {at + sizeof length, length};
        at += sizeof length + length;
    }
    return removed(call, messages.data(), messages.size());
}

// popBegin(room, ticket): puts the ticket into the BigUint64Array.
napi_value pop_begin(const Call &call)
{
    Room room{call.bytes_at(0), 0, 0, 0, false};
    const emmap_sink sink = room.sink();
    uint64_t ticket = 0;
    const emmap_error error = emmap_queue_pop_begin(call.core(), &sink, &ticket);
    call.store_at(1, ticket);
    return room.answer(call, error);
}

// (ticket)
template <emmap_error (*operation)(emmap_file *, uint64_t)> napi_value pop_end(const Call &call)
{
    return call.answer(operation(call.core(), call.unsigned_at(0)));
}

// walk(backward, limit, state, room): packed, as many as there is room for. The Float64Array has the place, from which it
// goes on and where it puts the next one, as its low 32 bits and, last, its others; between them how many there are, and 1
// where there was no room for more.
napi_value walk(const Call &call)
{
    const emmap_queue_direction direction =
        to_bool(call.env, call.arguments[0]) ? EMMAP_QUEUE_BACKWARD : EMMAP_QUEUE_FORWARD;
    double *const state = static_cast<double *>(call.bytes_at(2).iov_base);
    uint64_t limit = call.unsigned_at(1);
    bool full = false;
    for (;;) {
        Room room{call.bytes_at(3), 0, 0, 0, true};
        const emmap_sink sink = room.sink();
        uint64_t place = static_cast<uint64_t>(state[3]) << 32 | static_cast<uint64_t>(state[0]);
        uint64_t count = 0;
        const emmap_error error = emmap_queue_walk(call.core(), direction, limit, &place, &sink, &count);
        if (room.needed && room.count > 0) {
            // The place is known of a walk that had room: once more for those that fit.
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

// compact() → how many bytes were given back
napi_value compact(const Call &call)
{
    uint64_t bytes = 0;
    const emmap_error error = emmap_queue_compact(call.core(), &bytes);
    return call.answer(error, make_number(call.env, bytes));
}

napi_value length(const Call &call)
{
    uint64_t length = 0;
    const emmap_error error = emmap_queue_length(call.core(), &length);
    return call.answer(error, make_number(call.env, length));
}

napi_value is_empty(const Call &call)
{
    bool empty = false;
    const emmap_error error = emmap_queue_is_empty(call.core(), &empty);
    return call.answer(error, make_boolean(call.env, empty));
}

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

template <emmap_error (*operation)(emmap_file *)> napi_value all(const Call &call)
{
    return call.answer(operation(call.core()));
}

} // namespace

void add_queue_operations(Operations &operations)
{
    operations.insert(operations.end(),
                      {
                          define<push>("queuePush", "queue_push"),
                          define<push_many>("queuePushMany", "queue_push_many"),
                          // What failed is a pop to those who called it.
                          define<one<emmap_queue_glance_front>>("queueGlanceFront", "queue_pop"),
                          define<remove_one>("queueRemove", "queue_pop"),
                          define<take>("queueTake", "queue_pop"),
                          define<remove_many>("queueRemoveMany", "queue_pop_many"),
                          define<pop_begin>("queuePopBegin", "queue_pop_begin"),
                          define<pop_end<emmap_queue_pop_commit>>("queuePopCommit", "queue_pop_commit"),
                          define<pop_end<emmap_queue_pop_abort>>("queuePopAbort", "queue_pop_abort"),
                          define<one<emmap_queue_peek_front>>("queuePeekFront", "queue_peek_front"),
                          define<one<emmap_queue_peek_back>>("queuePeekBack", "queue_peek_back"),
                          define<walk>("queueWalk", "queue_walk"),
                          define<length>("queueLength", "queue_length"),
                          define<is_empty>("queueIsEmpty", "queue_is_empty"),
                          define<info>("queueInfo", "queue_info"),
                          define<all<emmap_queue_purge>>("queuePurge", "queue_purge"),
                          define<all<emmap_queue_erase>>("queueErase", "queue_erase"),
                          define<compact>("queueCompact", "queue_compact"),
                      });
}
