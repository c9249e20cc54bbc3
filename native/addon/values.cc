#include "values.h"

uint64_t to_uint64(napi_env env, napi_value value)
{
    uint64_t result = 0;
    bool lossless;
    napi_get_value_bigint_uint64(env, value, &result, &lossless);
    return result;
}

int64_t to_int64(napi_env env, napi_value value)
{
    int64_t result = 0;
    bool lossless;
    napi_get_value_bigint_int64(env, value, &result, &lossless);
    return result;
}

int32_t to_int32(napi_env env, napi_value value)
{
    int32_t result = 0;
    napi_get_value_int32(env, value, &result);
    return result;
}

bool to_bool(napi_env env, napi_value value)
{
    bool result = false;
    napi_get_value_bool(env, value, &result);
    return result;
}

bool is_null(napi_env env, napi_value value)
{
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    return type == napi_null;
}

std::string to_string(napi_env env, napi_value value)
{
    size_t length = 0;
    if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
        void *bytes = nullptr;
        if (napi_get_buffer_info(env, value, &bytes, &length) != napi_ok)
            return "";
        return std::string(static_cast<const char *>(bytes), length);
    }
    std::string text(length + 1, '\0'); // Node-API appends a zero
    napi_get_value_string_utf8(env, value, &text[0], text.size(), &length);
    text.resize(length);
    return text;
}

napi_value make_undefined(napi_env env)
{
    napi_value result = nullptr;
    napi_get_undefined(env, &result);
    return result;
}

napi_value make_null(napi_env env)
{
    napi_value result = nullptr;
    napi_get_null(env, &result);
    return result;
}

napi_value make_number(napi_env env, uint64_t value)
{
    napi_value result = nullptr;
    napi_create_double(env, static_cast<double>(value), &result);
    return result;
}

napi_value make_bigint(napi_env env, int64_t value)
{
    napi_value result = nullptr;
    napi_create_bigint_int64(env, value, &result);
    return result;
}

napi_value make_boolean(napi_env env, bool value)
{
    napi_value result = nullptr;
    napi_get_boolean(env, value, &result);
    return result;
}

napi_value make_string(napi_env env, const char *text)
{
    if (!text)
        return make_undefined(env);
    napi_value result = nullptr;
    napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result);
    return result;
}
