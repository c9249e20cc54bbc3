/* A block storage, as blocks_layout.h describes it. */
#include "blocks.h"
#include "error.h"
#include "inspect.h"

/* Whether the header may be a storage's. Many other files have zeros where a storage has the offset of its last
 * group. That is 0 only in a storage whose first leaf was never initialised: then all children of the top group
 * are free. */
static bool is_storage(const inspector_t *self)
{
    const int64_t last_group = (int64_t)blocks_load64(self->head, BLOCKS_LAST_GROUP);
    if (self->size < BLOCKS_TREE || blocks_load32(self->head, 0) == 0 ||
        emi_blocks_word_wrong(blocks_load32(self->head, BLOCKS_WORD)) != NULL)
        return false;
    return last_group == -1 || (last_group > 0 && (uint64_t)last_group < self->size) ||
           (last_group == 0 && blocks_load64(self->head, BLOCKS_TREE) == BLOCKS_ALL);
}

static emmap_error count_blocks(emmap_file *file, inspector_t *self)
{
    emmap_facts *const facts = &self->result->file;
    emmap_blocks_metadata about;
    uint64_t count;
    emmap_error error = emmap_blocks_info(file, &about);
    if (error)
        return error;
    emi_fact_number(facts, "levels", about.levels);
    emi_fact_number(facts, "capacity", about.capacity);
    if (self->effort == EMMAP_BRIEF)
        return EMMAP_OK;
    error = emmap_blocks_count(file, &count);
    if (error)
        return error;
    emi_fact_number(facts, "blocks", count);
    return self->effort == EMMAP_CHECK ? emi_blocks_check(file) : EMMAP_OK;
}

bool emi_inspect_blocks(inspector_t *self)
{
    emmap_facts *const facts = &self->result->file;
    const emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED};
    emmap_file *file;
    if (!is_storage(self))
        return false;
    emmap_error error = emmap_blocks_open(self->path, 0, 0, &options, &file);
    if (error == EMMAP_CORRUPT)
        return false;
    const uint32_t word = blocks_load32(self->head, BLOCKS_WORD);
    facts->fact[0].text = "blocks";
    emi_fact_number(facts, "block_size", blocks_load32(self->head, 0));
    emi_fact_flag(facts, "synced", word & BLOCKS_SYNCED);
    emi_fact_flag(facts, "unfinished", word & BLOCKS_MARK);
    /* Otherwise the file does not tell the number of levels, or its file system does not share memory. */
    if (!error)
        error = count_blocks(file, self);
    emi_fact_failure(self, error);
    emmap_free(file);
    return true;
}
