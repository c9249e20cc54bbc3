#include "nif_holders.h"

#include <pthread.h>

#include "nif_later.h"

enum { BUCKETS = 64 };

struct holder {
    struct holder *next;
    ErlNifPid process;
    uint64_t number;
};

/* A hash table. Its lock is held for some instructions. */
struct nif_holders {
    pthread_mutex_t lock;
    struct holder *bucket[BUCKETS];
};

static struct nif_holders *holders_of(struct nif_file *file)
{
    struct nif_holders *there = atomic_load_explicit(&file->holders, memory_order_acquire);
    if (there)
        return there;
    struct nif_holders *const made = enif_alloc(sizeof *made);
    *made = (struct nif_holders){.lock = PTHREAD_MUTEX_INITIALIZER};
    if (atomic_compare_exchange_strong(&file->holders, &there, made))
        return made;
    enif_free(made);
    return there;
}

static struct holder **bucket_of(ErlNifEnv *env, struct nif_holders *self, const ErlNifPid *process)
{
    return &self->bucket[enif_hash(ERL_NIF_INTERNAL_HASH, enif_make_pid(env, process), 0) % BUCKETS];
}

/* False: the process has died. */
static bool add(ErlNifEnv *env, struct nif_file *file, struct holder **bucket, const ErlNifPid *process,
                uint64_t number)
{
    for (const struct holder *each = *bucket; each; each = each->next)
        if (each->number == number && enif_compare_pids(&each->process, process) == 0)
            return true;
    if (enif_monitor_process(env, file, process, NULL) != 0)
        return false;
    struct holder *const added = enif_alloc(sizeof *added);
    *added = (struct holder){.next = *bucket, .process = *process, .number = number};
    *bucket = added;
    return true;
}

void nif_hold(ErlNifEnv *env, struct nif_file *file, uint64_t holder)
{
    struct nif_holders *const self = holders_of(file);
    ErlNifPid process;
    enif_self(env, &process);
    struct holder **const bucket = bucket_of(env, self, &process);
    pthread_mutex_lock(&self->lock);
    const bool lives = add(env, file, bucket, &process, holder);
    pthread_mutex_unlock(&self->lock);
    if (!lives)
        nif_later(file, file->core->queue_release_held, holder);
}

/* Cuts a holder of this process off. NULL: there is none. */
static struct holder *take_out(struct nif_holders *self, struct holder **place, const ErlNifPid *process)
{
    pthread_mutex_lock(&self->lock);
    while (*place && enif_compare_pids(&(*place)->process, process) != 0)
        place = &(*place)->next;
    struct holder *const found = *place;
    if (found)
        *place = found->next;
    pthread_mutex_unlock(&self->lock);
    return found;
}

void nif_holder_down(ErlNifEnv *env, void *object, ErlNifPid *process, ErlNifMonitor *monitor)
{
    (void)monitor;
    struct nif_file *const file = object;
    struct nif_holders *const self = holders_of(file);
    struct holder **const bucket = bucket_of(env, self, process);
    for (struct holder *each; (each = take_out(self, bucket, process));) {
        nif_later(file, file->core->queue_release_held, each->number);
        enif_free(each);
    }
}

void nif_holders_free(struct nif_file *file)
{
    struct nif_holders *const self = atomic_load(&file->holders);
    if (!self)
        return;
    for (int i = 0; i < BUCKETS; i++)
        for (struct holder *each = self->bucket[i], *next; each; each = next) {
            next = each->next;
            enif_free(each);
        }
    pthread_mutex_destroy(&self->lock);
    enif_free(self);
}
