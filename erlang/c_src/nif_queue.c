#include "nif_queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "nif_holders.h"
#include "nif_later.h"

/* ---- Messages that are being taken out ---------------------------------------------------------------- */

/* A pop that emmap_queue_pop_begin has begun. If the ticket is collected, for instance because its process
 * was killed, nobody can end the pop any more: then the message is put back. */
struct ticket {
    struct nif_file *file; /* with a reference */
    uint64_t number;
    atomic_bool ended;
};

static ErlNifResourceType *ticket_type;

static void ticket_destroy(ErlNifEnv *env, void *object)
{
    (void)env;
    struct ticket *const self = object;
    if (!atomic_load(&self->ended))
        nif_later(self->file, self->file->core->queue_pop_abort, self->number);
    enif_release_resource(self->file);
}

bool nif_queue_types(ErlNifEnv *env)
{
    const ErlNifResourceFlags flags = ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER;
    ticket_type = enif_open_resource_type(env, NULL, "emmap_ticket_" NIF_LAYOUT, ticket_destroy, flags, NULL);
    return ticket_type != NULL;
}

static ERL_NIF_TERM ticket_make(ErlNifEnv *env, struct nif_file *file, uint64_t number)
{
    struct ticket *const self = enif_alloc_resource(ticket_type, sizeof *self);
    enif_keep_resource(file);
    self->file = file;
    self->number = number;
    atomic_init(&self->ended, false);
    const ERL_NIF_TERM term = enif_make_resource(env, self);
    enif_release_resource(self);
    return term;
}

static ERL_NIF_TERM queue_pop_begin(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    struct nif_file *const file = attempt->file;
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    uint64_t number;
    const emmap_error error = file->core->queue_pop_begin(file->file, &sink, &number);
    if (error)
        return nif_pieces_failed(&pieces, error);
    return enif_make_tuple3(attempt->env, nif_atoms.ok, nif_pieces_first(&pieces),
                            ticket_make(attempt->env, file, number));
}

static ERL_NIF_TERM ticket_end(struct nif_attempt *attempt, ERL_NIF_TERM term,
                               emmap_error (*end)(emmap_file *file, uint64_t ticket))
{
    struct ticket *ticket;
    if (!enif_get_resource(attempt->env, term, ticket_type, (void **)&ticket) ||
        ticket->file != attempt->file)
        return enif_make_badarg(attempt->env);
    const emmap_error error = end(attempt->file->file, ticket->number);
    const ERL_NIF_TERM answer = nif_attempt_done(attempt, error);
    if (!attempt->again && error != ETIMEDOUT) /* both are tried again */
        atomic_store(&ticket->ended, true);
    return answer;
}

static ERL_NIF_TERM queue_pop_commit(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    return ticket_end(attempt, arguments[1], attempt->file->core->queue_pop_commit);
}

static ERL_NIF_TERM queue_pop_abort(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    attempt->unlimited = true; /* it waits for threads that use the handle, and these end soon */
    return ticket_end(attempt, arguments[1], attempt->file->core->queue_pop_abort);
}

/* ---- Deliveries --------------------------------------------------------------------------------------- */

/* (Handle, Holder) -> {ok, Binary, Ticket, Attempt} */
static ERL_NIF_TERM queue_take(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifEnv *const env = attempt->env;
    struct nif_file *const file = attempt->file;
    uint64_t holder;
    if (!nif_get_position(env, arguments[1], &holder))
        return enif_make_badarg(env);
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    emmap_delivery delivery;
    const emmap_error error = file->core->queue_take(file->file, holder, &sink, &delivery);
    if (error)
        return nif_pieces_failed(&pieces, error);
    nif_hold(env, file, holder);
    return enif_make_tuple4(env, nif_atoms.ok, nif_pieces_first(&pieces),
                            enif_make_uint64(env, delivery.ticket), enif_make_uint(env, delivery.attempt));
}

/* (Handle, Ticket) -> ok */
static ERL_NIF_TERM end_delivery(struct nif_attempt *attempt, ERL_NIF_TERM term,
                                 emmap_error (*end)(emmap_file *file, uint64_t ticket))
{
    uint64_t ticket;
    if (!nif_get_position(attempt->env, term, &ticket))
        return enif_make_badarg(attempt->env);
    return nif_attempt_done(attempt, end(attempt->file->file, ticket));
}

static ERL_NIF_TERM queue_ack(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    return end_delivery(attempt, arguments[1], attempt->file->core->queue_ack);
}

static ERL_NIF_TERM queue_put_back(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    return end_delivery(attempt, arguments[1], attempt->file->core->queue_put_back);
}

/* (Handle, Ticket, Delay) -> ok */
static ERL_NIF_TERM queue_release(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    uint64_t ticket, delay;
    if (!nif_get_position(attempt->env, arguments[1], &ticket) ||
        !nif_get_position(attempt->env, arguments[2], &delay))
        return enif_make_badarg(attempt->env);
    return nif_attempt_done(attempt, attempt->file->core->queue_release(attempt->file->file, ticket, delay));
}

