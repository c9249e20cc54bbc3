#include "nif_call.h"

#include <errno.h>
#include <string.h>

/* ---- Operations that may take long -------------------------------------------------------------------- */

_Thread_local const struct nif_core *nif_told NIF_TLS;

ERL_NIF_TERM nif_reschedule(ErlNifEnv *env, const char *name, nif_function *function, int count,
                            const ERL_NIF_TERM arguments[], ERL_NIF_TERM more)
{
    ERL_NIF_TERM extended[8];
    memcpy(extended, arguments, (size_t)count * sizeof *arguments);
    extended[count] = more;
    return enif_schedule_nif(env, name, ERL_NIF_DIRTY_JOB_IO_BOUND, function, count + 1, extended);
}

ERL_NIF_TERM nif_attempt_again(struct nif_attempt *attempt)
{
    attempt->again = true;
    return nif_atoms.ok;
}

/* {busy, Milliseconds} */
static ERL_NIF_TERM busy(ErlNifEnv *env, uint64_t limit)
{
    const ERL_NIF_TERM pair[] = {nif_atoms.busy, enif_make_uint64(env, limit)};
    return enif_make_tuple_from_array(env, pair, 2);
}

ERL_NIF_TERM nif_open_failed(ErlNifEnv *env, emmap_error error, const emmap_options *options)
{
    if (error != ETIMEDOUT)
        return nif_open_failure(env, error);
    return busy(env, options->has_lock_timeout ? options->lock_timeout : EMMAP_LOCK_TIMEOUT);
}

bool nif_opening_begin(ErlNifEnv *env, ERL_NIF_TERM path, ERL_NIF_TERM options, struct nif_opening *self,
                       ERL_NIF_TERM *refused)
{
    ERL_NIF_TERM bad;
    self->env = env;
    if (nif_get_options(env, options, &self->options, &bad) != EMMAP_OK) {
        *refused = nif_bad_option(env, bad);
        return false;
    }
    self->path = nif_get_path(env, path);
    if (!self->path)
        *refused = enif_make_badarg(env);
    return self->path != NULL;
}

ERL_NIF_TERM nif_opening_end(struct nif_opening *self, emmap_error error, emmap_file *file, const char *kind)
{
    enif_free(self->path);
    return error ? nif_open_failed(self->env, error, &self->options) : nif_file_answer(self->env, file, kind);
}

ERL_NIF_TERM nif_attempt_failed(struct nif_attempt *attempt, emmap_error error)
{
    if (attempt->again || (error == EAGAIN && !attempt->is_dirty))
        return nif_attempt_again(attempt);
    if (error == ETIMEDOUT)
        return busy(attempt->env, attempt->unlimited ? EMMAP_NO_LIMIT : attempt->file->lock_timeout);
    return nif_failure(attempt->env, error, attempt->file->core->last_failure());
}

ERL_NIF_TERM nif_attempt_done(struct nif_attempt *attempt, emmap_error error)
{
    return error ? nif_attempt_failed(attempt, error) : nif_atoms.ok;
}

/* ---- Bytes -------------------------------------------------------------------------------------------- */

/* Errors: EMMAP_BADARG, ENOMEM. */
static emmap_error get_list(ErlNifEnv *env, ERL_NIF_TERM term, struct nif_vectors *self)
{
    unsigned length;
    if (!enif_get_list_length(env, term, &length))
        return EMMAP_BADARG;
    self->list = enif_alloc((length + (size_t)1) * sizeof *self->list);
    if (!self->list)
        return ENOMEM;
    ERL_NIF_TERM head;
    while (enif_get_list_cell(env, term, &head, &term)) {
        ErlNifBinary bytes;
        if (!enif_inspect_binary(env, head, &bytes)) {
            enif_free(self->list);
            return EMMAP_BADARG;
        }
        self->bytes += bytes.size;
        self->list[self->count++] = nif_vector_of(&bytes);
    }
    return EMMAP_OK;
}

bool nif_vectors_get_list(struct nif_attempt *attempt, ERL_NIF_TERM data, struct nif_vectors *self,
                          ERL_NIF_TERM *answer)
{
    *self = (struct nif_vectors){0};
    const emmap_error error = get_list(attempt->env, data, self);
    if (error) {
        *answer = error == EMMAP_BADARG ? enif_make_badarg(attempt->env) : nif_attempt_failed(attempt, error);
        return false;
    }
    if (nif_attempt_too_long(attempt, self->count, self->bytes)) {
        enif_free(self->list);
        *answer = nif_atoms.ok;
        return false;
    }
    return true;
}

/* Adds a binary. The first one takes no memory besides `self`. */
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
    if (self->bytes > EMMAP_PIECE && !self->attempt->is_dirty) {
        nif_attempt_again(self->attempt);
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
    if (!self->attempt->is_dirty)
        nif_account(self->attempt->env, self->bytes);
    return nif_binary_term(&self->first);
}

ERL_NIF_TERM nif_pieces_list(struct nif_pieces *self, const uint64_t *keys)
{
    ErlNifEnv *const env = self->attempt->env;
    if (!self->attempt->is_dirty)
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

ERL_NIF_TERM nif_pieces_failed(struct nif_pieces *self, emmap_error error)
{
    for (size_t i = 0; i < self->count; i++)
        nif_binary_drop(piece_at(self, i));
    enif_free(self->more);
    return nif_attempt_failed(self->attempt, error);
}

/* ---- Answers ------------------------------------------------------------------------------------------ */

ERL_NIF_TERM nif_attempt_number(struct nif_attempt *attempt, emmap_error error, uint64_t number)
{
    return error ? nif_attempt_failed(attempt, error)
                 : nif_ok(attempt->env, enif_make_uint64(attempt->env, number));
}

ERL_NIF_TERM nif_attempt_whether(struct nif_attempt *attempt, emmap_error error, bool yes)
{
    return error ? nif_attempt_failed(attempt, error)
                 : nif_ok(attempt->env, yes ? nif_atoms.true_ : nif_atoms.false_);
}

ERL_NIF_TERM nif_attempt_take(struct nif_attempt *attempt,
                              emmap_error (*take)(emmap_file *file, const emmap_sink *sink))
{
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    const emmap_error error = take(attempt->file->file, &sink);
    return error ? nif_pieces_failed(&pieces, error) : nif_ok(attempt->env, nif_pieces_first(&pieces));
}
