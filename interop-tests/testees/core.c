/* The core's testee: see README.md. */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emmap.h"
#include "emmap_operations.h"

#define WORDS_MAX 4096
#define FILES_MAX 16
#define TAKEN_MAX 256
/* Few, so that walks and repairs go in steps. */
#define STEP 2

/* ---- Requests ----------------------------------------------------------------------------------------- */

typedef struct request {
    char *words[WORDS_MAX]; /* the operation, the file's name, arguments */
    size_t count;
} request;

typedef struct opened {
    char name[64];
    emmap_file *file;
    uint64_t ticket;           /* of its pop in two steps */
    uint64_t taken[TAKEN_MAX]; /* the tickets of its takes */
    size_t takes;
} opened;

static opened files[FILES_MAX];

static void give_up(const char *what)
{
    fprintf(stderr, "core testee: %s\n", what);
    exit(2);
}

static void *allocated(void *memory)
{
    if (!memory)
        give_up("no memory");
    return memory;
}

static opened *file_named(const char *name)
{
    for (opened *each = files; each < files + FILES_MAX; each++)
        if (strcmp(each->name, name) == 0)
            return each;
    give_up("no such file was opened");
    return NULL;
}

/* The place for a file of that name. Ends the file that had the name before. */
static opened *file_anew(const char *name)
{
    for (opened *each = files; each < files + FILES_MAX; each++)
        if (!each->file || strcmp(each->name, name) == 0) {
            emmap_free(each->file);
            *each = (opened){0};
            snprintf(each->name, sizeof each->name, "%s", name);
            return each;
        }
    give_up("too many files");
    return NULL;
}

static const char *word(const request *request, size_t index)
{
    if (index >= request->count)
        give_up("an argument is missing");
    return request->words[index];
}

/* Casts negative numbers as a door does. */
static uint64_t number(const request *request, size_t index)
{
    const char *const text = word(request, index);
    char *end;
    const uint64_t value =
        text[0] == '-' ? (uint64_t)strtoll(text, &end, 10) : (uint64_t)strtoull(text, &end, 10);
    if (end == text || *end)
        give_up("an argument is not a number");
    return value;
}

static int64_t operand(const request *request, size_t index)
{
    return (int64_t)number(request, index);
}

/* Decodes hexadecimal in place: the bytes take half the room of their digits. */
static struct iovec bytes(const request *request, size_t index)
{
    char *const text = request->words[index];
    if (strcmp(word(request, index), "-") == 0)
        return (struct iovec){.iov_base = text, .iov_len = 0};
    size_t length = 0;
    for (unsigned byte; sscanf(text + 2 * length, "%2x", &byte) == 1; length++)
        text[length] = (char)byte;
    return (struct iovec){.iov_base = text, .iov_len = length};
}

static size_t bytes_from(const request *request, size_t first, struct iovec *vectors)
{
    for (size_t i = first; i < request->count; i++)
        vectors[i - first] = bytes(request, i);
    return request->count - first;
}

static emmap_error options(const request *request, size_t from, emmap_options *result)
{
    *result = (emmap_options){0};
    for (size_t i = from; i < request->count; i++) {
        char *const value = strchr(request->words[i], '=');
        uint64_t amount = 0;
        if (value) {
            *value = 0;
            amount = strtoull(value + 1, NULL, 10);
        }
        const emmap_error error = emmap_option_set(result, request->words[i], value ? &amount : NULL);
        if (error)
            return error;
    }
    return EMMAP_OK;
}

static unsigned choice(const request *request, size_t index, const char *const *names)
{
    for (unsigned i = 0; names[i]; i++)
        if (strcmp(names[i], word(request, index)) == 0)
            return i;
    give_up("an argument is none of its names");
    return 0;
}

/* ---- Answers ------------------------------------------------------------------------------------------ */

/* The memory that a sink has allocated. */
typedef struct chunks {
    struct iovec *all;
    size_t count;
} chunks;

static void *chunk(void *context, size_t length)
{
    chunks *const self = context;
    self->all = allocated(realloc(self->all, (self->count + 1) * sizeof *self->all));
    self->all[self->count] = (struct iovec){.iov_base = allocated(malloc(length + 1)), .iov_len = length};
    return self->all[self->count++].iov_base;
}

