#include "options.h"

static emmap_error set(emmap_options *options, term_t option)
{
    char name[TERM_ATOM_SIZE];
    uint32_t arity;
    term_t elements, key, number;
    uint64_t value;
    if (term_atom(option, name))
        return emmap_option_set(options, name, NULL);
    if (!term_tuple(option, &arity, &elements) || arity != 2)
        return EMMAP_BADARG;
    if (!term_next(&elements, &key) || !term_next(&elements, &number))
        return EMMAP_BADARG;
    if (!term_atom(key, name))
        return EMMAP_BADARG;
    switch (term_integer(number, &value)) {
    case TERM_SIGNED:
        return (int64_t)value < 0 ? EMMAP_BADARG : emmap_option_set(options, name, &value);
    case TERM_UNSIGNED:
        return emmap_option_set(options, name, &value);
    default:
        return EMMAP_BADARG;
    }
}

emmap_error options_decode(term_t list, emmap_options *options, term_t *culprit)
{
    uint32_t count;
    term_t elements, option;
    *culprit = (term_t){0};
    *options = (emmap_options){0};
    if (!term_list(list, &count, &elements))
        return EMMAP_BADARG;
    for (uint32_t i = 0; i < count; i++) {
        if (!term_next(&elements, &option))
            return EMMAP_BADARG;
        emmap_error error = set(options, option);
        if (error) {
            *culprit = option;
            return error;
        }
    }
    if (!term_is_nil(elements))
        return EMMAP_BADARG;
    return EMMAP_OK;
}
