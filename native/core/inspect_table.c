/* A table, as table_layout.h describes it; and metrics, which are a table with keys that say so (docs/formats.md). */
#include "error.h"
#include "inspect.h"
#include "table.h"

/* The first byte of a key that describes a metric. Metrics begin with one. */
enum { METRIC = 1 };

static bool has_metrics(const inspector_t *self, const table_shape_t *shape)
{
    _Alignas(8) uint8_t bytes[sizeof(table_unit_t) + 8 * TABLE_WORDS_MAX + 4];
    table_unit_t *const unit = (table_unit_t *)(void *)bytes;
    return emi_inspect_read(self->fd, shape->units_at, bytes, shape->key_at + 1) == EMMAP_OK &&
           table_is_alive(atomic_load_explicit(&unit->generation, memory_order_relaxed)) &&
           bytes[shape->key_at] == METRIC;
}

static emmap_error check(const inspector_t *self)
{
    const emmap_options options = {.flags = EMMAP_OPEN_READ | EMMAP_OPEN_SHARED};
    emmap_file *file;
    emmap_error error = emmap_table_open(self->path, &(emmap_table_metadata){0}, &options, &file);
    if (error)
        return error;
    error = emi_table_check(file);
    const emmap_failure failure = *emmap_last_failure();
    emmap_free(file);
    emi_error_restore(&failure);
    return error;
}

bool emi_inspect_table(inspector_t *self)
{
    emmap_facts *const facts = &self->result->file;
    table_header_t header;
    table_shape_t shape;
    if (emi_inspect_read(self->fd, 0, &header, sizeof header) != EMMAP_OK || header.magic != TABLE_MAGIC)
        return false;
    const bool sound = emi_table_read_shape(&header, self->size, &shape);
    facts->fact[0].text = sound && has_metrics(self, &shape) ? "metrics" : "table";
    emi_fact_number(facts, "capacity", header.capacity);
    emi_fact_number(facts, "keys", atomic_load_explicit(&header.size, memory_order_relaxed));
    emi_fact_number(facts, "key_bytes", header.key_bytes);
    emi_fact_number(facts, "words", header.words);
    emi_fact_flag(facts, "unfinished", atomic_load_explicit(&header.journal.step, memory_order_relaxed) != 0);
    if (!sound)
        emi_fact_damage(self, "the shape of the table is none, or does not fit the file",
                        offsetof(table_header_t, format));
    else if (self->effort == EMMAP_CHECK)
        emi_fact_failure(self, check(self));
    return true;
}
