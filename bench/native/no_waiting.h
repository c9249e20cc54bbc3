/* For queue_push.c of the core: a push that knows nothing of waiting consumers. It is compiled with
 * -Demi_queue_waited=no_queue_waited. */
#include "operation.h"

static inline word_t *no_queue_waited(const operation_t *operation)
{
    (void)operation;
    return NULL;
}
