#define _GNU_SOURCE
#include "queue_era.h"

#include <time.h>

#define WORD 8u
#define WITHIN 4096u
#define SMALLEST 128u
#define TAG ((uint64_t)0xe7a5 << 48)
#define TAG_MASK ((uint64_t)0xffff << 48)

/* A place: the offset in the low 32 bits, 30 bits of proof, and a bit for the kind of proof. */
#define PROOF_BITS 30
#define PROOF_MASK (((uint64_t)1 << PROOF_BITS) - 1)
#define BY_NUMBER ((uint64_t)1 << 62)
#define NO_PLACE ((uint64_t)1 << 63)

/* The hash of a long message covers this much of each end. */
#define DIGEST_END 32768u

/* Where the number is. 0: a message is in the way, or the queue is too small. */
static uint32_t word_at(queue_header_t header)
{
    const uint32_t end = (header.size < WITHIN ? header.size : WITHIN) & ~(WORD - 1);
    if (end < SMALLEST)
        return 0;
    const bool free = header.tail <= end - WORD || header.head >= end || header.head == header.tail;
    return free ? end - WORD : 0;
}

/* The era's number; 0: none. */
static uint64_t load(const uint8_t *data, queue_header_t header)
{
    const uint32_t at = word_at(header);
    if (!at)
        return 0;
    const uint64_t word = __atomic_load_n((const uint64_t *)(const void *)(data + at), __ATOMIC_RELAXED);
    return (word & TAG_MASK) == TAG ? word : 0;
}

/* A number that was not used before, if the last one is not known. */
static uint64_t first_number(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000) & ~TAG_MASK;
}

static void renew(uint8_t *data, queue_header_t header)
{
    const uint64_t old = load(data, header);
    const uint64_t number = old ? (old + 1) & ~TAG_MASK : first_number();
    __atomic_store_n((uint64_t *)(void *)(data + word_at(header)), TAG | number, __ATOMIC_RELAXED);
}

void emi_queue_era_begin(uint8_t *data, queue_header_t header)
{
    if (word_at(header))
        renew(data, header);
}

void emi_queue_era_before(uint8_t *data, queue_header_t before, queue_header_t after)
{
    if (word_at(before) && word_at(after))
        renew(data, before);
}

void emi_queue_era_after(uint8_t *data, queue_header_t before, queue_header_t after)
{
    if (!word_at(before) && word_at(after))
        renew(data, after);
}

static uint64_t mix(uint64_t hash, const uint8_t *bytes, uint32_t length)
{
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes, length);
    hash = (hash ^ rest) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* Others may write there. An unlocked reader checks afterwards that its result counts. */
__attribute__((no_sanitize("thread"))) uint64_t emi_queue_era_digest(const uint8_t *message, uint32_t total)
{
    if (total <= 2 * DIGEST_END)
        return mix(total, message, total);
    return mix(mix(total, message, DIGEST_END), message + total - DIGEST_END, DIGEST_END);
}

uint64_t emi_queue_era_place(const uint8_t *data, queue_header_t header, uint32_t at, uint32_t beside,
                             uint32_t total)
{
    const uint64_t number = load(data, header);
    if (number)
        return BY_NUMBER | (number & PROOF_MASK) << 32 | at;
    return (emi_queue_era_digest(data + beside, total) & PROOF_MASK) << 32 | at;
}

bool emi_queue_era_is_place(uint64_t place, bool forward)
{
    const uint32_t first = QUEUE_HEADER + (forward ? QUEUE_FRAME : 0);
    return !(place & NO_PLACE) && emi_queue_era_offset(place) >= first;
}

uint32_t emi_queue_era_offset(uint64_t place)
{
    return (uint32_t)place;
}

bool emi_queue_era_is_same(const uint8_t *data, queue_header_t header, uint64_t place, uint32_t beside,
                           uint32_t total)
{
    const uint64_t number = load(data, header), proof = place >> 32 & PROOF_MASK;
    if (place & BY_NUMBER)
        return number && (number & PROOF_MASK) == proof;
    /* There is a number now and was none before: a new era has begun. */
    return !number && (emi_queue_era_digest(data + beside, total) & PROOF_MASK) == proof;
}
