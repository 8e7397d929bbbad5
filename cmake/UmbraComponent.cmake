# umbra_component(name SOURCES … DEPS … [HEADERS target]): one static library `umbra-<name>` per component folder.
# umbra_program(name SOURCES … DEPS …): an executable of that name.
# umbra_test(name SOURCES … DEPS … [LABELS …] [TIMEOUT s]): a GoogleTest program, one ctest entry per test.
# DEPS that name a component are given without the prefix; anything else is passed to the linker as it is.
function(_umbra_link target visibility)
  foreach(dep IN LISTS ARGN)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${dep}/CMakeLists.txt OR TARGET umbra-${dep})
      string(REPLACE "/" "-" dep ${dep})
      target_link_libraries(${target} ${visibility} umbra-${dep})
    else()
      target_link_libraries(${target} ${visibility} ${dep})
    endif()
  endforeach()
endfunction()

# HEADERS names the target whose precompiled headers are shared: umbra-base unless told, for tests umbra-testing.
function(_umbra_common target headers)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
  if(NOT target STREQUAL headers)
    target_precompile_headers(${target} REUSE_FROM ${headers})
  endif()
endfunction()

function(umbra_component name)
  cmake_parse_arguments(ARG "" "HEADERS" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_HEADERS)
    set(ARG_HEADERS umbra-base)
  endif()
  string(REPLACE "/" "-" target umbra-${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  _umbra_common(${target} ${ARG_HEADERS})
  _umbra_link(${target} PUBLIC ${ARG_DEPS})
endfunction()

function(umbra_program name)
  cmake_parse_arguments(ARG "" "HEADERS" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_HEADERS)
    set(ARG_HEADERS umbra-base)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  _umbra_common(${name} ${ARG_HEADERS})
  _umbra_link(${name} PRIVATE base ${ARG_DEPS})
endfunction()

function(umbra_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  umbra_program(${name} SOURCES ${ARG_SOURCES} DEPS ${ARG_DEPS} GTest::gmock_main HEADERS umbra-testing)
  # Most of a test's compile time is templates of others: Asio's, GoogleTest's. Three files at a time share it.
  set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 3)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST TEST_PREFIX "${name}: "
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
