# Warnings, sanitizers, and the flags every file of Wick is compiled with.
add_library(wick_flags INTERFACE)
target_include_directories(wick_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_compile_definitions(wick_flags INTERFACE _GNU_SOURCE $<$<CONFIG:Debug>:WICK_DEBUG=1>)
target_compile_options(wick_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Wmissing-prototypes -Werror
  -fno-math-errno -fno-trapping-math -fno-semantic-interposition)
if(CMAKE_C_COMPILER_ID STREQUAL "Clang")
  # `X, ##__VA_ARGS__`-free C17 needs none of the GNU extensions; clang also warns on C11 keywords used on purpose.
  target_compile_options(wick_flags INTERFACE -Wno-gnu-zero-variadic-macro-arguments)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")
if(WICK_SANITIZE)
  # Instrumented code confuses gcc's range analysis; -Wformat-truncation then warns about strings that fit.
  target_compile_options(wick_flags INTERFACE $<$<C_COMPILER_ID:GNU>:-Wno-format-truncation>)
  target_compile_options(wick_flags INTERFACE -fsanitize=${WICK_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(wick_flags INTERFACE -fsanitize=${WICK_SANITIZE})
  if(WICK_FUZZ)
    target_compile_options(wick_flags INTERFACE -fsanitize=fuzzer-no-link)
  endif()
endif()
