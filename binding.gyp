{
  "targets": [
    {
      "target_name": "vmic",
      "sources": [
        "native/core/birth.cpp",
        "native/core/clock.cpp",
        "native/core/errno_name.cpp",
        "native/core/file.cpp",
        "native/core/folder.cpp",
        "native/core/mapping.cpp",
        "native/core/process.cpp",
        "native/core/ring.cpp",
        "native/core/sink.cpp",
        "native/core/socket.cpp",
        "native/core/watch.cpp",
        "native/addon/addon.cpp",
        "native/addon/clocks.cpp",
        "native/addon/environment.cpp",
        "native/addon/error.cpp",
        "native/addon/file_sink.cpp",
        "native/addon/files.cpp",
        "native/addon/folders.cpp",
        "native/addon/listener.cpp",
        "native/addon/message_channel.cpp",
        "native/addon/polled.cpp",
        "native/addon/programs.cpp",
        "native/addon/ring_channel.cpp",
        "native/addon/ring_channel_open.cpp",
        "native/addon/watches.cpp"
      ],
      "include_dirs": ["native"],
      # Headers of others are system headers, so that our warnings judge our files only.
      "cflags_cc": [
        "-isystem<!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")",
        "-isystem<(node_root_dir)/include/node",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fvisibility=hidden"
      ],
      # A thread that looks after a program may outlive the worker which loaded us.
      "ldflags": ["-Wl,-z,nodelete"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "defines": [
        "NAPI_VERSION=8",
        "NAPI_DISABLE_CPP_EXCEPTIONS",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ]
    },
    {
      # A program of its own, without Node: it needs libc only.
      "target_name": "vmic-vss-guard",
      "type": "executable",
      "product_extension": "",
      "sources": [
        "native/core/errno_name.cpp",
        "native/guard/conversation.cpp",
        "native/guard/main.cpp",
        "native/guard/pool.cpp",
        "native/guard/record.cpp",
        "native/guard/recovery.cpp",
        "native/guard/superblock.cpp",
        "native/guard/text.cpp",
        "native/guard/understudy.cpp",
        "native/guard/volume_freezer.cpp"
      ],
      "include_dirs": ["native"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-Wl,--as-needed", "-Wl,-z,now"]
    }
  ]
}