static ERL_NIF_TERM describe_in_hand(ErlNifEnv *env, const emmap_in_hand *entry)
{
    const size_t length = strlen(entry->program);
    ERL_NIF_TERM program = 0, map = 0;
    memcpy(enif_make_new_binary(env, length, &program), entry->program, length);
    ERL_NIF_TERM keys[] = {nif_atoms.ticket,  nif_atoms.length,  nif_atoms.since,
                           nif_atoms.due,     nif_atoms.process, nif_atoms.program,
                           nif_atoms.attempt, nif_atoms.alive,   nif_atoms.released};
    ERL_NIF_TERM values[] = {enif_make_uint64(env, entry->ticket),
                             enif_make_uint64(env, entry->length),
                             enif_make_uint64(env, entry->since),
                             enif_make_uint64(env, entry->due),
                             enif_make_uint64(env, entry->process),
                             program,
                             enif_make_uint(env, entry->attempt),
                             entry->alive ? nif_atoms.true_ : nif_atoms.false_,
                             entry->released ? nif_atoms.true_ : nif_atoms.false_};
    enif_make_map_from_arrays(env, keys, values, sizeof keys / sizeof *keys, &map);
    return map;
}

/* (Handle) -> {ok, [#{ticket, length, since, due, process, program, attempt, alive, released}]} */
static ERL_NIF_TERM queue_in_hand(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    ErlNifEnv *const env = attempt->env;
    struct nif_file *const file = attempt->file;
    emmap_in_hand *entries = NULL;
    size_t room = 0, count;
    emmap_error error = file->core->queue_in_hand(file->file, NULL, 0, &count);
    if (!error && count > 0) {
        room = count + 16; /* others may take messages meanwhile */
        entries = enif_alloc(room * sizeof *entries);
        error = entries ? file->core->queue_in_hand(file->file, entries, room, &count) : ENOMEM;
    }
    ERL_NIF_TERM list = enif_make_list(env, 0);
    for (size_t i = error ? 0 : count < room ? count : room; i > 0; i--)
        list = enif_make_list_cell(env, describe_in_hand(env, &entries[i - 1]), list);
    enif_free(entries);
    return error ? nif_attempt_failed(attempt, error) : nif_ok(env, list);
}

/* ---- Open --------------------------------------------------------------------------------------------- */

ERL_NIF_TERM nif_queue_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_opening opening;
    ERL_NIF_TERM refused;
    if (!nif_opening_begin(env, arguments[0], arguments[1], &opening, &refused))
        return refused;
    emmap_file *file;
    const emmap_error error = emmap_queue_open(opening.path, &opening.options, &file);
    return nif_opening_end(&opening, error, file, "queue");
}

/* ---- Push --------------------------------------------------------------------------------------------- */

/* A message is a binary, or a list of binaries. */
static ERL_NIF_TERM queue_push(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    struct nif_vectors message;
    ERL_NIF_TERM failed;
    if (!nif_vectors_get(attempt, arguments[1], &message, &failed))
        return failed;
    const emmap_error error = file->core->queue_push(file->file, message.list, message.count);
    nif_vectors_free(&message);
    return nif_attempt_done(attempt, error);
}

/* (file, [Binary]) */
static ERL_NIF_TERM on_messages(struct nif_attempt *attempt, ERL_NIF_TERM list,
                                emmap_error (*operation)(emmap_file *file, const struct iovec *messages,
                                                         size_t count))
{
    struct nif_vectors messages;
    ERL_NIF_TERM failed;
    if (!nif_vectors_get_list(attempt, list, &messages, &failed))
        return failed;
    const emmap_error error = operation(attempt->file->file, messages.list, messages.count);
    nif_vectors_free(&messages);
    return nif_attempt_done(attempt, error);
}

static ERL_NIF_TERM queue_push_many(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    return on_messages(attempt, arguments[1], attempt->file->core->queue_push_many);
}

/* {ok, Last} */
static ERL_NIF_TERM queue_push_once(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    ErlNifBinary origin;
    struct nif_vectors messages;
    uint64_t number, last;
    ERL_NIF_TERM failed;
    if (!enif_inspect_binary(attempt->env, arguments[1], &origin) || origin.size != EMMAP_ORIGIN_SIZE ||
        !nif_get_position(attempt->env, arguments[2], &number) || number > INT64_MAX)
        return enif_make_badarg(attempt->env);
    if (!nif_vectors_get_list(attempt, arguments[3], &messages, &failed))
        return failed;
    const emmap_error error =
        file->core->queue_push_once(file->file, origin.data, number, messages.list, messages.count, &last);
    nif_vectors_free(&messages);
    return nif_attempt_number(attempt, error, last);
}

/* ---- Pop and look ------------------------------------------------------------------------------------- */

/* A message of at most so many bytes is decoded from a copy on the stack. The same number is in
 * emmap_queue_pop.erl. */
#define QUICK_TERM 1024u
/* How often a message is decoded and another process removes it first, before the answer is `slow`. */
#define QUICK_ATTEMPTS 3

