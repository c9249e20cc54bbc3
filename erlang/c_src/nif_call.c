#include "nif_call.h"

#include <errno.h>

/* What a normal scheduler does at once: some 10 µs. */
#define ITEMS_AT_ONCE 64u

/* ---- Operations that may have to wait for another process --------------------------------------------- */

ERL_NIF_TERM nif_attempt_patiently(ErlNifEnv *env, const ERL_NIF_TERM arguments[], nif_operation *operation)
{
    struct nif_attempt attempt = {.env = env, .may_wait = true};
    if (!nif_file_get(env, arguments[0], &attempt.file))
        return enif_make_badarg(env);
    return operation(&attempt, arguments);
}

static ERL_NIF_TERM again(struct nif_attempt *attempt)
{
    attempt->again = true;
    return nif_atoms.ok;
}

bool nif_attempt_too_long(struct nif_attempt *attempt, uint64_t items, uint64_t bytes)
{
    if (attempt->may_wait)
        return false;
    if (items > ITEMS_AT_ONCE || bytes > EMMAP_PIECE) {
        again(attempt);
        return true;
    }
    nif_account(attempt->env, bytes);
    return false;
}

ERL_NIF_TERM nif_attempt_failed(struct nif_attempt *attempt, emmap_error error)
{
    if (attempt->again || (error == EAGAIN && !attempt->may_wait))
        return again(attempt);
    return nif_failure(attempt->env, error, attempt->file->core->last_failure());
}

ERL_NIF_TERM nif_attempt_done(struct nif_attempt *attempt, emmap_error error)
{
    return error ? nif_attempt_failed(attempt, error) : nif_atoms.ok;
}

/* ---- Bytes -------------------------------------------------------------------------------------------- */

emmap_error nif_get_vectors(ErlNifEnv *env, ERL_NIF_TERM list, struct iovec **vectors, size_t *count)
{
    unsigned length;
    if (!enif_get_list_length(env, list, &length))
        return EMMAP_BADARG;
    *vectors = enif_alloc((length + 1) * sizeof **vectors);
    if (!*vectors)
        return ENOMEM;
    ERL_NIF_TERM head;
    for (*count = 0; enif_get_list_cell(env, list, &head, &list); ++*count) {
        ErlNifBinary bytes;
        if (!enif_inspect_binary(env, head, &bytes)) {
            enif_free(*vectors);
            return EMMAP_BADARG;
        }
        (*vectors)[*count] = nif_vector_of(&bytes);
    }
    return EMMAP_OK;
}

/* A place for one more binary; the first needs no memory of its own. */
static struct nif_binary *add(struct nif_pieces *self)
{
    struct nif_binary *place = &self->first;
    if (self->count > 0) {
        if (self->count - 1 == self->room) {
            const size_t room = self->room ? 2 * self->room : 32;
            struct nif_binary *const more = enif_realloc(self->more, room * sizeof *more);
            if (!more)
                return NULL;
            self->more = more;
            self->room = room;
        }
        place = &self->more[self->count - 1];
    }
    self->count++;
    *place = (struct nif_binary){.env = self->attempt->env};
    return place;
}

static void *allocate_piece(void *context, size_t length)
{
    struct nif_pieces *const self = context;
    self->bytes += length;
    if (self->bytes > EMMAP_PIECE && !self->attempt->may_wait) {
        again(self->attempt);
        return NULL;
    }
    struct nif_binary *const piece = add(self);
    if (!piece)
        return NULL;
    piece->one_of_many = self->bytes > EMMAP_PIECE;
    const emmap_sink sink = nif_binary_sink(piece);
    return sink.allocate(sink.context, length);
}

emmap_sink nif_pieces_sink(struct nif_pieces *self)
{
    return (emmap_sink){.allocate = allocate_piece, .context = self};
}

static struct nif_binary *piece_at(struct nif_pieces *self, size_t index)
{
    return index == 0 ? &self->first : &self->more[index - 1];
}

ERL_NIF_TERM nif_pieces_first(struct nif_pieces *self)
{
    if (!self->attempt->may_wait)
        nif_account(self->attempt->env, self->bytes);
    return nif_binary_term(&self->first);
}

static ERL_NIF_TERM pieces_list(struct nif_pieces *self, const uint64_t *keys)
{
    ErlNifEnv *const env = self->attempt->env;
    if (!self->attempt->may_wait)
        nif_account(env, self->bytes);
    ERL_NIF_TERM list = enif_make_list(env, 0);
    for (size_t i = self->count; i > 0; i--) {
        ERL_NIF_TERM element = nif_binary_term(piece_at(self, i - 1));
        if (keys)
            element = enif_make_tuple2(env, enif_make_uint64(env, keys[i - 1]), element);
        list = enif_make_list_cell(env, element, list);
    }
    enif_free(self->more);
    return list;
}

ERL_NIF_TERM nif_pieces_list(struct nif_pieces *self)
{
    return pieces_list(self, NULL);
}

ERL_NIF_TERM nif_pieces_pairs(struct nif_pieces *self, const uint64_t *keys)
{
    return pieces_list(self, keys);
}

ERL_NIF_TERM nif_pieces_failed(struct nif_pieces *self, emmap_error error)
{
    for (size_t i = 0; i < self->count; i++)
        nif_binary_drop(piece_at(self, i));
    enif_free(self->more);
    return nif_attempt_failed(self->attempt, error);
}
