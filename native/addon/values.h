// Converts values between JavaScript and C++, with plain Node-API.
//
// In a worker that is terminated any call may fail, at any moment. So failures are ignored: numbers are 0 then, and
// values null. No JavaScript sees them, because none runs any more. (A wrapper that makes an error of every failed
// call would abort the process.)
#ifndef EMMAP_ADDON_VALUES_H
#define EMMAP_ADDON_VALUES_H

#include <cstdint>
#include <string>

#include <node_api.h>

// The low 64 bits of a bigint.
uint64_t to_uint64(napi_env env, napi_value value);
int64_t to_int64(napi_env env, napi_value value);
int32_t to_int32(napi_env env, napi_value value);
bool to_bool(napi_env env, napi_value value);
bool is_null(napi_env env, napi_value value);
// From a string, or from the bytes of a Buffer.
std::string to_string(napi_env env, napi_value value);

napi_value make_undefined(napi_env env);
napi_value make_null(napi_env env);
napi_value make_number(napi_env env, uint64_t value);
napi_value make_bigint(napi_env env, int64_t value);
napi_value make_boolean(napi_env env, bool value);
// undefined if `text` is null.
napi_value make_string(napi_env env, const char *text);

#endif
