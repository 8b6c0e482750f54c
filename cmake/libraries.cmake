# The three libraries of the house, the plugins and the command-line door.  Each floor is a folder; its files are
# globbed, so that adding an operation or a module does not touch the build.

function(wick_objects name)
  file(GLOB sources CONFIGURE_DEPENDS ${ARGN})
  add_library(${name} OBJECT ${sources})
  target_link_libraries(${name} PRIVATE wick_flags Threads::Threads)
endfunction()

function(wick_library name)
  set_target_properties(${name} PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0.1)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_options(${name} PRIVATE -Wl,--as-needed)
  if(NOT (WICK_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "Clang")) # clang's runtime comes with the program, not here
    target_link_options(${name} PRIVATE -Wl,-z,defs)
  endif()
  target_link_libraries(${name} PRIVATE wick_flags)
endfunction()

# base, files and yaml are small and stand in several libraries; where two are loaded the dynamic linker makes one of them.
wick_objects(wick_base src/base/*.c)
wick_objects(wick_files src/files/*.c)
wick_objects(wick_yaml src/io/yaml*.c)
target_link_libraries(wick_yaml PRIVATE PkgConfig::YAML)

if(WICK_ENGINE)
# ---- libwick: what an embedding program links ----
wick_objects(wick_tensor src/tensor/*.c src/tensor/step/*.c src/tensor/ops/*/*.c)
wick_objects(wick_upper src/autograd/*.c src/nn/*.c src/models/*.c src/optim/*.c src/dist/*.c src/dist/tcp/*.c src/profile/*.c)
set_source_files_properties(src/dist/sum.c src/dist/shared.c PROPERTIES COMPILE_OPTIONS "-O3;-fopenmp-simd;$<$<C_COMPILER_ID:Clang>:-Wno-pass-failed>")
wick_objects(wick_io src/io/safetensors.c src/io/safetensors_load.c src/io/safetensors_write.c src/io/file.c src/io/npy.c src/io/archive.c src/io/npz.c
  src/io/mismatch.c src/io/pickle.c src/io/torch_file.c src/io/torch_old.c src/io/torch_write.c)
target_link_libraries(wick_io PRIVATE PkgConfig::JANSSON PkgConfig::MINIZIP)
include(cmake/kernels.cmake)
set(WICK_OBJECTS
  $<TARGET_OBJECTS:wick_base> $<TARGET_OBJECTS:wick_files> $<TARGET_OBJECTS:wick_tensor> $<TARGET_OBJECTS:wick_upper> $<TARGET_OBJECTS:wick_io>
  ${WICK_KERNEL_OBJECTS})
function(wick_link name)
  wick_library(${name})
  target_link_libraries(${name} PRIVATE PkgConfig::JANSSON PkgConfig::MINIZIP ZLIB::ZLIB OpenMP::OpenMP_C Threads::Threads m ${CMAKE_DL_LIBS})
  if(WICK_MVEC)
    target_link_libraries(${name} PRIVATE mvec)
  endif()
  if(WICK_LIBRARIES)
    target_link_libraries(${name} PRIVATE ${DNNL_LIBRARY} ${OPENBLAS_LIBRARY})
  endif()
endfunction()
add_library(wick SHARED ${WICK_OBJECTS} $<TARGET_OBJECTS:wick_cpuid>)
wick_link(wick)

endif()

# ---- libwicklaunch: the launcher; knows no tensors ----
# The built-in components are YAML files; the library carries their text.
file(GLOB components CONFIGURE_DEPENDS src/launcher/component/builtin/*.yaml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${components})
set(texts "")
set(sources "")
foreach(file IN LISTS components)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(APPEND texts "static const unsigned char ${name}[] = { ${bytes}0 };\n")
  string(APPEND sources "    { \"${name}.yaml\", (const char *)${name} },\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/components.c @ONLY CONTENT "#include \"launcher/component/component.h\"
${texts}const wk__component_source wk__builtin_components[] = {
${sources}    { 0 }
};
")
# What runs inside of a job: a library of its own, which `wick tracker` has parts of too.
wick_objects(wick_app src/app/*.c)
target_link_libraries(wick_app PRIVATE PkgConfig::JANSSON)
add_library(wickapp SHARED $<TARGET_OBJECTS:wick_base> $<TARGET_OBJECTS:wick_files> $<TARGET_OBJECTS:wick_app>)
wick_library(wickapp)
target_link_libraries(wickapp PRIVATE PkgConfig::JANSSON Threads::Threads m ${CMAKE_DL_LIBS})

wick_objects(wick_launcher src/launcher/*/*.c src/files/http/curl.c ${PROJECT_BINARY_DIR}/components.c)
target_link_libraries(wick_launcher PRIVATE PkgConfig::JANSSON PkgConfig::SQLITE)
add_library(wicklaunch SHARED
  $<TARGET_OBJECTS:wick_base> $<TARGET_OBJECTS:wick_files> $<TARGET_OBJECTS:wick_yaml> $<TARGET_OBJECTS:wick_app>
  $<TARGET_OBJECTS:wick_launcher>)
