/* A session: requests are read and answered until the client ends it. */
#ifndef EMMAP_PORT_SESSION_H
#define EMMAP_PORT_SESSION_H

#include "handles.h"
#include "reply.h"

/* With which status the program ends. */
enum {
    SESSION_FAILURE = 1,  /* a read, a write or memory failed */
    SESSION_BAD_FRAME = 2 /* the client does not speak the protocol */
};

/* Serves the client that writes to `input` and reads from `output`. The status to exit with. */
int session_run(int input, int output);

/* Does one frame's request, and writes the answer or has it wait. False for a frame that ends the session; `*why` says what is wrong
 * with it. */
bool session_take(handles_t *files, uint8_t *frame, size_t length, reply_t *out, const char **why);

/* Answers those that wait, if they can be answered now. */
void session_answer_late(handles_t *files, reply_t *out);

/* Ends all that waits. */
void session_end(void);

#endif
