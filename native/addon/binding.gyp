{
  "variables": {
    "package_version": "<!(node -p \"require('../../package.json').version\")",
    # glibc, or another; scripts/build-prebuilds.mjs says which where that is not this machine's.
    "libc%": "<!(node -p \"process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'other'\")",
  },
  "targets": [
    {
      "target_name": "emmap",
      "sources": [
        "addon.cc", "background.cc", "blocks.cc", "buffer.cc", "bytes.cc", "cell.cc", "failure.cc", "file.cc", "inspect.cc",
        "lock_wait.cc", "open.cc", "operations.cc", "queue.cc", "table.cc", "values.cc", "wait.cc",
        "<!@(node -p \"require('fs').readdirSync('../core').filter((name) => name.endsWith('.c')).map((name) => '../core/' + name).join(' ')\")",
      ],
      "include_dirs": ["../include"],
      "defines": ["NAPI_VERSION=8", "EMMAP_PACKAGE_VERSION=\"<(package_version)\""],
      "cflags": ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fvisibility=hidden", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"],
      "cflags!": ["-O3"],
      # The core's flags, as the other doors have them. -O2 keeps the package small; so does code that is not aligned, which is 7 %
      # shorter. -Os makes the C++ files, which only call the core, a tenth shorter, and a push and pop no slower.
      "cflags_c": ["<!@(make -s -f ../core/core.mk flags)", "-O2", "-fno-align-functions", "-fno-align-loops", "-fno-align-jumps"],
      "cflags_cc!": ["-O3", "-std=gnu++20", "-std=gnu++17"],
      "cflags_cc": ["-Os", "-fno-align-functions", "-fno-align-loops", "-fno-align-jumps", "-std=c++17", "-fvisibility-inlines-hidden"],
      # The SIGBUS handler outlives the thread that loaded the addon, so the code must stay.
      "ldflags": ["-Wl,-z,nodelete"],
      "conditions": [
        ["OS=='linux'", {
          "sources": ["runtime.cc"],
          "cflags": ["-ffunction-sections"],
          "ldflags": [
            "-static-libgcc", "-Wl,--as-needed", "-Wl,--gc-sections", "-Wl,-z,noseparate-code",
            "-Wl,--version-script=<(module_root_dir)/exports.map",
          ],
        }],
        ["OS=='linux' and libc=='glibc'", {
          "sources": ["glibc.c"],
          "cflags": ["-include", "<(module_root_dir)/glibc.h"],
        }],
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
  ],
}
