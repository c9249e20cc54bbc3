// The platforms that the npm package brings an addon for, and how each is compiled on a Debian for x64. Everybody
// else compiles it with scripts/build-addon.mjs.

// musl-gcc puts musl's headers in the place of glibc's, and there is no musl-g++: libstdc++'s headers are found by
// hand, and told what they take for granted of glibc. What they need of a library is in native/addon/runtime.cc.
// The kernel's headers went with glibc's: scripts/build-prebuilds.mjs links to them beside the sources.
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

/** `machine` is readelf's word for it, `libraries` are all that the addon may need. */
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

/** The glibc that Node 20 needs, and no addon may need more. */
export const oldestGlibc = "2.28";