static void say_bytes(struct iovec vector)
{
    const uint8_t *const data = vector.iov_base;
    printf(vector.iov_len ? " " : " -");
    for (size_t i = 0; i < vector.iov_len; i++)
        printf("%02x", data[i]);
}

static void say_chunks(const chunks *self)
{
    printf("ok");
    for (size_t i = 0; i < self->count; i++)
        say_bytes(self->all[i]);
}

static void chunks_free(chunks *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->all[i].iov_base);
    free(self->all);
    *self = (chunks){0};
}

static void say_error(const char *operation, emmap_error error)
{
    if (error == EMMAP_EOF) {
        printf("eof");
        return;
    }
    printf("error %s", emmap_error_atom(error));
    if (error == EMMAP_CORRUPT &&
        (strncmp(operation, "queue", 5) == 0 || strncmp(operation, "block", 5) == 0 ||
         strncmp(operation, "cell", 4) == 0 || strncmp(operation, "table", 5) == 0))
        printf(" %llu", (unsigned long long)emmap_last_failure()->offset);
}

/* ---- Operations by their shapes ----------------------------------------------------------------------- */

static void say_number(const char *operation, emmap_error error, long long value)
{
    if (error)
        say_error(operation, error);
    else
        printf("ok %lld", value);
}

static void say_nothing(const char *operation, emmap_error error)
{
    if (error)
        say_error(operation, error);
    else
        printf("ok");
}

static void say_whether(const char *operation, emmap_error error, bool yes)
{
    if (error)
        say_error(operation, error);
    else
        printf("ok %s", yes ? "true" : "false");
}

static void say_taken(const char *operation, emmap_file *file,
                      emmap_error (*take)(emmap_file *file, const emmap_sink *sink))
{
    chunks chunks = {0};
    const emmap_error error = take(file, &(emmap_sink){.allocate = chunk, .context = &chunks});
    if (error)
        say_error(operation, error);
    else
        say_chunks(&chunks);
    chunks_free(&chunks);
}

/* The result of a wait. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static bool has_ended;
static emmap_error how;

static void end_wait(void *context, emmap_error result)
{
    (void)context;
    pthread_mutex_lock(&lock);
    has_ended = true;
    how = result;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
}

static emmap_error end_of(emmap_wait *wait)
{
    pthread_mutex_lock(&lock);
    while (!has_ended)
        pthread_cond_wait(&ended, &lock);
    const emmap_error error = how;
    pthread_mutex_unlock(&lock);
    emmap_wait_free(wait);
    return error;
}

static bool on_wait(const request *request, const char *operation, emmap_file *file)
{
    const bool counter = strncmp(operation, "counter_", 8) == 0;
    const char *const name = operation + (counter ? 8 : 0);
    uint64_t woken = 0;
    if (strcmp(name, "notify") == 0) {
        const emmap_error error = (counter ? emmap_counter_notify : emmap_notify)(file, number(request, 2),
                                                                                  number(request, 3), &woken);
        return say_number(operation, error, (long long)woken), true;
    }
    if (strcmp(name, "wait") != 0)
        return false;
    emmap_wait *wait = NULL;
    has_ended = false;
    emmap_error error = (counter ? emmap_counter_wait_begin : emmap_wait_begin)(
        file, number(request, 2), operand(request, 3), number(request, 4), &(emmap_waiter){.done = end_wait},
        &wait);
    if (!error)
        error = end_of(wait);
    if (error == EAGAIN || error == ETIMEDOUT || !error)
        printf("ok %s", error == EAGAIN ? "not_equal" : error ? "timeout" : "ok");
    else
        say_error(operation, error);
    return true;
}

/* A request that ends a delivery says by number which one. */
static uint64_t ticket(const request *request, const opened *opened)
{
    if (request->count == 2)
        return opened->ticket;
    const uint64_t index = number(request, 2);
    if (index >= opened->takes)
        give_up("no such message was taken");
    return opened->taken[index];
}

