/*
 * The least that a wake-up takes through an addon whose thread wakes Node's event loop: the thread sleeps on a FIFO, and has
 * the callback called for each byte.
 *
 *   watch(fifo, callback)
 */
#include <fcntl.h>
#include <node_api.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static int fifo;
static napi_threadsafe_function wake;

/* Ends with the process. */
static void *sleep_on_fifo(void *context)
{
    (void)context;
    char byte;
    while (read(fifo, &byte, 1) == 1)
        napi_call_threadsafe_function(wake, NULL, napi_tsfn_nonblocking);
    return NULL;
}

static napi_value watch(napi_env env, napi_callback_info info)
{
    napi_value arguments[2], name;
    size_t count = 2, length;
    char path[4096];
    pthread_t thread;
    napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
    napi_get_value_string_utf8(env, arguments[0], path, sizeof path, &length);
    napi_create_string_utf8(env, "wake", NAPI_AUTO_LENGTH, &name);
    fifo = open(path, O_RDWR | O_CLOEXEC);
    if (fifo < 0 ||
        napi_create_threadsafe_function(env, arguments[1], NULL, name, 0, 1, NULL, NULL, NULL, NULL, &wake) !=
            napi_ok ||
        napi_unref_threadsafe_function(env, wake) != napi_ok ||
        pthread_create(&thread, NULL, sleep_on_fifo, NULL) != 0)
        napi_throw_error(env, NULL, "the FIFO can't be watched");
    return NULL;
}

NAPI_MODULE_INIT()
{
    napi_value function;
    napi_create_function(env, "watch", NAPI_AUTO_LENGTH, watch, NULL, &function);
    napi_set_named_property(env, exports, "watch", function);
    return exports;
}
