// Looking at a file from outside.
#include <memory>

#include "operations.h"

namespace
{

napi_value value_of(napi_env env, const emmap_fact &fact)
{
    switch (fact.type) {
    case EMMAP_FACT_NUMBER:
        return make_number(env, fact.number);
    case EMMAP_FACT_FLAG:
        return make_boolean(env, fact.number != 0);
    default:
        return make_string(env, fact.text);
    }
}

napi_value object_of(napi_env env, const emmap_facts &facts)
{
    napi_value object = nullptr;
    napi_create_object(env, &object);
    for (size_t i = 0; i < facts.count; i++)
        napi_set_named_property(env, object, facts.fact[i].name, value_of(env, facts.fact[i]));
    return object;
}

// (path, effort) → { kind, …, writers: [{ process, … }, …] }
napi_value inspect(napi_env env, napi_callback_info info)
{
    size_t count = 2;
    napi_value arguments[2] = {};
    napi_value self = nullptr;
    napi_get_cb_info(env, info, &count, arguments, &self, nullptr);
    const std::string path = to_string(env, arguments[0]);
    emmap_effort effort = EMMAP_BRIEF;
    emmap_effort_named(to_string(env, arguments[1]).c_str(), &effort);
    emmap_inspection *found = nullptr;
    const emmap_error error = emmap_inspect(path.c_str(), effort, &found);
    if (error)
        return throw_error(env, self, last_failure("inspect", error), path.c_str());
    const std::unique_ptr<emmap_inspection, void (*)(emmap_inspection *)> owner(found, emmap_inspection_free);
    const napi_value object = object_of(env, found->file);
    napi_value writers = nullptr;
    napi_create_array_with_length(env, found->writers, &writers);
    for (size_t i = 0; i < found->writers; i++)
        napi_set_element(env, writers, static_cast<uint32_t>(i), object_of(env, found->writer[i]));
    napi_set_named_property(env, object, "writers", writers);
    return object;
}

} // namespace

void add_inspect_operations(Exports &exports)
{
    exports.push_back(define("inspect", inspect));
}
