# The libraries of docs/architecture.md's dependency table.  tools/install-deps names the packages.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(MINIZIP REQUIRED IMPORTED_TARGET minizip)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
# Only its header: libcurl is opened when a scheduler needs it.
find_path(CURL_INCLUDE curl/curl.h REQUIRED)

if(WICK_ENGINE)
  pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
  pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
  pkg_check_modules(PNG REQUIRED IMPORTED_TARGET libpng)
  pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
endif()

if(WICK_LIBRARIES)
  find_path(DNNL_INCLUDE dnnl.h REQUIRED)
  find_library(DNNL_LIBRARY dnnl REQUIRED)
  # The OpenMP build of OpenBLAS: its pthread build would keep a second team of threads that fights ours.
  find_path(OPENBLAS_INCLUDE cblas.h REQUIRED
    PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
  find_library(OPENBLAS_LIBRARY openblas REQUIRED
    PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp NO_DEFAULT_PATH)
endif()

# Open MPI's compiler wrapper tells its flags; without it the plugin wick_mpi.so is left out and `wick run -s mpi` says so.
find_program(MPICC NAMES mpicc.openmpi mpicc)
if(MPICC)
  execute_process(COMMAND ${MPICC} --showme:incdirs OUTPUT_VARIABLE MPI_INCLUDES OUTPUT_STRIP_TRAILING_WHITESPACE)
  execute_process(COMMAND ${MPICC} --showme:libdirs OUTPUT_VARIABLE MPI_LIBDIRS OUTPUT_STRIP_TRAILING_WHITESPACE)
  separate_arguments(MPI_INCLUDES)
  separate_arguments(MPI_LIBDIRS)
  find_library(MPI_LIBRARY mpi HINTS ${MPI_LIBDIRS})
endif()

# Pictures of `wick bench plot`; without it the plugin wick_cairo.so is left out and that command says so.
pkg_check_modules(CAIRO IMPORTED_TARGET cairo)
