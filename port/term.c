#include "term.h"

#include <ei.h>
#include <stdlib.h>
#include <string.h>

/* Of 1, 2 or 4 bytes. */
static inline uint32_t big_endian(const uint8_t *bytes, size_t count)
{
    if (count == 1)
        return bytes[0];
    if (count == 2)
        return (uint32_t)bytes[0] << 8 | bytes[1];
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

typedef struct scan {
    const uint8_t *at;
    size_t left;
    uint64_t pending; /* terms that must follow; each takes a byte at least, so never more than `left` */
} scan_t;

static inline bool take(scan_t *s, uint64_t count)
{
    if (count > s->left)
        return false;
    s->at += count;
    s->left -= count;
    return true;
}

/* Reads an unsigned number of 1, 2 or 4 bytes. */
static inline bool take_number(scan_t *s, size_t width, uint32_t *value)
{
    const uint8_t *at = s->at;
    if (!take(s, width))
        return false;
    *value = big_endian(at, width);
    return true;
}

static inline bool expect(scan_t *s, uint64_t terms)
{
    s->pending += terms;
    return s->pending <= s->left;
}

static bool take_atom(scan_t *s)
{
    uint32_t tag, length;
    if (!take_number(s, 1, &tag))
        return false;
    switch (tag) {
    case ERL_ATOM_EXT:
        return take_number(s, 2, &length) && length <= 255 && take(s, length);
    case ERL_SMALL_ATOM_EXT:
    case ERL_SMALL_ATOM_UTF8_EXT:
        return take_number(s, 1, &length) && take(s, length);
    case ERL_ATOM_UTF8_EXT:
        return take_number(s, 2, &length) && length < TERM_ATOM_SIZE && take(s, length);
    default:
        return false;
    }
}

/* Pids, ports and references: a node's name and numbers. */
static bool take_identifier(scan_t *s, size_t numbers)
{
    return take_atom(s) && take(s, numbers);
}

static bool take_reference(scan_t *s, size_t creation)
{
    uint32_t words;
    return take_number(s, 2, &words) && take_atom(s) && take(s, creation + 4 * (uint64_t)words);
}

/* Takes the tag of a term of no fixed length and what is in it but for the terms, which it adds to those that must follow. */
static bool take_one(scan_t *s)
{
    uint32_t tag, count;
    if (!take_number(s, 1, &tag))
        return false;
    switch (tag) {
    case ERL_FLOAT_EXT:
        return take(s, 31);
    case ERL_SMALL_BIG_EXT:
        return take_number(s, 1, &count) && take(s, 1 + (uint64_t)count);
    case ERL_LARGE_BIG_EXT:
        return take_number(s, 4, &count) && take(s, 1 + (uint64_t)count);
    case ERL_ATOM_EXT:
    case ERL_SMALL_ATOM_EXT:
    case ERL_ATOM_UTF8_EXT:
    case ERL_SMALL_ATOM_UTF8_EXT:
        s->at--;
        s->left++;
        return take_atom(s);
    case ERL_BINARY_EXT:
        return take_number(s, 4, &count) && take(s, count);
    case ERL_BIT_BINARY_EXT: {
        uint32_t bits;
        return take_number(s, 4, &count) && take_number(s, 1, &bits) && bits >= 1 && bits <= 8 &&
               count >= 1 && take(s, count);
    }
    case ERL_STRING_EXT:
        return take_number(s, 2, &count) && take(s, count);
    case ERL_LIST_EXT:
        return take_number(s, 4, &count) && expect(s, (uint64_t)count + 1);
    case ERL_SMALL_TUPLE_EXT:
        return take_number(s, 1, &count) && expect(s, count);
    case ERL_LARGE_TUPLE_EXT:
        return take_number(s, 4, &count) && expect(s, count);
    case ERL_MAP_EXT:
        return take_number(s, 4, &count) && expect(s, 2 * (uint64_t)count);
    case ERL_PID_EXT:
        return take_identifier(s, 9);
    case ERL_NEW_PID_EXT:
        return take_identifier(s, 12);
    case ERL_PORT_EXT:
    case ERL_REFERENCE_EXT:
        return take_identifier(s, 5);
    case ERL_NEW_PORT_EXT:
        return take_identifier(s, 8);
    case ERL_V4_PORT_EXT:
        return take_identifier(s, 12);
    case ERL_NEW_REFERENCE_EXT:
        return take_reference(s, 1);
    case ERL_NEWER_REFERENCE_EXT:
        return take_reference(s, 4);
    case ERL_EXPORT_EXT: /* module, function, arity */
        return take_atom(s) && take_atom(s) && expect(s, 1);
    case ERL_FUN_EXT: /* free variables; pid, module, index, uniq */
        return take_number(s, 4, &count) && expect(s, 4 + (uint64_t)count);
    case ERL_NEW_FUN_EXT: /* size, arity, uniq, index, free variables; module, index, uniq, pid */
        return take(s, 4 + 1 + 16 + 4) && take_number(s, 4, &count) && expect(s, 4 + (uint64_t)count);
    default:
        return false;
    }
}

/* The whole length of terms that always have the same: most of what a request is made of. */
static const uint8_t fixed_length[UINT8_MAX + 1] = {
    [ERL_SMALL_INTEGER_EXT] = 1 + 1, [ERL_INTEGER_EXT] = 1 + 4, [NEW_FLOAT_EXT] = 1 + 8, [ERL_NIL_EXT] = 1};

size_t term_check(const uint8_t *bytes, size_t length)
{
    scan_t s = {.at = bytes, .left = length, .pending = 1};
    while (s.pending > 0) {
        s.pending--;
        const size_t fixed = s.left > 0 ? fixed_length[*s.at] : 0;
        if (fixed > 0 ? !take(&s, fixed) : !take_one(&s))
            return 0;
    }
    return length - s.left;
}

bool term_next(term_t *rest, term_t *first)
{
    size_t length = term_check(rest->bytes, rest->length);
    if (length == 0)
        return false;
    *first = (term_t){.bytes = rest->bytes, .length = length};
    *rest = (term_t){.bytes = rest->bytes + length, .length = rest->length - length};
    return true;
}

static term_t after(term_t whole, size_t header)
{
    return (term_t){.bytes = whole.bytes + header, .length = whole.length - header};
}

bool term_tuple(term_t tuple, uint32_t *arity, term_t *elements)
{
    size_t width = tuple.bytes[0] == ERL_SMALL_TUPLE_EXT ? 1 : tuple.bytes[0] == ERL_LARGE_TUPLE_EXT ? 4 : 0;
    if (width == 0)
        return false;
    *arity = big_endian(tuple.bytes + 1, width);
    *elements = after(tuple, 1 + width);
    return true;
}

bool term_is_nil(term_t nil)
{
    return nil.bytes[0] == ERL_NIL_EXT;
}

bool term_string(term_t string, term_t *bytes)
{
    if (string.bytes[0] != ERL_STRING_EXT)
        return false;
    *bytes = (term_t){.bytes = string.bytes + 3, .length = big_endian(string.bytes + 1, 2)};
    return true;
}

term_t term_byte(uint8_t byte, uint8_t memory[TERM_BYTE_SIZE])
{
    memory[0] = ERL_SMALL_INTEGER_EXT;
    memory[1] = byte;
    return (term_t){.bytes = memory, .length = TERM_BYTE_SIZE};
}

bool term_list(term_t list, uint32_t *count, term_t *elements)
{
    if (term_is_nil(list)) {
        *count = 0;
        *elements = list; /* the tail */
        return true;
    }
    if (list.bytes[0] != ERL_LIST_EXT)
        return false;
    *count = big_endian(list.bytes + 1, 4);
    *elements = after(list, 5);
    return true;
}

bool term_atom_bytes(term_t atom, const uint8_t **bytes, size_t *length)
{
    const size_t width = atom.bytes[0] == ERL_ATOM_EXT || atom.bytes[0] == ERL_ATOM_UTF8_EXT ? 2
                         : atom.bytes[0] == ERL_SMALL_ATOM_EXT || atom.bytes[0] == ERL_SMALL_ATOM_UTF8_EXT
                             ? 1
                             : 0;
    if (width == 0)
        return false;
    *bytes = atom.bytes + 1 + width;
    *length = big_endian(atom.bytes + 1, width);
    return true;
}

bool term_atom(term_t atom, char name[TERM_ATOM_SIZE])
{
    int index = 0;
    return ei_decode_atom_as((const char *)atom.bytes, &index, name, TERM_ATOM_SIZE, ERLANG_UTF8, NULL,
                             NULL) == 0;
}

static bool is_integer(term_t t)
{
    switch (t.bytes[0]) {
    case ERL_SMALL_INTEGER_EXT:
    case ERL_INTEGER_EXT:
    case ERL_SMALL_BIG_EXT:
    case ERL_LARGE_BIG_EXT:
        return true;
    default:
        return false;
    }
}

term_integer_range_t term_integer(term_t integer, uint64_t *value)
{
    int index = 0;
    EI_LONGLONG small;
    EI_ULONGLONG large;
    *value = UINT64_MAX;
    if (integer.bytes[0] == ERL_SMALL_INTEGER_EXT) { /* most are this or the next: worth a short way */
        *value = integer.bytes[1];
        return TERM_SIGNED;
    }
    if (integer.bytes[0] == ERL_INTEGER_EXT) {
        *value = (uint64_t)(int32_t)big_endian(integer.bytes + 1, 4);
        return TERM_SIGNED;
    }
    if (!is_integer(integer))
        return TERM_NO_INTEGER;
    if (ei_decode_longlong((const char *)integer.bytes, &index, &small) == 0) {
        *value = (uint64_t)small;
        return TERM_SIGNED;
    }
    index = 0;
    if (ei_decode_ulonglong((const char *)integer.bytes, &index, &large) == 0) {
        *value = large;
        return TERM_UNSIGNED;
    }
    return TERM_BEYOND;
}

/* A byte as an integer of `width` bytes for its length, then a sign and digits, the lowest first: where it is, or NULL
 * for another integer. One without digits is 0, as its sign is. */
static const uint8_t *big_byte(const uint8_t *at, size_t width, size_t *length)
{
    const size_t digits = big_endian(at + 1, width);
    const uint8_t *const sign = at + 1 + width;
    *length = 1 + width + 1 + digits;
    if (*sign != 0)
        return NULL;
    for (size_t i = 2; i <= digits; i++)
        if (sign[i] != 0)
            return NULL;
    return digits > 0 ? sign + 1 : sign;
}

/* The bytes of a leaf. An integer may not be a list's tail, nor stand alone. */
static bool leaf(const uint8_t *at, bool may_be_integer, const uint8_t **bytes, size_t *count, size_t *length)
{
    switch (at[0]) {
    case ERL_BINARY_EXT:
        *count = big_endian(at + 1, 4);
        *bytes = at + 5;
        break;
    case ERL_STRING_EXT:
        *count = big_endian(at + 1, 2);
        *bytes = at + 3;
        break;
    case ERL_NIL_EXT:
        *count = 0;
        *bytes = at + 1;
        break;
    case ERL_SMALL_INTEGER_EXT:
        *count = 1;
        *bytes = at + 1;
        if (!may_be_integer)
            return false;
        break;
    case ERL_INTEGER_EXT:
        *count = 1;
        *bytes = at + 4;
        if (!may_be_integer || big_endian(at + 1, 4) > 255)
            return false;
        break;
    case ERL_SMALL_BIG_EXT:
    case ERL_LARGE_BIG_EXT:
        *count = 1;
        *bytes = big_byte(at, at[0] == ERL_SMALL_BIG_EXT ? 1 : 4, length);
        return may_be_integer && *bytes;
    default:
        return false;
    }
    *length = (size_t)(*bytes - at) + *count;
    return true;
}

/* For each list that is open: how many of its elements are to come; 0 means that its tail is. */
typedef struct list_stack {
    uint32_t *left;
    size_t depth;
    size_t capacity;
} list_stack_t;

static bool push(list_stack_t *stack, uint32_t count)
{
    if (stack->depth == stack->capacity) {
        size_t capacity = stack->capacity ? 2 * stack->capacity : 16;
        uint32_t *left = realloc(stack->left, capacity * sizeof *left);
        if (!left)
            return false;
        stack->left = left;
        stack->capacity = capacity;
    }
    stack->left[stack->depth++] = count;
    return true;
}

/* Moves the leaves of a list to where it begins: what was read is never less than what was written. */
static bool flatten(list_stack_t *stack, term_t list, size_t *total)
{
    const uint8_t *at = list.bytes;
    uint8_t *out = list.bytes;
    do {
        bool is_element = stack->depth > 0 && stack->left[stack->depth - 1] > 0;
        if (stack->depth > 0) {
            if (is_element)
                stack->left[stack->depth - 1]--;
            else
                stack->depth--;
        }
        if (at[0] == ERL_LIST_EXT) {
            if (!push(stack, big_endian(at + 1, 4)))
                return false;
            at += 5;
        } else {
            const uint8_t *bytes;
            size_t count, length;
            if (!leaf(at, is_element, &bytes, &count, &length))
                return false;
            memmove(out, bytes, count);
            out += count;
            at += length;
        }
    } while (stack->depth > 0);
    *total = (size_t)(out - list.bytes);
    return true;
}

/* ---- Lists that may be needed once more ---- */

typedef struct kept_list {
    struct kept_list *next;
    term_t place; /* in the frame */
    uint8_t bytes[];
} kept_list_t;

static bool keeps_lists;
static kept_list_t *kept_lists;

void term_keep_lists(void)
{
    keeps_lists = true;
}

void term_restore_lists(void)
{
    for (const kept_list_t *each = kept_lists; each; each = each->next)
        memcpy(each->place.bytes, each->bytes, each->place.length);
}

void term_forget_lists(void)
{
    while (kept_lists) {
        kept_list_t *const first = kept_lists;
        kept_lists = first->next;
        free(first);
    }
    keeps_lists = false;
}

static bool keep(term_t list)
{
    kept_list_t *const copy = malloc(sizeof *copy + list.length);
    if (!copy)
        return false;
    copy->next = kept_lists;
    copy->place = list;
    memcpy(copy->bytes, list.bytes, list.length);
    kept_lists = copy;
    return true;
}

/* ---- */

bool term_iodata(term_t iodata, struct iovec *bytes)
{
    if (iodata.bytes[0] == ERL_LIST_EXT) {
        if (keeps_lists && !keep(iodata))
            return false;
        list_stack_t stack = {0};
        bool flat = flatten(&stack, iodata, &bytes->iov_len);
        bytes->iov_base = iodata.bytes;
        free(stack.left);
        return flat;
    }
    const uint8_t *at;
    size_t length;
    if (!leaf(iodata.bytes, false, &at, &bytes->iov_len, &length))
        return false;
    bytes->iov_base = iodata.bytes + (at - iodata.bytes);
    return true;
}
