# Settings and helper functions that every room's CMakeLists.txt uses.
option(TANDEM_BUILD_TESTS "Build the tests" ON)
option(TANDEM_BUILD_BENCH "Build the benchmarks" ON)
set(TANDEM_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

find_program(TANDEM_CCACHE ccache)
if(TANDEM_CCACHE)
  # What it needs to keep what was compiled with precompiled headers, also for another clone.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_PCH_EXTSUM=1
                                  CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${TANDEM_CCACHE})
endif()

add_library(tandem_options INTERFACE)
target_include_directories(tandem_options INTERFACE ${CMAKE_SOURCE_DIR})
# No contraction: the same source gives the same bits whether or not the compiler sees a fused form. OpenMP in every
# room, also where nothing is parallel: precompiled headers fit only sources with the same options. Designated
# initialisers leave the rest at its default on purpose.
target_compile_options(tandem_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wno-unused-parameter;-Wno-missing-field-initializers;-ffp-contract=off;${OpenMP_CXX_FLAGS}>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-unused-parameter>)
if(TANDEM_SANITIZE)
  target_compile_options(tandem_options INTERFACE -fsanitize=${TANDEM_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=undefined)
  target_link_options(tandem_options INTERFACE -fsanitize=${TANDEM_SANITIZE})
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)  # collects its garbage less often: a tenth of the time for 200 MB
  target_compile_options(tandem_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:--param=ggc-min-heapsize=262144;--param=ggc-min-expand=300>)
endif()

# Headers of others that most sources need, parsed once. The presets debug and asan do without: there a source that
# forgot to include one of them does not compile.
set(tandem_precompiled_headers
    <algorithm> <array> <cmath> <cstdint> <cstring> <filesystem> <fstream> <functional> <limits> <map> <memory> <mutex>
    <numeric> <optional> <set> <span> <sstream> <string> <string_view> <type_traits> <unordered_map> <utility> <variant>
    <vector> <fmt/format.h> <fmt/ranges.h>)

# tandem_precompile(target header…): GCC never writes a precompiled header twice with the same bytes. Beside the headers'
# text, ccache looks at the .sum in its place.
function(tandem_precompile target)
  target_precompile_headers(${target} PRIVATE ${ARGN})
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${target}.dir/cmake_pch.hxx.gch.sum
       CONTENT "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}: ${ARGN}\n")
endfunction()

file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cpp CONTENT "// Carries the headers that are parsed once.\n")
add_library(tandem_precompiled OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
target_link_libraries(tandem_precompiled PRIVATE tandem_options fmt::fmt)
tandem_precompile(tandem_precompiled ${tandem_precompiled_headers})

# tandem_library(name SOURCES a.cpp … LIBS other …): one static library of one room.
function(tandem_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC tandem_options ${ARG_LIBS})
  target_precompile_headers(${name} REUSE_FROM tandem_precompiled)
endfunction()

# For tests' own sources, which run for microseconds; the code under test keeps its options.
set(tandem_test_options $<$<CONFIG:Release>:-O1>)

# tandem_test_objects(target): the target's sources are tests and take the headers that are parsed once for those.
function(tandem_test_objects target)
  target_compile_options(${target} PRIVATE ${tandem_test_options})
  target_precompile_headers(${target} REUSE_FROM tandem_golden)
endfunction()

# tandem_test_library(name SOURCES … LIBS …): what several test programs share.
function(tandem_test_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_LIBS} tandem_golden)
  tandem_test_objects(${name})
endfunction()

# tandem_test(name SOURCES a.cpp … LIBS … [LABELS …] [RANKS n] [TIMEOUT s]): a GoogleTest program registered
# with ctest. With RANKS it runs under mpirun with that many ranks. Tests run in the source directory, so that
# they find tests/golden/data.
function(tandem_test name)
  cmake_parse_arguments(ARG "" "RANKS;TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT TARGET ${name})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_LIBS} tandem_test_support)
    tandem_test_objects(${name})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(TANDEM_SANITIZE)  # several times as slow
    math(EXPR ARG_TIMEOUT "4 * ${ARG_TIMEOUT}")
  endif()
  set(test_name ${name})
  set(command $<TARGET_FILE:${name}>)
  if(ARG_RANKS)
    set(test_name ${name}_np${ARG_RANKS})
    set(command mpirun --oversubscribe --allow-run-as-root -np ${ARG_RANKS} $<TARGET_FILE:${name}>)
    list(APPEND ARG_LABELS multi_rank)
  endif()
  add_test(NAME ${test_name} COMMAND ${command} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${test_name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
  if(ARG_RANKS)
    set_tests_properties(${test_name} PROPERTIES PROCESSORS 2
      ENVIRONMENT "OMPI_MCA_mpi_yield_when_idle=1;OMP_NUM_THREADS=1")
  else()
    # Tests run side by side: threads that spin while they wait would take the cores from each other.
    set_tests_properties(${test_name} PROPERTIES ENVIRONMENT "OMP_WAIT_POLICY=passive")
  endif()
endfunction()