#define DO_APART(name) return false
#define DO_OWN(name) return false
#define DO_READ(name) return false
#define DO_ACT(name) say_nothing(operation, emmap_##name(file))
#define DO_ACT_ON(name) say_nothing(operation, emmap_##name(file, number(request, 2)))
#define DO_TICKET(name) say_nothing(operation, emmap_##name(file, ticket(request, opened)))
#define DO_TAKE(name) say_taken(operation, file, emmap_##name)
#define DO_MEASURE(name)                                                                                     \
    error = emmap_##name(file, &measure);                                                                    \
    say_number(operation, error, (long long)measure)
#define DO_ASK(name)                                                                                         \
    error = emmap_##name(file, &yes);                                                                        \
    say_whether(operation, error, yes)
#define DO_LOAD(name)                                                                                        \
    error = emmap_##name(file, number(request, 2), &word);                                                   \
    say_number(operation, error, word)
#define DO_STORE(name) say_nothing(operation, emmap_##name(file, number(request, 2), operand(request, 3)))
#define DO_UPDATE(name)                                                                                      \
    error = emmap_##name(file, number(request, 2), operand(request, 3), &word);                              \
    say_number(operation, error, word)
#define DO_COMPARE_EXCHANGE(name)                                                                            \
    error = emmap_##name(file, number(request, 2), operand(request, 3), operand(request, 4), &word);         \
    say_number(operation, error, word)

