/* A counters file, as counters.c describes it. */
#include <string.h>

#include "inspect.h"

enum { HEADER_SIZE = 16 };

bool emi_inspect_counters(inspector_t *self)
{
    emmap_facts *const facts = &self->result->file;
    const uint8_t *const head = self->head;
    if (self->size < HEADER_SIZE || memcmp(head, "EMMAP", 5) != 0 || head[7] != '\n')
        return false;
    uint64_t count = 0;
    for (int i = 7; i >= 0; i--)
        count = count << 8 | head[8 + i];
    const bool growing = head[5] == '0' && head[6] == 'g';
    facts->fact[0].text = "counters";
    emi_fact_number(facts, "counters", count);
    const uint64_t fits = (self->size - HEADER_SIZE) / 8;
    if (count == 0 || count > fits || (!growing && self->size != HEADER_SIZE + 8 * count))
        emi_fact_damage(self, "the file's size is not that of its number of counters", 8);
    return true;
}
