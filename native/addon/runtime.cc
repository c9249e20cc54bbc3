// The parts of a C++ runtime that the addon uses. With these it needs no libstdc++, which may be older on the user's
// system than on the one that compiled the addon, or missing beside another libc.
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>

namespace
{

// Without memory Node ends too. The addon is compiled without exceptions.
[[noreturn]] void give_up()
{
    std::abort();
}

} // namespace

void *operator new(std::size_t size)
{
    if (void *const memory = std::malloc(size ? size : 1))
        return memory;
    give_up();
}

void operator delete(void *memory) noexcept
{
    std::free(memory);
}

void operator delete(void *memory, std::size_t) noexcept
{
    std::free(memory);
}

// The headers of libstdc++ call these instead of throwing.
namespace std
{

void __throw_bad_alloc()
{
    give_up();
}

void __throw_bad_array_new_length()
{
    give_up();
}

void __throw_length_error(const char *)
{
    give_up();
}

void __throw_logic_error(const char *)
{
    give_up();
}

void __throw_out_of_range_fmt(const char *, ...)
{
    give_up();
}

} // namespace std

// The headers expect its functions in the library.
template class std::basic_string<char>;
