#include "table.h"

#include "blocks.h"
#include "cell.h"
#include "emmap_operations.h"
#include "files.h"
#include "inspect.h"
#include "keys.h"
#include "queue.h"
#include "waits.h"

#include <string.h>

/* What has a function of its own; and what shares one with others, and says what that calls by a member of core_function. */
#define OF_ITS_OWN(name_) .perform = perform_##name_
#define SHAPED(name_, member) .perform = perform_##member, .core.member = emmap_##name_, .on_file = true

#define SHAPE_APART(name) OF_ITS_OWN(name)
#define SHAPE_OWN(name) OF_ITS_OWN(name), .on_file = true
#define SHAPE_READ(name) OF_ITS_OWN(name), .on_file = true, .lends = true
#define SHAPE_ACT(name) SHAPED(name, act)
#define SHAPE_ACT_ON(name) SHAPED(name, act_on)
#define SHAPE_TICKET(name) SHAPED(name, act_on)
#define SHAPE_MEASURE(name) SHAPED(name, measure)
#define SHAPE_ASK(name) SHAPED(name, ask)
#define SHAPE_TAKE(name) SHAPED(name, take)
#define SHAPE_LOAD(name) SHAPED(name, load)
#define SHAPE_STORE(name) SHAPED(name, store)
#define SHAPE_UPDATE(name) SHAPED(name, update)
#define SHAPE_COMPARE_EXCHANGE(name) SHAPED(name, compare_exchange)

#define OPERATION(name_, arity_, shape, cost)                                                                \
    {.name = #name_, .length = sizeof #name_ - 1, .arity = (arity_), SHAPE_##shape(name_)},

/* Those that only this door has. */
#define OF_PORT(name_, arity_, ...)                                                                          \
    {                                                                                                        \
        .name = #name_, .length = sizeof #name_ - 1, .arity = (arity_), OF_ITS_OWN(name_), __VA_ARGS__       \
    }

static const operation_t operations[] = {EMMAP_OPERATIONS(OPERATION) OF_PORT(wait, 4, .on_file = true),
                                         OF_PORT(counter_wait, 4, .on_file = true),
                                         OF_PORT(queue_wait, 2, .on_file = true),
                                         OF_PORT(queue_wait_front, 2, .on_file = true),
                                         OF_PORT(queue_receive, 2, .on_file = true),
                                         OF_PORT(cell_wait, 3, .on_file = true),
                                         OF_PORT(cancel, 1, .on_file = false)};

const size_t table_length = sizeof operations / sizeof *operations;

const char *table_name(size_t index)
{
    return operations[index].name;
}

/* Where operations are found by name: open addressing, from the place that the name says on. */
enum { PLACE_BITS = 8, PLACES = 1 << PLACE_BITS, SHORTEST_NAME = 4 };
static uint8_t places[PLACES]; /* index + 1; 0: none */

/* By the name's ends, which tell most operations apart. */
static size_t place_of(const uint8_t *name, size_t length)
{
    uint32_t ends[2];
    memcpy(&ends[0], name, sizeof ends[0]);
    memcpy(&ends[1], name + length - sizeof ends[1], sizeof ends[1]);
    const uint64_t both = (uint64_t)ends[0] << 32 | ends[1];
    return (both + length) * UINT64_C(0x9e3779b97f4a7c15) >> (64 - PLACE_BITS);
}

static void find_places(void)
{
    for (size_t i = 0; i < table_length; i++) {
        size_t place = place_of((const uint8_t *)operations[i].name, strlen(operations[i].name));
        while (places[place] != 0)
            place = (place + 1) % PLACES;
        places[place] = (uint8_t)(i + 1);
    }
}

const operation_t *table_find(const uint8_t *name, size_t length, uint64_t arity)
{
    static bool found;
    if (!found) {
        find_places();
        found = true;
    }
    if (length < SHORTEST_NAME)
        return NULL;
    for (size_t place = place_of(name, length); places[place] != 0; place = (place + 1) % PLACES) {
        const operation_t *const op = &operations[places[place] - 1];
        if (op->arity == arity && op->length == length && memcmp(op->name, name, length) == 0)
            return op;
    }
    return NULL;
}
