// The operations of a cell that have no shape.
#include "bytes.h"
#include "operations.h"

namespace
{

// (bytes)
napi_value publish(const Call &call)
{
    const iovec value = call.bytes_at(0);
    return call.answer(emmap_cell_publish(call.core(), &value, 1));
}

// (room, version) → see Room::answer. The BigUint64Array gets the version.
napi_value get(const Call &call)
{
    Room room{call.bytes_at(0)};
    const emmap_sink sink = room.sink();
    uint64_t version = 0;
    const emmap_error error = emmap_cell_get(call.core(), &sink, &version);
    call.store_at(1, version);
    return room.answer(call, error);
}

} // namespace

void add_cell_operations(Exports &exports)
{
    exports.insert(exports.end(), {
                                      define<publish>("cell_publish"),
                                      define<get>("cell_get"),
                                  });
}
