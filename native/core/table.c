/* The operations on the words of a key. */
#include "table.h"

#include <errno.h>

#include "error.h"

/* The operations on a word. */
typedef enum action_kind { ACTION_ADD, ACTION_SET, ACTION_COMPARE_EXCHANGE, ACTION_NONE } action_kind_t;

typedef struct action {
    action_kind_t kind;
    uint64_t word;
    int64_t value;
    int64_t expected;
    int64_t old;
} action_t;

static emmap_error get_table(emmap_file *file, bool writing, table_t **result)
{
    container_t *base;
    const emmap_error error = emi_container_get(file, CONTAINER_TABLE, &base);
    if (error)
        return error;
    *result = (table_t *)base;
    return writing && !file_may_write(file) ? emi_error_set(EACCES, "the file is open for reading only")
                                            : EMMAP_OK;
}

/* Checks the arguments of an operation on a word. Errors: EACCES; EINVAL. */
static emmap_error check(emmap_file *file, bool writing, const void *bytes, size_t length, uint64_t word,
                         table_t **self, table_key_t *key)
{
    const emmap_error error = get_table(file, writing, self);
    if (error)
        return error;
    return word < (*self)->shape.words ? emi_table_key(&(*self)->shape, bytes, length, key)
                                       : emi_error_set(EINVAL, "an entry has no such word");
}

/* Under the lock, where no entry is deleted. */
static void act(_Atomic int64_t *word, action_t *action)
{
    switch (action->kind) {
    case ACTION_ADD:
        action->old = atomic_fetch_add(word, action->value);
        break;
    case ACTION_SET:
        action->old = atomic_exchange(word, action->value);
        break;
    case ACTION_COMPARE_EXCHANGE:
        action->old = action->expected;
        atomic_compare_exchange_strong(word, &action->old, action->value);
        break;
    default:
        break;
    }
}

/* Under the lock: finds the key and acts, or inserts it with the result. */
static emmap_error change(operation_t *operation, const table_key_t *key, action_t *action,
                          table_place_t *place)
{
    const table_shape_t *const shape = table_shape(operation);
    const emmap_error error = emi_table_find(shape, operation->mapping->data, key, place);
    if (error)
        return error;
    if (place->unit != 0) {
        act(&table_unit(shape, operation->mapping->data, place->unit)->words[action->word], action);
        return EMMAP_OK;
    }
    /* A key that is not there has words of 0. */
    if (action->kind == ACTION_COMPARE_EXCHANGE && action->expected != 0)
        return EMMAP_OK;
    int64_t words[TABLE_WORDS_MAX] = {0};
    words[action->word] = action->value;
    const emmap_error full = emi_table_make_room(operation, table_units_for(shape, key->length), false);
    return full ? full : emi_table_insert(operation, key, 0, words, place);
}

static emmap_error change_locked(emmap_file *file, const table_key_t *key, action_t *action,
                                 table_place_t *place)
{
    operation_t operation;
    const emmap_error error = emi_table_begin(file, &operation);
    return error ? error : emi_operation_end(&operation, change(&operation, key, action, place));
}

/* Finds a key without the lock. *mapping stays pinned until visit_end. Errors: as visit_begin; then there is nothing
 * to end. */
static emmap_error look(emmap_file *file, const table_t *self, const table_key_t *key, visit_t *visit,
                        table_place_t *place)
{
    emmap_error error = visit_begin(file, visit);
    if (error)
        return error;
    error = emi_table_find(&self->shape, visit->mapping->data, key, place);
    if (error) {
        const emmap_failure failure = *emmap_last_failure();
        const emmap_error fault = visit_end(file, visit);
        if (!fault)
            emi_error_restore(&failure);
        return fault ? fault : error;
    }
    return EMMAP_OK;
}

emmap_error emmap_table_add(emmap_file *file, const void *bytes, size_t length, uint64_t word, int64_t value,
                            int64_t *old)
{
    table_t *self;
    table_key_t key;
    visit_t visit;
    table_place_t place;
    emmap_error error = check(file, true, bytes, length, word, &self, &key);
    if (error)
        return error;
    error = look(file, self, &key, &visit, &place);
    if (error && error != EBUSY)
        return error;
    if (!error && place.unit != 0) {
        uint8_t *const data = visit.mapping->data;
        _Atomic int64_t *const place_of_word = &table_unit(&self->shape, data, place.unit)->words[word];
        const int64_t before = atomic_fetch_add(place_of_word, value);
        const bool same = table_is_same(&self->shape, data, &place);
        if (!same)
            atomic_fetch_sub(place_of_word, value);
        if (old)
            *old = before;
        error = visit_end(file, &visit);
        if (error || same)
            return error;
    } else if (!error) {
        error = visit_end(file, &visit);
        if (error)
            return error;
    }
    action_t action = {.kind = ACTION_ADD, .word = word, .value = value};
    error = change_locked(file, &key, &action, &place);
    if (old)
        *old = action.old;
    return error;
}

