// The operations of a queue.
#include "call.h"

namespace
{

// Where one message goes: into a buffer that JavaScript uses again and again, if it fits, since making a Buffer costs
// more than a small message; else into memory of its own.
struct Message {
    iovec scratch;
    Bytes own;
    size_t length = 0;

    static void *allocate(void *context, size_t length)
    {
        Message *const self = static_cast<Message *>(context);
        self->length = length;
        return length <= self->scratch.iov_len ? self->scratch.iov_base : Bytes::allocate(&self->own, length);
    }

    emmap_sink sink()
    {
        return {allocate, this};
    }

    // Its length where it is in the scratch buffer, else a Buffer; null where there was none.
    napi_value answer(const Call &call, emmap_error error) const
    {
        if (error == EMMAP_EOF)
            return make_null(call.env);
        if (error)
            return call.fail(error);
        return own.data ? own.to_buffer(call) : make_number(call.env, length);
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

// (scratch)
template <emmap_error (*operation)(emmap_file *, const emmap_sink *)> napi_value one(const Call &call)
{
    Message message{call.bytes_at(0), {}};
    const emmap_sink sink = message.sink();
    return message.answer(call, operation(call.core(), &sink));
}

// popMany(limit, scratch): packed, of length 0 where there was none
napi_value pop_many(const Call &call)
{
    Packed messages{call.bytes_at(1)};
    const emmap_sink sink = messages.sink();
    uint64_t count = 0;
    const emmap_error error = emmap_queue_pop_many(call.core(), call.unsigned_at(0), &sink, &count);
    if (error && error != EMMAP_EOF)
        return call.fail(error);
    return messages.answer(call);
}

// popBegin(scratch, ticket): puts the ticket into the BigUint64Array.
napi_value pop_begin(const Call &call)
{
    Message message{call.bytes_at(0), {}};
    const emmap_sink sink = message.sink();
    uint64_t ticket = 0;
    const emmap_error error = emmap_queue_pop_begin(call.core(), &sink, &ticket);
    call.store_at(1, ticket);
    return message.answer(call, error);
}

// (ticket)
template <emmap_error (*operation)(emmap_file *, uint64_t)> napi_value pop_end(const Call &call)
{
    return call.answer(operation(call.core(), call.unsigned_at(0)));
}

// walk(backward, limit, place): packed; goes on at the place in the BigUint64Array, and puts the next one there.
napi_value walk(const Call &call)
{
    const emmap_queue_direction direction =
        to_bool(call.env, call.arguments[0]) ? EMMAP_QUEUE_BACKWARD : EMMAP_QUEUE_FORWARD;
    Packed messages{};
    const emmap_sink sink = messages.sink();
    uint64_t place = call.load_at(2);
    uint64_t count = 0;
    const emmap_error error =
        emmap_queue_walk(call.core(), direction, call.unsigned_at(1), &place, &sink, &count);
    if (error && error != EMMAP_EOF)
        return call.fail(error);
    call.store_at(2, place);
    return messages.answer(call);
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
                          define<one<emmap_queue_pop>>("queuePop", "queue_pop"),
                          define<pop_many>("queuePopMany", "queue_pop_many"),
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