struct quick_term {
    uint8_t bytes[QUICK_TERM];
    size_t length;
    bool too_long;
};

static void *quick_allocate(void *context, size_t length)
{
    struct quick_term *const self = context;
    self->length = length;
    self->too_long = length > sizeof self->bytes;
    return self->too_long ? NULL : self->bytes;
}

/* Decodes the copy to *term. False: it is no term, or a compressed one, which may be of any size. */
static bool quick_decode(ErlNifEnv *env, const struct quick_term *self, ErlNifBinaryToTerm options,
                         ERL_NIF_TERM *term)
{
    const uint8_t compressed = 80;
    return self->length > 1 && self->bytes[1] != compressed &&
           enif_binary_to_term(env, self->bytes, self->length, term, options) > 0;
}

/* {ok, Term}: the message is removed. `slow`: it is not, because it is long, compressed, no term, or many
 * processes want it. The term is made before the message is removed, and without the lock of the queue. */
static ERL_NIF_TERM queue_pop_term(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    const ErlNifBinaryToTerm options = arguments[1] == nif_atoms.safe ? ERL_NIF_BIN2TERM_SAFE : 0;
    struct quick_term message;
    const emmap_sink sink = {.allocate = quick_allocate, .context = &message};
    for (int i = 0; i < QUICK_ATTEMPTS; i++) {
        message.too_long = false;
        emmap_error error = file->core->queue_glance_front(file->file, &sink);
        if (message.too_long)
            break;
        if (error)
            return nif_attempt_failed(attempt, error);
        ERL_NIF_TERM term;
        if (!quick_decode(attempt->env, &message, options, &term))
            break;
        const struct iovec vector = {.iov_base = message.bytes, .iov_len = message.length};
        error = file->core->queue_remove(file->file, &vector, 1);
        if (error != ESTALE)
            return error ? nif_attempt_failed(attempt, error) : nif_ok(attempt->env, term);
    }
    return nif_atoms.slow;
}

static ERL_NIF_TERM queue_remove(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    return on_messages(attempt, arguments[1], attempt->file->core->queue_remove);
}

static ERL_NIF_TERM queue_pop_many(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    uint64_t limit, count;
    if (!nif_get_position(attempt->env, arguments[1], &limit))
        return enif_make_badarg(attempt->env);
    if (nif_attempt_too_long(attempt, limit, 0))
        return nif_atoms.ok;
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    const emmap_error error = file->core->queue_pop_many(file->file, limit, &sink, &count);
    return error ? nif_pieces_failed(&pieces, error) : nif_ok(attempt->env, nif_pieces_list(&pieces, NULL));
}

static ERL_NIF_TERM queue_walk(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifEnv *const env = attempt->env;
    struct nif_file *const file = attempt->file;
    uint64_t limit, place, count;
    const bool forward = arguments[1] == nif_atoms.forward;
    if ((!forward && arguments[1] != nif_atoms.backward) || !nif_get_position(env, arguments[2], &limit) ||
        !nif_get_place(env, arguments[3], &place))
        return enif_make_badarg(env);
    if (nif_attempt_too_long(attempt, limit, 0))
        return nif_atoms.ok;
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    const emmap_error error = file->core->queue_walk(
        file->file, forward ? EMMAP_QUEUE_FORWARD : EMMAP_QUEUE_BACKWARD, limit, &place, &sink, &count);
    if (error)
        return nif_pieces_failed(&pieces, error);
    return enif_make_tuple3(env, nif_atoms.ok, nif_pieces_list(&pieces, NULL), enif_make_uint64(env, place));
}

static ERL_NIF_TERM queue_info(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    ErlNifEnv *const env = attempt->env;
    emmap_queue_metadata info;
    const emmap_error error = attempt->file->core->queue_info(attempt->file->file, &info);
    if (error)
        return nif_attempt_failed(attempt, error);
    ERL_NIF_TERM keys[] = {nif_atoms.size, nif_atoms.head, nif_atoms.tail, nif_atoms.next_tail};
    ERL_NIF_TERM values[] = {enif_make_uint64(env, info.size), enif_make_uint64(env, info.head),
                             enif_make_uint64(env, info.tail), enif_make_uint64(env, info.next_tail)};
    ERL_NIF_TERM map = 0;
    enif_make_map_from_arrays(env, keys, values, 4, &map);
    return nif_ok(env, map);
}

NIF_OPERATION(queue_push)
NIF_OPERATION(queue_push_many)
NIF_SLOW_OPERATION(queue_push_once)
NIF_OPERATION(queue_pop_term)
NIF_OPERATION(queue_remove)
NIF_OPERATION(queue_pop_many)
NIF_OPERATION(queue_pop_begin)
NIF_OPERATION(queue_pop_commit)
NIF_OPERATION(queue_pop_abort)
NIF_OPERATION(queue_take)
NIF_OPERATION(queue_ack)
NIF_OPERATION(queue_put_back)
NIF_OPERATION(queue_release)
NIF_SLOW_OPERATION(queue_in_hand)
NIF_OPERATION(queue_walk)
NIF_OPERATION(queue_info)
