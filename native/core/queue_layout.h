/*
 * A queue's bytes. Four unsigned 32-bit big-endian words
 *
 *   offset 0    size       how much of the file the queue may use
 *   offset 4    head       where the first message begins
 *   offset 8    tail       where the last message ends
 *   offset 12   next tail  emmap reserves room here before it writes a message; between operations it is tail
 *
 * with 16 <= head <= tail <= next tail <= size, and messages one behind the other from head to tail:
 *
 *   total, big-endian   the payload and zeros, total - 8 bytes in all   total again
 *
 * for a payload of B bytes, total = B + 8 + (B + 8) mod 8, as emmap has it. (That aligns nothing.)
 *
 * A queue that emmap_sync was called on says so, since whoever overwrites what was popped or moved has to see to it
 * that the messages survive a power cut (queue_move.c): next tail is then tail + 1, or tail + 3 where the disk may
 * still have the messages elsewhere. (Minus, where the size leaves no room.) That can be nothing else: every length
 * of a message is even and 10 at the least. emmap puts next tail back to tail.
 *
 * The header changes by ONE store of 16 bytes, and a change never touches bytes between head and tail before
 * that. So whoever is killed leaves the queue as it was before the operation or as it is after it, and whoever
 * looks without a lock sees one or the other. The exception is a slide (queue_move.c), which says in the header
 * how far it has come: next tail below tail.
 */
#ifndef EMMAP_CORE_QUEUE_LAYOUT_H
#define EMMAP_CORE_QUEUE_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Whether queue_load128 sees no two headers mixed. */
#if defined(__SSE2__)
#include <emmintrin.h>
#define QUEUE_LOADS_WHOLE 1
#else
#define QUEUE_LOADS_WHOLE 0
#endif

#define QUEUE_HEADER 16u
#define QUEUE_LIMIT UINT32_MAX /* the largest offset */
#define QUEUE_FRAME 8u         /* what a message has besides its payload */
#define QUEUE_TOTAL_MIN 9u     /* a payload has a byte at least */

typedef struct queue_header {
    uint32_t size;
    uint32_t head;
    uint32_t tail;
    uint32_t next_tail;
    bool synced;    /* a power cut must not lose the messages; next_tail is tail */
    bool unsettled; /* and the header on disk may be from before they were moved or erased */
} queue_header_t;

static inline uint32_t queue_load32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    /* Others may write these bytes: what was read is what gets checked and used, never read again. */
    atomic_signal_fence(memory_order_acq_rel);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

static inline void queue_store32(uint8_t *bytes, uint32_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    memcpy(bytes, &value, sizeof value);
}

/* One load of 16 aligned bytes is atomic on every x86-64 with AVX (Intel SDM 3A, 9.1.1; AMD says the same);
 * elsewhere a look without a lock may see two headers mixed, which it finds out as it checks them and looks
 * again. The thread sanitizer has no word for it. */
__attribute__((no_sanitize("thread"))) static inline void queue_load128(const uint8_t *place,
                                                                        uint8_t bytes[16])
{
#if QUEUE_LOADS_WHOLE
    const __m128i value = *(const volatile __m128i *)(const void *)place;
    memcpy(bytes, &value, sizeof value);
#else
    const volatile uint64_t *const from = (const volatile uint64_t *)(const void *)place;
    const uint64_t value[2] = {from[0], from[1]};
    memcpy(bytes, value, sizeof value);
#endif
    atomic_thread_fence(memory_order_acquire);
}

/* One store, which no signal can divide: an instruction has happened or has not. */
static inline void queue_store128(uint8_t *place, const uint8_t bytes[16])
{
    /* The bytes that the header speaks of come before it. Pairs with queue_load128. */
    atomic_thread_fence(memory_order_release);
#if defined(__SSE2__)
    __m128i value;
    memcpy(&value, bytes, sizeof value);
    *(volatile __m128i *)(void *)place = value;
#elif defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 word128;
    word128 value, before;
    memcpy(&value, bytes, sizeof value);
    memcpy(&before, place, sizeof before);
    while (!__sync_bool_compare_and_swap((word128 *)(void *)place, before, value))
        memcpy(&before, place, sizeof before);
#else
#error "a queue's header has to be written by one store of 16 bytes"
#endif
    /* Nor does the compiler move what comes after it before it: a process may be killed in between. */
    atomic_signal_fence(memory_order_seq_cst);
}

/* What next tail is in the file where the queue is synced. */
static inline uint32_t queue_synced_tail(queue_header_t header, bool unsettled)
{
    const uint32_t note = unsettled ? 3 : 1;
    return header.size - header.tail < 3 ? header.tail - note : header.tail + note;
}

static inline queue_header_t queue_header_load(const uint8_t *data)
{
    uint8_t bytes[QUEUE_HEADER];
    queue_load128(data, bytes);
    queue_header_t header = {.size = queue_load32(bytes),
                             .head = queue_load32(bytes + 4),
                             .tail = queue_load32(bytes + 8),
                             .next_tail = queue_load32(bytes + 12)};
    /* Even, but for files that others have written. */
    if (__builtin_expect(header.next_tail & 1, 0)) {
        header.unsettled = header.next_tail == queue_synced_tail(header, true);
        header.synced = header.unsettled || header.next_tail == queue_synced_tail(header, false);
    }
    if (header.synced)
        header.next_tail = header.tail;
    return header;
}

static inline void queue_header_store(uint8_t *data, queue_header_t header)
{
    uint8_t bytes[QUEUE_HEADER];
    queue_store32(bytes, header.size);
    queue_store32(bytes + 4, header.head);
    queue_store32(bytes + 8, header.tail);
    queue_store32(bytes + 12, header.synced ? queue_synced_tail(header, header.unsettled) : header.next_tail);
    queue_store128(data, bytes);
}

/* What a message with a payload of `length` bytes, of which there are fewer than 2^63, takes. */
static inline uint64_t queue_total(uint64_t length)
{
    return length + QUEUE_FRAME + (length + QUEUE_FRAME) % 8;
}

/*
 * The length, frame included, of the message that begins at `at` and ends at `end` or before; or of the one that
 * ends at `end` and begins at `at` or behind. NULL and the length, or what is wrong with it.
 */
static inline const char *queue_message_at(const uint8_t *data, uint32_t at, uint32_t end, uint32_t *total)
{
    if (end - at < QUEUE_TOTAL_MIN)
        return "what is left before the tail is smaller than a message can be";
    *total = queue_load32(data + at);
    if (*total < QUEUE_TOTAL_MIN)
        return "a message's length is smaller than a message can be";
    if (*total > end - at)
        return "a message's length passes the tail";
    if (queue_load32(data + at + *total - 4) != *total)
        return "a message's two lengths differ";
    return NULL;
}

const char *emi_queue_message_before(const uint8_t *data, uint32_t at, uint32_t end, uint32_t *total);

#endif
