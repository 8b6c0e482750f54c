# CPU kernels.  Files of kernels/cpu/simd are compiled once per instruction set and chosen at start by select.c, which is
# built without any of them.  Everything else in kernels/cpu is compiled once.
set(WICK_ISA_FLAGS_generic "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  set(WICK_ISAS generic v3 v4 CACHE STRING "Instruction sets to build kernels for: all, or generic alone")
  # gcc 12 took MMX registers for a loop over eight bytes, and left them so that the next x87 instruction gave NaN.
  set(WICK_ISA_FLAGS_generic -mno-mmx)
  set(WICK_ISA_FLAGS_v3 -march=x86-64-v3 -mno-mmx)
  set(WICK_ISA_FLAGS_v4 -march=x86-64-v4 -mprefer-vector-width=512 -mno-mmx)
else()
  set(WICK_ISAS generic)
endif()

# glibc's vector functions (2.35 and later have all that kernels/cpu/simd/vector_library.h names).
include(CheckLibraryExists)
check_library_exists(mvec _ZGVeN16v_asinf "" WICK_MVEC)

# What asks the processor stands apart, so that a test's library can answer as another one.
wick_objects(wick_cpuid kernels/cpu/processor/cpuid.c)
target_include_directories(wick_cpuid PRIVATE ${PROJECT_SOURCE_DIR}/kernels)
wick_objects(wick_kernels kernels/cpu/*.c kernels/cpu/tuning/*.c kernels/cpu/processor/processor.c
  kernels/cpu/amx/present.c)
target_link_libraries(wick_kernels PRIVATE OpenMP::OpenMP_C)
target_include_directories(wick_kernels PRIVATE ${PROJECT_SOURCE_DIR}/kernels)
target_compile_definitions(wick_kernels PRIVATE WICK_LIBRARIES=$<BOOL:${WICK_LIBRARIES}>)
if(WICK_LIBRARIES)
  target_include_directories(wick_kernels SYSTEM PRIVATE ${DNNL_INCLUDE} ${OPENBLAS_INCLUDE})
endif()
if(WICK_ISAS STREQUAL "generic")
  target_compile_definitions(wick_kernels PRIVATE WICK_GENERIC_ONLY)
endif()
set(WICK_KERNEL_OBJECTS $<TARGET_OBJECTS:wick_kernels>)
foreach(isa IN LISTS WICK_ISAS)
  wick_objects(wick_simd_${isa} kernels/cpu/simd/*/*.c)
  target_include_directories(wick_simd_${isa} PRIVATE ${PROJECT_SOURCE_DIR}/kernels)
  target_link_libraries(wick_simd_${isa} PRIVATE OpenMP::OpenMP_C)
  target_compile_definitions(wick_simd_${isa} PRIVATE WK_ISA=${isa} WICK_MVEC=$<BOOL:${WICK_MVEC}>)
  target_compile_options(wick_simd_${isa} PRIVATE ${WICK_ISA_FLAGS_${isa}} $<$<NOT:$<CONFIG:Debug>>:-O3>
    -ffp-contract=fast)
  list(APPEND WICK_KERNEL_OBJECTS $<TARGET_OBJECTS:wick_simd_${isa}>)
endforeach()
if("v4" IN_LIST WICK_ISAS)
  wick_objects(wick_amx kernels/cpu/amx/gemm.c)
  target_include_directories(wick_amx PRIVATE ${PROJECT_SOURCE_DIR}/kernels)
  target_link_libraries(wick_amx PRIVATE OpenMP::OpenMP_C)
  target_compile_options(wick_amx PRIVATE ${WICK_ISA_FLAGS_v4} -mavx512bf16 -mamx-tile -mamx-bf16
    $<$<NOT:$<CONFIG:Debug>>:-O3>)
  list(APPEND WICK_KERNEL_OBJECTS $<TARGET_OBJECTS:wick_amx>)
endif()

# Tuning tables, beside the library as plugins are.
file(GLOB WICK_TUNING_TABLES CONFIGURE_DEPENDS kernels/cpu/tuning/tables/*.txt)
foreach(table IN LISTS WICK_TUNING_TABLES)
  get_filename_component(name ${table} NAME)
  configure_file(${table} ${PROJECT_BINARY_DIR}/lib/wick/tuning/${name} COPYONLY)
endforeach()
