/*
 * The bytes of a queue. It begins with four unsigned 32-bit big-endian words
 *
 *   offset 0    size       how much of the file the queue may use
 *   offset 4    head       where the first message begins
 *   offset 8    tail       where the last message ends
 *   offset 12   next tail  emmap reserves room here before it writes a message; between operations it equals tail
 *
 * with 16 <= head <= tail <= next tail <= size. Messages follow one another from head to tail:
 *
 *   total, big-endian   the payload and zeros, total - 8 bytes together   total again
 *
 * A payload of B bytes has total = B + 8 + (B + 8) mod 8, as in emmap. (That aligns nothing.)
 *
 * After emmap_sync the header marks the queue as synced. Then every operation that overwrites popped or moved
 * messages keeps the others through a power cut (queue_move.c). The mark: next tail is tail + 1, or tail + 3
 * if the disk may still have the messages elsewhere ("unsettled"); tail - 1 or tail - 3 if the size leaves no
 * room. No length of a message is odd or below 10, so these values mean nothing else. emmap sets next tail
 * back to tail.
 *
 * While a numbered push is under way (relayed.h), next tail is tail + 5, or tail + 7 in a synced queue.
 *
 * The header changes by ONE store of 16 bytes, and before it a change never touches the bytes between head
 * and tail. So a process that is killed leaves the queue as before the operation or as after it, and a reader
 * without the lock sees one of the two. The exception is a slide (queue_move.c). The header then tells how
 * far it has come: next tail is below tail.
 */
#ifndef EMMAP_CORE_QUEUE_LAYOUT_H
#define EMMAP_CORE_QUEUE_LAYOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Whether queue_load128 always reads one header, and never a mix of two. */
#if defined(__SSE2__)
#include <emmintrin.h>
#define QUEUE_LOADS_WHOLE 1
#else
#define QUEUE_LOADS_WHOLE 0
#endif

#define QUEUE_HEADER 16u
#define QUEUE_LIMIT UINT32_MAX /* the largest offset */
#define QUEUE_FRAME 8u         /* the two lengths around a payload */
#define QUEUE_TOTAL_MIN 9u     /* a payload has at least one byte */

typedef struct queue_header {
    uint32_t size;
    uint32_t head;
    uint32_t tail;
    uint32_t next_tail;
    bool synced;    /* the messages must survive a power cut; next_tail is tail */
    bool unsettled; /* and the disk may have the header from before they were moved or erased */
    bool numbered;  /* the last push has a number, which is still to be noted; next_tail is tail */
} queue_header_t;

static inline uint32_t queue_load32(const uint8_t *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    /* Others may write these bytes. The value that was read is checked and used; it is never read again. */
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

/* An aligned load of 16 bytes is atomic on every x86-64 with AVX (Intel SDM 3A, 9.1.1; AMD says the same). On
 * other machines an unlocked read may mix two headers. It notices that by checking them, and reads again. The
 * thread sanitizer does not know that. */
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

/* One store. No signal can divide it: an instruction has happened or not. */
static inline void queue_store128(uint8_t *place, const uint8_t bytes[16])
{
    /* The bytes described by the header come before it. Pairs with queue_load128. */
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
    /* The compiler must not move later stores before this one: the process may be killed in between. */
    atomic_signal_fence(memory_order_seq_cst);
}

/* How far behind the tail the marks of a numbered push reach: the queue's size leaves room for them. */
#define QUEUE_NUMBERED_ROOM 8u

/* The value of next tail in the file while a numbered push is under way. */
static inline uint32_t queue_numbered_tail(queue_header_t header, bool synced)
{
    return header.tail + (synced ? 7 : 5);
}

/* The value of next tail in the file of a synced queue. */
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
    /* Always even, except in synced queues and in files of other writers. */
    if (__builtin_expect(header.next_tail & 1, 0)) {
        header.unsettled = header.next_tail == queue_synced_tail(header, true);
        header.synced = header.unsettled || header.next_tail == queue_synced_tail(header, false);
        const bool both = header.next_tail == queue_numbered_tail(header, true);
        header.numbered = both || header.next_tail == queue_numbered_tail(header, false);
        header.synced |= both;
    }
    if (header.synced || header.numbered)
        header.next_tail = header.tail;
    return header;
}

static inline void queue_header_store(uint8_t *data, queue_header_t header)
{
    uint8_t bytes[QUEUE_HEADER];
    queue_store32(bytes, header.size);
    queue_store32(bytes + 4, header.head);
    queue_store32(bytes + 8, header.tail);
    uint32_t next_tail = header.next_tail;
    if (header.numbered)
        next_tail = queue_numbered_tail(header, header.synced);
    else if (header.synced)
        next_tail = queue_synced_tail(header, header.unsettled);
    queue_store32(bytes + 12, next_tail);
    queue_store128(data, bytes);
}

/* The total of a message with a payload of `length` bytes, which is below 2^63. */
static inline uint64_t queue_total(uint64_t length)
{
    return length + QUEUE_FRAME + (length + QUEUE_FRAME) % 8;
}

/* Finds the message that begins at `at` and ends at or before `end`. Returns NULL and its total, or what is
 * wrong with it. */
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

/* The same for the message that ends at `end` and begins at or after `at`. */
const char *emi_queue_message_before(const uint8_t *data, uint32_t at, uint32_t end, uint32_t *total);

#endif
