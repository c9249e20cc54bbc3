{
  "variables": {
    "package_version": "<!(node -p \"require('../../package.json').version\")",
    # glibc, or another; scripts/build-prebuilds.mjs says which where that is not this machine's.
    "libc%": "<!(node -p \"process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'other'\")",
  },
  "target_defaults": {
    "include_dirs": ["../include"],
    "defines": ["NAPI_VERSION=8", "EMMAP_PACKAGE_VERSION=\"<(package_version)\""],
    # The core's flags, as the other doors have them. Code that is not aligned is 7 % shorter.
    "cflags": [
      "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fvisibility=hidden", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
      "-fno-align-functions", "-fno-align-loops", "-fno-align-jumps",
    ],
    "cflags!": ["-O3", "-fno-omit-frame-pointer"],
    "cflags_cc!": ["-O3", "-std=gnu++20", "-std=gnu++17"],
    # The C++ files only call the core. -Os makes them a tenth shorter, and a push and pop no slower.
    "cflags_cc": ["-Os", "-std=c++17", "-fvisibility-inlines-hidden"],
    "conditions": [
      ["OS=='linux'", {"cflags": ["-ffunction-sections"]}],
      ["OS=='linux' and libc=='glibc'", {"cflags": ["-include", "<(module_root_dir)/glibc.h"]}],
      ["OS=='mac'", {
        "xcode_settings": {
          "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
          "GCC_C_LANGUAGE_STANDARD": "c11",
          "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
          "MACOSX_DEPLOYMENT_TARGET": "11.0",
          "WARNING_CFLAGS": ["-Wall", "-Wextra", "-Wpedantic"],
        },
      }],
    ],
  },
  "targets": [
    {
      # Files of the core that run when a file is opened, copied, repaired or looked at. The others do a single operation, which -Os
      # would make up to a third slower.
      "target_name": "seldom",
      "type": "static_library",
      "sources": ["<!@(node seldom.cjs seldom)"],
      "cflags_c": ["<!@(make -s -f ../core/core.mk flags)", "-Os"],
    },
    {
      "target_name": "emmap",
      "dependencies": ["seldom"],
      "sources": [
        "addon.cc", "background.cc", "blocks.cc", "buffer.cc", "bytes.cc", "cell.cc", "failure.cc", "file.cc", "inspect.cc",
        "lock_wait.cc", "open.cc", "operations.cc", "queue.cc", "table.cc", "values.cc", "wait.cc",
        "<!@(node seldom.cjs often)",
      ],
      # -O2 keeps the package small.
      "cflags_c": ["<!@(make -s -f ../core/core.mk flags)", "-O2"],
      # The SIGBUS handler outlives the thread that loaded the addon, so the code must stay.
      "ldflags": ["-Wl,-z,nodelete"],
      "conditions": [
        ["OS=='linux'", {
          "sources": ["runtime.cc"],
          "ldflags": [
            "-static-libgcc", "-Wl,--as-needed", "-Wl,--gc-sections", "-Wl,-z,noseparate-code",
            "-Wl,--version-script=<(module_root_dir)/exports.map",
          ],
        }],
        ["OS=='linux' and libc=='glibc'", {"sources": ["glibc.c"]}],
      ],
    },
  ],
}
