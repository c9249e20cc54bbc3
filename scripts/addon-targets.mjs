// The platforms that the npm package has an addon for, with the compilers for each on Debian for x64. On other platforms users
// compile the addon with scripts/build-addon.mjs.

// musl-gcc replaces glibc's headers with musl's. There is no musl-g++. So options name the folder of libstdc++'s headers, and
// define the macros that these expect from glibc. native/addon/runtime.cc has the functions that they need. musl-gcc does not
// find the kernel's headers either: scripts/build-prebuilds.mjs links to them beside the sources.
const musl = {
  CC: "musl-gcc -idirafter ../../kernel",
  CXX: [
    "g++ -specs=/usr/lib/x86_64-linux-musl/musl-gcc.specs",
    // For make, which runs it.
    "-isystem /usr/include/c++/$(shell g++ -dumpversion)",
    "-isystem /usr/include/x86_64-linux-gnu/c++/$(shell g++ -dumpversion)",
    "-D'__GLIBC_PREREQ(major,minor)=0' -D__locale_t=locale_t",
  ].join(" "),
  LINK: "musl-gcc",
  GYP_DEFINES: "libc=musl",
};

/** `machine` is readelf's name. The addon may need only these `libraries`. */
export const targets = [
  {
    name: "linux-x64",
    arch: "x64",
    env: { CC: "gcc", CXX: "g++", GYP_DEFINES: "libc=glibc" },
    machine: "Advanced Micro Devices X86-64",
    libraries: ["libc.so.6", "ld-linux-x86-64.so.2"],
  },
  {
    name: "linux-x64-musl",
    arch: "x64",
    env: musl,
    kernelHeaders: ["/usr/include/linux", "/usr/include/asm-generic", "/usr/include/x86_64-linux-gnu/asm"],
    machine: "Advanced Micro Devices X86-64",
    libraries: ["libc.so"],
  },
  {
    name: "linux-arm64",
    arch: "arm64",
    env: { CC: "aarch64-linux-gnu-gcc", CXX: "aarch64-linux-gnu-g++", GYP_DEFINES: "libc=glibc" },
    machine: "AArch64",
    libraries: ["libc.so.6", "ld-linux-aarch64.so.1"],
  },
];

/** The glibc that Node 20 needs. No addon may need a later one. */
export const oldestGlibc = "2.28";
