# The CUDA emulator: C++ that stands for the CUDA runtime where kernels are compiled for the host.  The one place where
# Wick needs a C++ compiler; kernels are C++ in any case, and nothing of it is linked into the libraries.
option(WICK_CUDAEMU "Build the emulated device where there is a C++ compiler" ON)
if(NOT WICK_CUDAEMU)
  return()
endif()
include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER)
  message(STATUS "no C++ compiler: the emulated device is left out")
  return()
endif()
enable_language(CXX)
find_package(OpenMP REQUIRED COMPONENTS CXX)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")

add_library(wick_cudaemu_flags INTERFACE)
target_include_directories(wick_cudaemu_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src
  ${PROJECT_SOURCE_DIR}/kernels ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/include)
target_compile_definitions(wick_cudaemu_flags INTERFACE WICK_CUDA_EMULATOR _GNU_SOURCE)
target_compile_features(wick_cudaemu_flags INTERFACE cxx_std_17)
# As on the device: a product and a sum are joined to a multiply-add where the instruction set has one.
target_compile_options(wick_cudaemu_flags INTERFACE -Wall -Wextra -Wshadow -Werror -fvisibility=hidden -fno-math-errno
  -ffp-contract=fast)
if(WICK_SANITIZE)
  target_compile_options(wick_cudaemu_flags INTERFACE -fsanitize=${WICK_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(wick_cudaemu_flags INTERFACE -fsanitize=${WICK_SANITIZE})
endif()

# In this folder's targets .cu files are host C++.  (A target that nvcc compiles from the same files belongs to another folder,
# because CMake keeps a file's language per folder.)
macro(wick_emulate)
  set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX)
endmacro()

file(GLOB emulator CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/*.cpp)
list(FILTER emulator EXCLUDE REGEX "/race_off\\.cpp$")
add_library(wick_cudaemu_runtime OBJECT ${emulator})
target_link_libraries(wick_cudaemu_runtime PRIVATE wick_cudaemu_flags OpenMP::OpenMP_CXX)
target_compile_options(wick_cudaemu_runtime PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O3>)
# With the race detector the kernels are compiled for the thread sanitizer, whose functions race.cpp brings.
add_library(wick_cudaemu_race_off OBJECT ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/race_off.cpp)
target_link_libraries(wick_cudaemu_race_off PRIVATE wick_cudaemu_flags)
if(NOT WICK_SANITIZE) # one instrumentation at a time
  add_library(wick_cudaemu_race OBJECT ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/race/race.cpp)
  target_link_libraries(wick_cudaemu_race PRIVATE wick_cudaemu_flags)
  add_library(wick_cudaemu_count OBJECT ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/count/count.cpp)
  target_link_libraries(wick_cudaemu_count PRIVATE wick_cudaemu_flags)
endif()
