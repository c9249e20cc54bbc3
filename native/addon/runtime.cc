// What the addon uses of a C++ runtime. It brings these few along so that it needs no libstdc++: the one that Node
// finds may be older than the one it was compiled with, and beside another libc there may be none.
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>

namespace
{

// Node ends as well where it has no memory, and the addon is compiled without exceptions.
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

// libstdc++'s headers call these where they would throw.
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

// The headers leave its functions to the library.
template class std::basic_string<char>;