#define TRY(name, arity, shape, cost)                                                                        \
    if (strcmp(operation, #name) == 0) {                                                                     \
        DO_##shape(name);                                                                                    \
        return true;                                                                                         \
    }

/* True if the operation has a shape of the table. */
static bool by_shape(const request *request, const char *operation, opened *opened)
{
    emmap_file *const file = opened->file;
    emmap_error error;
    uint64_t measure = 0;
    int64_t word = 0;
    bool yes = false;
    EMMAP_OPERATIONS(TRY)
    return false;
}

/* The size of the released space depends on the file system. */
static bool compact(const char *operation, emmap_file *file)
{
    uint64_t some;
    if (strcmp(operation, "queue_compact") == 0)
        say_nothing(operation, emmap_queue_compact(file, &some));
    else if (strcmp(operation, "blocks_compact") == 0)
        say_nothing(operation, emmap_blocks_compact(file, &some));
    else
        return false;
    return true;
}

/* ---- Other operations --------------------------------------------------------------------------------- */

static void say_opened(const char *operation, emmap_error error, emmap_file *file)
{
    emmap_info info;
    if (error) {
        say_error(operation, error);
        return;
    }
    emmap_describe(file, &info);
    printf("ok %s", info.existed ? "existed" : "created");
    if (strcmp(operation, "open") == 0)
        printf(" %llu", (unsigned long long)info.size);
}

static bool open_something(const request *request, const char *operation)
{
    emmap_options given;
    emmap_error error;
    emmap_file *file = NULL;
    const bool plainly = strcmp(operation, "open") == 0, counters = strcmp(operation, "counters_open") == 0,
               queue = strcmp(operation, "queue_open") == 0, blocks = strcmp(operation, "blocks_open") == 0,
               cell = strcmp(operation, "cell_open") == 0, table = strcmp(operation, "table_open") == 0;
    if (!plainly && !counters && !queue && !blocks && !cell && !table)
        return false;
    opened *const place = file_anew(word(request, 1));
    const char *const path = word(request, 2);
    error = options(request, 3 + counters + cell + 2 * blocks + 3 * table, &given);
    if (!error && plainly)
        error = emmap_open(path, &given, &file);
    else if (!error && counters)
        error = emmap_counters_open(path, number(request, 3), &given, &file);
    else if (!error && queue)
        error = emmap_queue_open(path, &given, &file);
    else if (!error && cell)
        error = emmap_cell_open(path, number(request, 3), &given, &file);
    else if (!error && table)
        error = emmap_table_open(
            path, &(emmap_table_metadata){number(request, 3), number(request, 4), number(request, 5)}, &given,
            &file);
    else if (!error)
        error = emmap_blocks_open(path, number(request, 3), (unsigned)number(request, 4), &given, &file);
    place->file = file;
    if (!error && counters)
        printf("ok %llu", (unsigned long long)emmap_counters_length(file));
    else
        say_opened(operation, error, file);
    return true;
}

static int by_name(const void *one, const void *other)
{
    return strcmp(((const emmap_fact *)one)->name, ((const emmap_fact *)other)->name);
}

/* The facts that do not depend on the machine and the process, in the order of their names. */
static void say_facts(emmap_facts *facts)
{
    static const char *const others[] = {"disk", "mode", "process", "program", "since"};
    qsort(facts->fact, facts->count, sizeof *facts->fact, by_name);
    for (size_t i = 0; i < facts->count; i++) {
        const emmap_fact *const fact = &facts->fact[i];
        bool other = false;
        for (size_t j = 0; j < sizeof others / sizeof *others; j++)
            other = other || strcmp(fact->name, others[j]) == 0;
        if (other)
            continue;
        printf(" %s=", fact->name);
        if (fact->type == EMMAP_FACT_NUMBER)
            printf("%llu", (unsigned long long)fact->number);
        else if (fact->type == EMMAP_FACT_FLAG)
            printf("%s", fact->number ? "true" : "false");
        else
            for (const char *each = fact->text; *each; each++)
                putchar(*each == ' ' ? '_' : *each);
    }
}

static bool inspect(const request *request, const char *operation)
{
    emmap_effort effort;
    emmap_inspection *found;
    if (strcmp(operation, "inspect") != 0)
        return false;
    if (!emmap_effort_named(word(request, 2), &effort))
        give_up("no such effort");
    const emmap_error error = emmap_inspect(word(request, 1), effort, &found);
    if (error) {
        say_error(operation, error);
        return true;
    }
    printf("ok");
    say_facts(&found->file);
    for (size_t i = 0; i < found->writers; i++) {
        printf(" writer");
        say_facts(&found->writer[i]);
    }
    emmap_inspection_free(found);
    return true;
}

static bool on_bytes(const request *request, const char *operation, emmap_file *file)
{
    static const char *const whences[] = {"bof", "cur", "eof", NULL};
    static const char *const advices[] = {"normal",    "sequential", "random", "no_reuse",
                                          "will_need", "dont_need",  NULL};
    chunks chunks = {0};
    const emmap_sink sink = {.allocate = chunk, .context = &chunks};
    uint64_t result = 0;
    if (strcmp(operation, "pread") == 0 || strcmp(operation, "read") == 0) {
        const bool at = operation[0] == 'p';
        const emmap_error error = at ? emmap_pread(file, number(request, 2), number(request, 3), &sink)
                                     : emmap_read(file, number(request, 2), &sink);
        if (error)
            say_error(operation, error);
        else if (chunks.count == 0)
            printf("ok -");
        else
            say_chunks(&chunks);
        chunks_free(&chunks);
    } else if (strcmp(operation, "pwrite") == 0) {
        const struct iovec vector = bytes(request, 3);
        say_nothing(operation, emmap_pwrite(file, number(request, 2), &vector, 1));
    } else if (strcmp(operation, "write") == 0) {
        const struct iovec vector = bytes(request, 2);
        say_nothing(operation, emmap_write(file, &vector, 1));
    } else if (strcmp(operation, "position") == 0) {
        const emmap_error error =
            emmap_position(file, operand(request, 2), (emmap_whence)choice(request, 3, whences), &result);
        say_number(operation, error, (long long)result);
    } else if (strcmp(operation, "resize") == 0) {
        const emmap_error error = emmap_resize(file, number(request, 2), &result);
        say_number(operation, error, (long long)result);
    } else if (strcmp(operation, "read_line") == 0) {
        say_taken(operation, file, emmap_read_line);
    } else if (strcmp(operation, "truncate") == 0) {
        say_nothing(operation, emmap_truncate(file));
    } else if (strcmp(operation, "close") == 0) {
        say_nothing(operation, emmap_close(file));
    } else if (strcmp(operation, "allocate") == 0) {
        say_nothing(operation, emmap_allocate(file, number(request, 2), number(request, 3)));
    } else if (strcmp(operation, "advise") == 0) {
        say_nothing(operation, emmap_advise(file, number(request, 2), number(request, 3),
                                            (emmap_advice)choice(request, 4, advices)));
    } else {
        return false;
    }
    return true;
}

static void receive(const char *operation, emmap_file *file, uint64_t timeout)
{
    chunks chunks = {0};
    const emmap_sink sink = {.allocate = chunk, .context = &chunks};
    emmap_error error;
    while ((error = emmap_queue_pop(file, &sink)) == EMMAP_EOF || error == EBUSY) {
        emmap_wait *wait = NULL;
        has_ended = false;
        error = emmap_queue_wait_begin(file, timeout, &(emmap_waiter){.done = end_wait}, &wait);
        if (!error)
            error = end_of(wait);
        if (error && error != EAGAIN)
            break;
    }
    if (error == ETIMEDOUT)
        printf("ok timeout");
    else if (error)
        say_error(operation, error);
    else
        say_chunks(&chunks);
    chunks_free(&chunks);
}

static void take(const char *operation, opened *opened)
{
    chunks chunks = {0};
    const emmap_sink sink = {.allocate = chunk, .context = &chunks};
    emmap_delivery delivery;
    const emmap_error error = emmap_queue_take(opened->file, 0, &sink, &delivery);
    if (error) {
        say_error(operation, error);
    } else {
        if (opened->takes == TAKEN_MAX)
            give_up("too many messages were taken");
        opened->taken[opened->takes++] = delivery.ticket;
        printf("ok %u", delivery.attempt);
        say_bytes(chunks.all[0]);
    }
    chunks_free(&chunks);
}

static void count_in_hand(const char *operation, emmap_file *file)
{
    emmap_in_hand entries[TAKEN_MAX];
    size_t count, released = 0;
    const emmap_error error = emmap_queue_in_hand(file, entries, TAKEN_MAX, &count);
    if (error) {
        say_error(operation, error);
        return;
    }
    for (size_t i = 0; i < count; i++)
        released += entries[i].released;
    printf("ok %zu %zu", count - released, released);
}

static bool on_queue(const request *request, const char *operation, opened *opened)
{
    static const char *const directions[] = {"forward", "backward", NULL};
    static struct iovec vectors[WORDS_MAX];
    emmap_file *const file = opened->file;
    chunks chunks = {0};
    const emmap_sink sink = {.allocate = chunk, .context = &chunks};
    emmap_error error = EMMAP_OK;
    uint64_t count;
    if (strcmp(operation, "queue_push") == 0) {
        vectors[0] = bytes(request, 2);
        say_nothing(operation, emmap_queue_push(file, vectors, 1));
    } else if (strcmp(operation, "queue_push_many") == 0) {
        const size_t messages = bytes_from(request, 2, vectors);
        say_nothing(operation, emmap_queue_push_many(file, vectors, messages));
    } else if (strcmp(operation, "queue_push_once") == 0) {
        const size_t messages = bytes_from(request, 4, vectors);
        const struct iovec origin = bytes(request, 2);
        uint64_t last;
        error = emmap_queue_push_once(file, origin.iov_base, number(request, 3), vectors, messages, &last);
        say_number(operation, error, (long long)last);
    } else if (strcmp(operation, "queue_receive") == 0) {
        receive(operation, file, number(request, 2));
    } else if (strcmp(operation, "queue_pop_many") == 0) {
        error = emmap_queue_pop_many(file, number(request, 2), &sink, &count);
        if (error)
            say_error(operation, error);
        else
            say_chunks(&chunks);
    } else if (strcmp(operation, "queue_pop_begin") == 0) {
        error = emmap_queue_pop_begin(file, &sink, &opened->ticket);
        if (error)
            say_error(operation, error);
        else
            say_chunks(&chunks);
    } else if (strcmp(operation, "queue_take") == 0) {
        take(operation, opened);
    } else if (strcmp(operation, "queue_release") == 0) {
        say_nothing(operation, emmap_queue_release(file, ticket(request, opened), number(request, 3)));
    } else if (strcmp(operation, "queue_in_hand") == 0) {
        count_in_hand(operation, file);
    } else if (strcmp(operation, "queue_walk") == 0) {
        const emmap_queue_direction direction = (emmap_queue_direction)choice(request, 2, directions);
        uint64_t place = 0;
        while (!error)
            error = emmap_queue_walk(file, direction, STEP, &place, &sink, &count);
        if (error == EMMAP_EOF)
            say_chunks(&chunks);
        else
            say_error(operation, error);
    } else if (strcmp(operation, "queue_info") == 0) {
        emmap_queue_metadata info;
        error = emmap_queue_info(file, &info);
        if (error)
            say_error(operation, error);
        else
            printf("ok %llu %llu %llu %llu", (unsigned long long)info.size, (unsigned long long)info.head,
                   (unsigned long long)info.tail, (unsigned long long)info.next_tail);
    } else {
        return false;
    }
    chunks_free(&chunks);
    return true;
}

static void walk_blocks(const char *operation, emmap_file *file)
{
    chunks chunks = {0};
    const emmap_sink sink = {.allocate = chunk, .context = &chunks};
    static uint64_t addresses[WORDS_MAX];
    uint64_t place = 0;
    size_t count, total = 0;
    emmap_error error = EMMAP_OK;
    while (!error && total + STEP <= WORDS_MAX)
        if (!(error = emmap_blocks_walk(file, STEP, &place, addresses + total, &sink, &count)))
            total += count;
    if (error == EMMAP_EOF) {
        printf("ok");
        for (size_t i = 0; i < total; i++) {
            printf(" %llu", (unsigned long long)addresses[i]);
            say_bytes(chunks.all[i]);
        }
    } else {
        say_error(operation, error);
    }
    chunks_free(&chunks);
}

static bool on_blocks(const request *request, const char *operation, emmap_file *file)
{
    static struct iovec vectors[WORDS_MAX];
    static uint64_t addresses[WORDS_MAX];
    emmap_error error = EMMAP_OK;
    if (strcmp(operation, "block_store") == 0 || strcmp(operation, "block_store_many") == 0) {
        const bool many = strcmp(operation, "block_store_many") == 0;
        const size_t count = bytes_from(request, 2, vectors);
        error = many ? emmap_block_store_many(file, vectors, count, addresses)
                     : emmap_block_store(file, vectors, addresses);
        say_nothing(operation, error);
        for (size_t i = 0; !error && i < count; i++)
            printf(" %llu", (unsigned long long)addresses[i]);
    } else if (strcmp(operation, "block_read") == 0) {
        chunks chunks = {0};
        error =
            emmap_block_read(file, number(request, 2), &(emmap_sink){.allocate = chunk, .context = &chunks});
        if (error)
            say_error(operation, error);
        else
            say_chunks(&chunks);
        chunks_free(&chunks);
    } else if (strcmp(operation, "block_free_many") == 0) {
        for (size_t i = 2; i < request->count; i++)
            addresses[i - 2] = number(request, i);
        say_nothing(operation, emmap_block_free_many(file, addresses, request->count - 2));
    } else if (strcmp(operation, "blocks_walk") == 0) {
        walk_blocks(operation, file);
    } else if (strcmp(operation, "blocks_info") == 0) {
        emmap_blocks_metadata info;
        error = emmap_blocks_info(file, &info);
        if (error)
            say_error(operation, error);
        else
            printf("ok %u %u %llu", info.block_size, info.levels, (unsigned long long)info.capacity);
    } else if (strcmp(operation, "blocks_repair") == 0) {
        uint64_t place = 0;
        do {
            error = emmap_blocks_repair(file, number(request, 2), &place);
        } while (!error && place);
        say_nothing(operation, error);
    } else {
        return false;
    }
    return true;
}

static bool on_cell(const request *request, const char *operation, emmap_file *file)
{
    if (strcmp(operation, "cell_publish") == 0) {
        const struct iovec vector = bytes(request, 2);
        say_nothing(operation, emmap_cell_publish(file, &vector, 1));
    } else if (strcmp(operation, "cell_get") == 0) {
        chunks chunks = {0};
        uint64_t version;
        const emmap_error error =
            emmap_cell_get(file, &(emmap_sink){.allocate = chunk, .context = &chunks}, &version);
        if (error)
            say_error(operation, error);
        else {
            say_chunks(&chunks);
            printf(" %llu", (unsigned long long)version);
        }
        chunks_free(&chunks);
    } else {
        return false;
    }
    return true;
}

static void walk_table(const char *operation, emmap_file *file)
{
    chunks chunks = {0};
    uint64_t place = 0, count;
    emmap_error error = EMMAP_OK;
    while (!error)
        error = emmap_table_walk(file, STEP, &place, &(emmap_sink){.allocate = chunk, .context = &chunks},
                                 &count);
    if (error == EMMAP_EOF) {
        printf("ok");
        for (size_t i = 0; i < chunks.count; i++)
            say_bytes(chunks.all[i]);
    } else {
        say_error(operation, error);
    }
    chunks_free(&chunks);
}

static bool on_table(const request *request, const char *operation, emmap_file *file)
{
    if (strncmp(operation, "table_", 6) != 0)
        return false;
    const char *const name = operation + 6;
    const struct iovec key = request->count > 2 ? bytes(request, 2) : (struct iovec){0};
    int64_t word = 0;
    if (strcmp(name, "add") == 0 || strcmp(name, "set") == 0) {
        const emmap_error error = (name[0] == 'a' ? emmap_table_add : emmap_table_set)(
            file, key.iov_base, key.iov_len, number(request, 3), operand(request, 4), &word);
        say_number(operation, error, word);
    } else if (strcmp(name, "get") == 0) {
        const emmap_error error = emmap_table_get(file, key.iov_base, key.iov_len, number(request, 3), &word);
        say_number(operation, error, word);
    } else if (strcmp(name, "compare_exchange") == 0) {
        const emmap_error error =
            emmap_table_compare_exchange(file, key.iov_base, key.iov_len, number(request, 3),
                                         operand(request, 4), operand(request, 5), &word);
        say_number(operation, error, word);
    } else if (strcmp(name, "delete") == 0) {
        say_nothing(operation, emmap_table_delete(file, key.iov_base, key.iov_len));
    } else if (strcmp(name, "hit") == 0) {
        emmap_table_hit_result result;
        const emmap_table_limit limit = {number(request, 3), number(request, 4), operand(request, 5), 0};
        const emmap_error error = emmap_table_hit(file, key.iov_base, key.iov_len, &limit, &result);
        if (error)
            say_error(operation, error);
        else
            printf("ok %s %llu %llu", result.allowed ? "true" : "false", (unsigned long long)result.used,
                   (unsigned long long)result.remaining);
    } else if (strcmp(name, "info") == 0) {
        emmap_table_metadata info;
        const emmap_error error = emmap_table_info(file, &info);
        if (error)
            say_error(operation, error);
        else
            printf("ok %llu %llu %llu", (unsigned long long)info.capacity, (unsigned long long)info.key_bytes,
                   (unsigned long long)info.words);
    } else if (strcmp(name, "walk") == 0) {
        walk_table(operation, file);
    } else {
        return false;
    }
    return true;
}

static void answer(const request *request)
{
    const char *const operation = word(request, 0);
    if (!open_something(request, operation) && !inspect(request, operation)) {
        opened *const opened = file_named(word(request, 1));
        if (!compact(operation, opened->file) && !by_shape(request, operation, opened) &&
            !on_wait(request, operation, opened->file) && !on_bytes(request, operation, opened->file) &&
            !on_queue(request, operation, opened) && !on_blocks(request, operation, opened->file) &&
            !on_cell(request, operation, opened->file) && !on_table(request, operation, opened->file))
            give_up("no such operation");
    }
    printf("\n");
    fflush(stdout);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        static request request;
        request.count = 0;
        for (char *each = strtok(line, " \n"); each && request.count < WORDS_MAX; each = strtok(NULL, " \n"))
            request.words[request.count++] = each;
        answer(&request);
    }
    free(line);
    for (opened *each = files; each < files + FILES_MAX; each++)
        emmap_free(each->file);
    return 0;
}