wick_library(wicklaunch)
target_link_libraries(wicklaunch PRIVATE PkgConfig::YAML PkgConfig::JANSSON PkgConfig::SQLITE Threads::Threads
  m ${CMAKE_DL_LIBS})

# ---- wick_http.so: files of http and https; opens libcurl, and is linked with nothing of Wick's ----
file(GLOB http CONFIGURE_DEPENDS src/files/http/*.c)
add_library(wick_http MODULE ${http})
set_target_properties(wick_http PROPERTIES PREFIX "")
target_link_libraries(wick_http PRIVATE wick_flags Threads::Threads ${CMAKE_DL_LIBS})

if(WICK_ENGINE)
# ---- libwickrun: data, training, and the applications on them ----
file(GLOB io_run CONFIGURE_DEPENDS src/io/*.c)
list(FILTER io_run EXCLUDE REGEX "/(yaml(_[a-z]+)?|safetensors(_load|_write)?|file|npy|archive|npz|mismatch|pickle|torch_file|torch_old|torch_write)\\.c$")
wick_objects(wick_train src/plot/*.c src/data/*.c src/data/image/*.c src/text/*.c src/train/*.c src/train/*/*.c src/tasks/*.c src/inspect/*.c src/bench/*.c src/bench/*/*.c ${io_run})
target_link_libraries(wick_train PRIVATE PkgConfig::JANSSON PkgConfig::UTF8PROC PkgConfig::PCRE2 PkgConfig::PNG PkgConfig::JPEG)
# What is done to each pixel of each picture is worth vectorising.
set_source_files_properties(src/data/image/resize.c PROPERTIES COMPILE_OPTIONS "-O3")
add_library(wickrun SHARED $<TARGET_OBJECTS:wick_yaml> $<TARGET_OBJECTS:wick_train>)
wick_library(wickrun)
target_link_libraries(wickrun PRIVATE wick PkgConfig::YAML PkgConfig::JANSSON PkgConfig::UTF8PROC PkgConfig::PCRE2 PkgConfig::PNG PkgConfig::JPEG ZLIB::ZLIB Threads::Threads m)

# ---- plugins, opened with dlopen when asked for ----
if(MPI_LIBRARY)
  file(GLOB mpi CONFIGURE_DEPENDS src/dist/mpi/*.c)
  add_library(wick_mpi MODULE ${mpi})
  target_compile_options(wick_mpi PRIVATE -O3 -fopenmp-simd)
  set_target_properties(wick_mpi PROPERTIES PREFIX "")
  target_include_directories(wick_mpi SYSTEM PRIVATE ${MPI_INCLUDES})
  target_link_libraries(wick_mpi PRIVATE wick_flags wick ${MPI_LIBRARY} Threads::Threads)
endif()
if(CAIRO_FOUND)
  add_library(wick_cairo MODULE src/plot/cairo/cairo.c)
  set_target_properties(wick_cairo PROPERTIES PREFIX "")
  target_link_libraries(wick_cairo PRIVATE wick_flags PkgConfig::CAIRO)
endif()

endif()

# ---- the door ----
file(GLOB door CONFIGURE_DEPENDS tools/wick/*.c)
add_executable(wick_door ${door})
set_target_properties(wick_door PROPERTIES OUTPUT_NAME wick)
target_link_libraries(wick_door PRIVATE wick_flags wicklaunch ${CMAKE_DL_LIBS})
add_dependencies(wick_door wick_http)
if(WICK_ENGINE AND WICK_SANITIZE)
  # The leak sanitizer cannot walk the thread-local storage of a library that was opened while threads of OpenMP live.
  target_link_options(wick_door PRIVATE -Wl,--no-as-needed)
  target_link_libraries(wick_door PRIVATE wickrun)
endif()
if(WICK_ENGINE)
  add_dependencies(wick_door wickrun)
endif()
