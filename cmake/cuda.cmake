# The plugins wick_cudaemu.so and wick_cuda.so: one set of sources.  The first needs a C++ compiler alone: kernels are
# host C++ against the emulator's headers, and no toolkit is looked at.  The second is built where there is nvcc.
option(WICK_CUDA "Build the CUDA backend where nvcc is found" ON)

file(GLOB cuda_host CONFIGURE_DEPENDS kernels/cuda/*.c kernels/cuda/*/*.c)
file(GLOB cuda_kernels CONFIGURE_DEPENDS kernels/cuda/*/*.cu)
list(FILTER cuda_host EXCLUDE REGEX "/emulator/")

function(wick_cuda_plugin name)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/kernels ${PROJECT_SOURCE_DIR}/src
    ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
  target_link_libraries(${name} PRIVATE wick Threads::Threads m)
endfunction()

if(TARGET wick_cudaemu_runtime)
  # A file has one language in a folder of CMake's, and in this one .cu belongs to nvcc: the emulated device's kernels are
  # included by files made for them.
  set(emulated)
  foreach(kernel IN LISTS cuda_kernels)
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR}/kernels/cuda ${kernel})
    string(REPLACE "/" "_" unit ${path})
    set(unit ${PROJECT_BINARY_DIR}/cudaemu/${unit}.cpp)
    file(CONFIGURE OUTPUT ${unit} CONTENT "#include \"cuda/${path}\"\n")
    list(APPEND emulated ${unit})
  endforeach()
  function(wick_emulated_plugin name detector)
    wick_cuda_plugin(${name} ${cuda_host} ${emulated} $<TARGET_OBJECTS:wick_cudaemu_runtime> $<TARGET_OBJECTS:${detector}>)
    target_include_directories(${name} BEFORE PRIVATE ${PROJECT_SOURCE_DIR}/kernels/cuda/emulator/include)
    target_compile_definitions(${name} PRIVATE WICK_CUDA_EMULATOR)
    target_link_libraries(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:wick_cudaemu_flags> OpenMP::OpenMP_CXX)
    target_compile_options(${name} PRIVATE
      $<$<COMPILE_LANGUAGE:C>:$<TARGET_PROPERTY:wick_flags,INTERFACE_COMPILE_OPTIONS>>)
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  endfunction()
  wick_emulated_plugin(wick_cudaemu wick_cudaemu_race_off)
  # The same with the race detector, and with the counter of traffic, each in a folder of its own (WICK_PLUGIN_PATH): made
  # when asked for.
  if(TARGET wick_cudaemu_race)
    foreach(kind IN ITEMS watched counting)
      wick_emulated_plugin(wick_cudaemu_${kind} $<IF:$<STREQUAL:${kind},watched>,wick_cudaemu_race,wick_cudaemu_count>)
      target_compile_options(wick_cudaemu_${kind} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=thread>)
      set_target_properties(wick_cudaemu_${kind} PROPERTIES OUTPUT_NAME wick_cudaemu EXCLUDE_FROM_ALL ON
        LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib/${kind})
    endforeach()
    target_compile_definitions(wick_cudaemu_counting PRIVATE WICK_CUDAEMU_COUNTING)
  endif()
endif()

include(CheckLanguage)
if(WICK_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
  if(NOT DEFINED ENV{CUDACXX} AND NOT CMAKE_CUDA_COMPILER)
    find_program(WICK_NVCC nvcc HINTS /usr/local/cuda/bin ${PROJECT_SOURCE_DIR}/build/cuda/bin)
    if(WICK_NVCC)
      set(ENV{CUDACXX} ${WICK_NVCC})
    endif()
  endif()
  check_language(CUDA)
endif()
if(WICK_CUDA AND CMAKE_CUDA_COMPILER AND NOT WICK_SANITIZE)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG -compress-mode=size")
  wick_cuda_plugin(wick_cuda ${cuda_host} ${cuda_kernels})
  set_target_properties(wick_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static)
  target_include_directories(wick_cuda SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(wick_cuda PRIVATE CUDA::cublasLt)
  # CUDA's own sin, cos and tan keep a few words in local memory to reduce large arguments; nothing else may.
  foreach(kernel IN LISTS cuda_kernels)
    if(NOT kernel MATCHES "/trigonometry\\.cu$")
      set_property(SOURCE ${kernel} APPEND PROPERTY COMPILE_OPTIONS -Xptxas=-warn-lmem-usage)
    endif()
  endforeach()
  target_compile_options(wick_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:C>:$<TARGET_PROPERTY:wick_flags,INTERFACE_COMPILE_OPTIONS>>
    "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra;-Xptxas=-warn-spills;--Werror=all-warnings;-t2>")
endif()
