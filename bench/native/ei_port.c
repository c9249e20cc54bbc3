/*
 * The cost of decoding a batch and encoding its answer with libei, without the operations. It reads frames of {packet, 4}
 * from descriptor 3, each {Id, {batch, [{Name, Handle, Index, Value}]}} in external term format, and writes
 * {Id, [Integer]} to descriptor 4.
 */
#include <ei.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUT = 3, OUTPUT = 4, HEADER = 4, INPUT_SIZE = 1 << 20, LONGEST_INTEGER = 11 };

static uint32_t number(const char *at)
{
    const uint8_t *const bytes = (const uint8_t *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void expect(int result)
{
    if (result != 0)
        exit(EXIT_FAILURE);
}

/* Returns the number of bytes in `output`. */
static int answer(const char *frame, char *output)
{
    int in = 0, out = HEADER, version, arity, count;
    EI_LONGLONG id, handle, index, value;
    char name[MAXATOMLEN_UTF8];
    expect(ei_decode_version(frame, &in, &version));
    expect(ei_decode_tuple_header(frame, &in, &arity));
    expect(ei_decode_longlong(frame, &in, &id));
    expect(ei_decode_tuple_header(frame, &in, &arity));
    expect(ei_decode_atom(frame, &in, name));
    expect(ei_decode_list_header(frame, &in, &count));
    ei_encode_version(output, &out);
    ei_encode_tuple_header(output, &out, 2);
    ei_encode_longlong(output, &out, id);
    ei_encode_list_header(output, &out, count);
    for (int i = 0; i < count; i++) {
        expect(ei_decode_tuple_header(frame, &in, &arity));
        expect(ei_decode_atom(frame, &in, name));
        expect(ei_decode_longlong(frame, &in, &handle));
        expect(ei_decode_longlong(frame, &in, &index));
        expect(ei_decode_longlong(frame, &in, &value));
        ei_encode_longlong(output, &out, handle + index + value);
    }
    ei_encode_empty_list(output, &out);
    for (int i = 0; i < HEADER; i++)
        output[i] = (char)((out - HEADER) >> (24 - 8 * i));
    return out;
}

int main(void)
{
    static char input[INPUT_SIZE], output[INPUT_SIZE + LONGEST_INTEGER];
    size_t have = 0;
    for (;;) {
        const ssize_t count = read(INPUT, input + have, sizeof input - have);
        if (count <= 0)
            return EXIT_SUCCESS;
        have += (size_t)count;
        if (have < HEADER || have - HEADER < number(input))
            continue;
        /* A client waits for each answer: there is one frame at a time. */
        const int length = answer(input + HEADER, output);
        if (write(OUTPUT, output, (size_t)length) != length)
            return EXIT_FAILURE;
        have = 0;
    }
}
