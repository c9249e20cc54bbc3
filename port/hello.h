/* The hello of a session: the program's first frame, and the client's answer. */
#ifndef EMMAP_PORT_HELLO_H
#define EMMAP_PORT_HELLO_H

#include "reply.h"

/* A session has the first version until the client says that it knows a later one. */
#define HELLO_FIRST_VERSION 1
#define HELLO_LAST_VERSION 2

/* Answers a request {hello, Version, Options}. `arguments` are its last two elements. */
void hello_answer(term_t arguments, reply_t *out);

/* Writes the first frame of a session: {emmap_port, 1, Info}. */
void hello_write(reply_t *out);

#endif
