// Waiting for a lock that another handle or process has, in slices: the core gives up after SLICE milliseconds, and it
// is asked again if the thread is still to run JavaScript. So a worker ends soon that is terminated meanwhile.
#ifndef EMMAP_ADDON_WAITING_H
#define EMMAP_ADDON_WAITING_H

#include <cstdint>

#include <node_api.h>

constexpr uint64_t SLICE = 20;

// Whether JavaScript can run: not where the worker was terminated or the process exits.
bool is_alive(napi_env env);

// The time for which one operation is tried, which begins before a slice that is over.
class Patience
{
  public:
    // The file's lock_timeout.
    explicit Patience(uint64_t milliseconds);

    // Whether there is time for another slice.
    bool is_left() const;

  private:
    uint64_t end;
};

// Whether operations of this thread wait for locks, as emmap_set_may_block.
void set_may_wait(bool yes);

#endif
