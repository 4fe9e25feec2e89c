# How the addon is compiled: the kernels once per instruction set, everything else for the baseline processor.
# It lies here and not at the root, where npm would run it as an implicit install script.
{
  "variables": {
    "kernels": ["<!@(node -p \"require('fs').readdirSync('kernels').filter((f) => f.endsWith('.cc')).sort().map((f) => 'kernels/' + f).join(' ')\")"],
    # the kernels made of matrix products: the only ones that an instruction set with bf16 products changes
    "products": ["kernels/attention.cc", "kernels/attention_grad.cc", "kernels/grouped_matmul.cc", "kernels/linear_cross_entropy.cc", "kernels/matmul.cc", "kernels/panels.cc"],
    "napi": "<!(node -p \"require('node-addon-api').include_dir\")"
  },
  "target_defaults": {
    # no contraction behind our back: a fused multiply-add is one only where the source says fma
    "cflags": ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"],
    "cflags!": ["-O2", "-fno-omit-frame-pointer"],
    "cflags_cc": ["-std=c++20", "-fvisibility-inlines-hidden"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-std=c++17"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "MACOSX_DEPLOYMENT_TARGET": "12.0",
      "OTHER_CPLUSPLUSFLAGS": ["-ffp-contract=off", "-Wall", "-Wextra"]
    },
    "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/std:c++20", "/fp:precise"] } }
  },
  "targets": [
    {
      "target_name": "kernels_portable",
      "type": "static_library",
      "sources": ["<@(kernels)"],
      "defines": ["ATHANOR_ISA=portable"],
      "cflags_cc": ["-fno-exceptions", "-fno-rtti"]
    },
    {
      "target_name": "athanor",
      "sources": ["addon.cc", "executor.cc", "memory.cc", "pool.cc", "program.cc", "registry.cc", "store.cc"],
      "include_dirs": ["<(napi)"],
      "defines": ["NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NAPI_VERSION=9", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc!": ["-fno-exceptions"],
      "xcode_settings": { "GCC_ENABLE_CPP_EXCEPTIONS": "YES", "OTHER_LDFLAGS": ["-Wl,-all_load"] },
      "msvs_settings": {
        "VCCLCompilerTool": { "ExceptionHandling": 1 },
        "VCLinkerTool": { "AdditionalOptions": ["/WHOLEARCHIVE"] }
      },
      "dependencies": ["kernels_portable"],
      "conditions": [
        ["OS == 'linux'", {
          # kernels register themselves: the linker must not drop objects that nothing names
          "ldflags": ["-Wl,--whole-archive", "-Wl,-z,noexecstack"],
          "libraries": ["-Wl,--no-whole-archive"]
        }],
        ["target_arch == 'x64'", { "dependencies": ["kernels_avx2", "kernels_avx512", "kernels_avx512bf16"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch == 'x64'", {
      "targets": [
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "sources": ["<@(kernels)"],
          "defines": ["ATHANOR_ISA=avx2", "ATHANOR_ISA_AVX2"],
          "cflags": ["-mavx2", "-mfma", "-mf16c"],
          "cflags_cc": ["-fno-exceptions", "-fno-rtti"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx2", "-mfma", "-mf16c"] },
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/arch:AVX2"] } }
        },
        {
          "target_name": "kernels_avx512",
          "type": "static_library",
          "sources": ["<@(kernels)"],
          "defines": ["ATHANOR_ISA=avx512", "ATHANOR_ISA_AVX512"],
          # gcc 12 warns inside its own avx512 headers (its bug 105593)
          "cflags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512", "-Wno-maybe-uninitialized", "-Wno-uninitialized"],
          "cflags_cc": ["-fno-exceptions", "-fno-rtti"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c"] },
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/arch:AVX512"] } }
        },
        {
          # for all other kernels the registry falls back on avx512's
          "target_name": "kernels_avx512bf16",
          "type": "static_library",
          "sources": ["<@(products)"],
          "defines": ["ATHANOR_ISA=avx512bf16", "ATHANOR_ISA_AVX512", "ATHANOR_ISA_AVX512BF16"],
          "cflags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512bf16", "-mavx2", "-mfma", "-mf16c", "-mprefer-vector-width=512", "-Wno-maybe-uninitialized", "-Wno-uninitialized"],
          "cflags_cc": ["-fno-exceptions", "-fno-rtti"],
          "xcode_settings": { "OTHER_CFLAGS": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512bf16", "-mfma", "-mf16c"] },
          "msvs_settings": { "VCCLCompilerTool": { "AdditionalOptions": ["/arch:AVX512"] } }
        }
      ]
    }]
  ]
}
