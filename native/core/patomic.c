/* Atomic arithmetic on words of a file, in <stdatomic.h>'s default order: sequentially consistent. On the
 * known platforms this costs a read-modify-write nothing, and makes loads and stores agree with it. */
#include "word.h"

emmap_error emi_word_refused(const emmap_file *file, const emmap_mapping *mapping, uint64_t position,
                             bool writing)
{
    if (writing && !file_may_write(file))
        return emi_error_set(EACCES, "the file is open for reading only");
    if (mapping->size < 8 || position > mapping->size - 8)
        return emi_error_set(EINVAL, "the word is not within the mapping");
    return emi_error_set(EMMAP_ALIGNMENT, NULL);
}

emmap_error emmap_patomic_add(emmap_file *file, uint64_t position, int64_t value, int64_t *old)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, true, &visit, &word);
    if (error)
        return error;
    const int64_t before = atomic_fetch_add(word, value);
    if (old)
        *old = before;
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_sub(emmap_file *file, uint64_t position, int64_t value, int64_t *old)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, true, &visit, &word);
    if (error)
        return error;
    const int64_t before = atomic_fetch_sub(word, value);
    if (old)
        *old = before;
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_and(emmap_file *file, uint64_t position, int64_t value, int64_t *old)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, true, &visit, &word);
    if (error)
        return error;
    const int64_t before = atomic_fetch_and(word, value);
    if (old)
        *old = before;
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_or(emmap_file *file, uint64_t position, int64_t value, int64_t *old)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, true, &visit, &word);
    if (error)
        return error;
    const int64_t before = atomic_fetch_or(word, value);
    if (old)
        *old = before;
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_xor(emmap_file *file, uint64_t position, int64_t value, int64_t *old)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, true, &visit, &word);
    if (error)
        return error;
    const int64_t before = atomic_fetch_xor(word, value);
    if (old)
        *old = before;
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_exchange(emmap_file *file, uint64_t position, int64_t value, int64_t *old)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, true, &visit, &word);
    if (error)
        return error;
    const int64_t before = atomic_exchange(word, value);
    if (old)
        *old = before;
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_compare_exchange(emmap_file *file, uint64_t position, int64_t expected,
                                           int64_t replacement, int64_t *old)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, true, &visit, &word);
    if (error)
        return error;
    atomic_compare_exchange_strong(word, &expected, replacement);
    if (old)
        *old = expected;
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_load(emmap_file *file, uint64_t position, int64_t *value)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, false, &visit, &word);
    if (error)
        return error;
    *value = atomic_load(word);
    return visit_end(file, &visit);
}

emmap_error emmap_patomic_store(emmap_file *file, uint64_t position, int64_t value)
{
    return emmap_patomic_exchange(file, position, value, NULL);
}
