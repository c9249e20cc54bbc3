// The JavaScript class File: one method for each operation of the core, under the core's name.
#ifndef EMMAP_ADDON_FILE_H
#define EMMAP_ADDON_FILE_H

#include "buffer.h"

// Its arguments come from src/, which has checked their types: 64-bit numbers are bigints from -2^63 to
// 2^64-1, bytes are a Uint8Array. Whether they mean anything is for the core to say.
class File final : public Napi::ObjectWrap<File>
{
  public:
    static Napi::Function define(Napi::Env env);

    // new File(path, [name, value | null, …], counters?): emmap_counters_open if there is a third argument.
    explicit File(const Napi::CallbackInfo &info);

  private:
    using Simple = emmap_error (*)(emmap_file *);
    using Sized = emmap_error (*)(emmap_file *, uint64_t *);
    using Arithmetic = emmap_error (*)(emmap_file *, uint64_t, int64_t, int64_t *);
    using CompareExchange = emmap_error (*)(emmap_file *, uint64_t, int64_t, int64_t, int64_t *);
    using Load = emmap_error (*)(emmap_file *, uint64_t, int64_t *);

    Napi::Value describe(const Napi::CallbackInfo &info);
    Napi::Value control(const Napi::CallbackInfo &info);
    Napi::Value lend(const Napi::CallbackInfo &info);

    Napi::Value pread(const Napi::CallbackInfo &info);
    Napi::Value read(const Napi::CallbackInfo &info);
    Napi::Value read_line(const Napi::CallbackInfo &info);
    Napi::Value pwrite(const Napi::CallbackInfo &info);
    Napi::Value write(const Napi::CallbackInfo &info);
    Napi::Value position(const Napi::CallbackInfo &info);
    Napi::Value resize(const Napi::CallbackInfo &info);
    Napi::Value allocate(const Napi::CallbackInfo &info);
    Napi::Value advise(const Napi::CallbackInfo &info);
    Napi::Value patomic_store(const Napi::CallbackInfo &info);

    template <Simple operation> Napi::Value simple(const Napi::CallbackInfo &info);
    template <Simple operation> Napi::Value in_background(const Napi::CallbackInfo &info);
    template <Sized operation> Napi::Value sized(const Napi::CallbackInfo &info);
    template <Arithmetic operation> Napi::Value arithmetic(const Napi::CallbackInfo &info);
    template <CompareExchange operation> Napi::Value compare_exchange(const Napi::CallbackInfo &info);
    template <Load operation> Napi::Value load(const Napi::CallbackInfo &info);

    Napi::Value answer(const Napi::CallbackInfo &info, emmap_error error, Napi::Value value);
    Napi::Value fail(Napi::Env env, const char *operation, emmap_error error);

    Handle handle;
};

#endif
