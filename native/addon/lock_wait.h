// Waiting for a lock that another handle or process has. The core gives up after LOCK_WAIT milliseconds, and the
// operation is tried again if the thread may still run JavaScript. So a worker that is terminated meanwhile ends soon.
#ifndef EMMAP_ADDON_LOCK_WAIT_H
#define EMMAP_ADDON_LOCK_WAIT_H

#include <cstdint>

#include <node_api.h>

// How long the core waits for a lock, in milliseconds.
constexpr uint64_t LOCK_WAIT = 20;

// False if the worker was terminated, or the process exits.
bool is_alive(napi_env env);

// The time limit of an operation, made after its first LOCK_WAIT.
class Deadline
{
  public:
    // `milliseconds`: the lock_timeout of the file.
    explicit Deadline(uint64_t milliseconds);

    bool is_over() const;

  private:
    uint64_t end;
};

// Sets whether operations of this thread may block, here and in the core.
void set_may_block(bool yes);

#endif
