// Where the core puts bytes that it reads for JavaScript.
#ifndef EMMAP_ADDON_BYTES_H
#define EMMAP_ADDON_BYTES_H

#include <cstdint>

#include <node_api.h>

#include "call.h"

// Bytes of an unknown number, for a Buffer. The core calls the sink with its locks held, when V8 must not be entered,
// so short ones are copied from malloc. Long ones are read in a second attempt, straight into a Buffer that was made
// between the two: once they are read, nothing can fail any more.
class Bytes
{
  public:
    // Calls `read` with a sink. ENOMEM: nothing was read.
    template <typename Read> emmap_error fill(napi_env env, Read read)
    {
        const emmap_sink sink{allocate, this};
        emmap_error error;
        do {
            length = 0;
            error = read(&sink);
        } while (error == ENOMEM && reserve(env));
        return error;
    }

    // Throws if there is no memory.
    napi_value to_buffer(const Call &call) const;

    ~Bytes();

  private:
    static void *allocate(void *context, size_t length);
    // Makes a Buffer of the length that was refused. False: no length was refused, or there is no memory.
    bool reserve(napi_env env);

    void *data = nullptr;
    size_t length = 0;
    napi_value buffer = nullptr;
    void *reserved = nullptr;
    size_t reserved_length = 0;
};

// A Buffer; null at the end of the file; or an error.
napi_value answer_read(const Call &call, emmap_error error, const Bytes &bytes);

// Many pieces for one Buffer: each behind its length in 32 bits, as src/packed.ts takes them apart. To make a Buffer
// for each costs more here than in JavaScript.
class Packed
{
  public:
    emmap_sink sink()
    {
        return {allocate, this};
    }

    // Throws if there is no memory.
    napi_value to_buffer(const Call &call) const;

    ~Packed();

  private:
    static void *allocate(void *context, size_t length);
    bool grow(size_t needed);

    uint8_t *data = nullptr;
    size_t length = 0;
    size_t capacity = 0;
};

// Messages in a Buffer that JavaScript has made: only JavaScript can catch a failure to allocate one.
struct Room {
    iovec place;
    bool packed = false; // each piece behind its length, as in Packed
    size_t length = 0;   // bytes that were copied
    size_t count = 0;    // pieces that were copied
    size_t needed = 0;   // bytes of the piece that did not fit; 0: all did

    emmap_sink sink()
    {
        return {allocate, this};
    }

    // The number of bytes; null: there is no message; negative: so many bytes are needed for it.
    napi_value answer(const Call &call, emmap_error error) const;

  private:
    static void *allocate(void *context, size_t length);
};

#endif