static emmap_error store(emmap_file *file, const void *bytes, size_t length, action_t *action, int64_t *old)
{
    table_t *self;
    table_key_t key;
    table_place_t place;
    emmap_error error = check(file, true, bytes, length, action->word, &self, &key);
    if (!error)
        error = change_locked(file, &key, action, &place);
    if (old)
        *old = action->old;
    return error;
}

emmap_error emmap_table_set(emmap_file *file, const void *key, size_t length, uint64_t word, int64_t value,
                            int64_t *old)
{
    return store(file, key, length, &(action_t){.kind = ACTION_SET, .word = word, .value = value}, old);
}

emmap_error emmap_table_compare_exchange(emmap_file *file, const void *key, size_t length, uint64_t word,
                                         int64_t expected, int64_t replacement, int64_t *old)
{
    action_t action = {
        .kind = ACTION_COMPARE_EXCHANGE, .word = word, .value = replacement, .expected = expected};
    return store(file, key, length, &action, old);
}

emmap_error emmap_table_get(emmap_file *file, const void *bytes, size_t length, uint64_t word, int64_t *value)
{
    table_t *self;
    table_key_t key;
    visit_t visit;
    table_place_t place;
    emmap_error error = check(file, false, bytes, length, word, &self, &key);
    while (!error) {
        error = look(file, self, &key, &visit, &place);
        if (error)
            return error;
        bool same = true;
        if (place.unit != 0) {
            uint8_t *const data = visit.mapping->data;
            *value = atomic_load(&table_unit(&self->shape, data, place.unit)->words[word]);
            same = table_is_same(&self->shape, data, &place);
        }
        error = visit_end(file, &visit);
        if (!error && place.unit == 0)
            return emi_error_set(ENOENT, "the table has no such key");
        if (same)
            break;
    }
    return error;
}

emmap_error emmap_table_find(emmap_file *file, const void *bytes, size_t length, bool create,
                             emmap_table_place *result)
{
    table_t *self;
    table_key_t key;
    visit_t visit;
    table_place_t place;
    emmap_error error = check(file, create, bytes, length, 0, &self, &key);
    if (error)
        return error;
    error = look(file, self, &key, &visit, &place);
    if (!error)
        error = visit_end(file, &visit);
    if (!error && place.unit == 0 && !create)
        return emi_error_set(ENOENT, "the table has no such key");
    if (create && ((!error && place.unit == 0) || error == EBUSY))
        error = change_locked(file, &key, &(action_t){.kind = ACTION_NONE}, &place);
    if (error)
        return error;
    result->position = self->shape.units_at + (uint64_t)self->shape.stride * (place.unit - 1);
    result->generation = place.generation;
    return EMMAP_OK;
}

emmap_error emmap_table_delete(emmap_file *file, const void *bytes, size_t length)
{
    table_t *self;
    table_key_t key;
    table_place_t place;
    operation_t operation;
    emmap_error error = check(file, true, bytes, length, 0, &self, &key);
    if (!error)
        error = emi_table_begin(file, &operation);
    if (error)
        return error;
    error = emi_table_find(&self->shape, operation.mapping->data, &key, &place);
    if (!error)
        error = place.unit != 0 ? emi_table_delete(&operation, &place)
                                : emi_error_set(ENOENT, "the table has no such key");
    return emi_operation_end(&operation, error);
}

emmap_error emmap_table_size(emmap_file *file, uint64_t *size)
{
    table_t *self;
    int64_t word = 0;
    emmap_error error = get_table(file, false, &self);
    if (!error)
        error = emmap_patomic_load(file, offsetof(table_header_t, size), &word);
    *size = (uint64_t)word;
    return error;
}

emmap_error emmap_table_info(emmap_file *file, emmap_table_metadata *info)
{
    table_t *self;
    const emmap_error error = get_table(file, false, &self);
    if (!error)
        *info = (emmap_table_metadata){
            .capacity = self->shape.capacity, .key_bytes = self->shape.key_bytes, .words = self->shape.words};
    return error;
}
