// JavaScript values from and to C++ ones, in plain Node-API.
//
// In a worker that is being terminated any call may fail, at any moment. So nothing here insists: numbers are 0
// then, values null, and a function that returns null to a JavaScript that will not go on is right. (A wrapper
// that makes an error out of every failed call aborts the process there.)
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
// Of a string, or of a Buffer.
std::string to_string(napi_env env, napi_value value);

napi_value make_undefined(napi_env env);
napi_value make_null(napi_env env);
napi_value make_number(napi_env env, uint64_t value);
napi_value make_bigint(napi_env env, int64_t value);
napi_value make_boolean(napi_env env, bool value);
// undefined for nullptr.
napi_value make_string(napi_env env, const char *text);

#endif
