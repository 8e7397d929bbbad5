# Compiler, warnings, sanitizers and the libraries that every component sees.
option(UMBRA_WARNINGS_ARE_ERRORS "off for compilers that warn of more than ours" ON)
option(UMBRA_FUZZ "the fuzzers of the readers (forecast_io/fuzz); needs clang" OFF)
option(UMBRA_SANITIZE "address or thread; empty for none" "")

find_program(CCACHE ccache)
if(CCACHE)
  # Precompiled headers are cacheable only with these two told to ccache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()

# GCC 12 takes Asio's coroutine frames, whose operator new and delete it inlines unevenly, for mismatched; ASan checks
# the real thing.
add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)
# GCC 12 takes a std::string's memcpy, once inlined at -O3, for one of nearly all memory (GCC bugs 105329, 105651).
add_compile_options($<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-stringop-overflow>
                    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-restrict>)
add_compile_options(-Wall -Wextra -Wshadow -Wconversion $<$<BOOL:${UMBRA_WARNINGS_ARE_ERRORS}>:-Werror>
                    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess>)
# GCC collects garbage at every third of growth above what a precompiled header brought; a file needs less than this.
add_compile_options("$<$<CXX_COMPILER_ID:GNU>:SHELL:--param ggc-min-heapsize=2097152>")
if(UMBRA_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
  add_compile_options(-Wno-maybe-uninitialized)  # GCC's own advice: with a sanitizer it warns of what is none
elseif(UMBRA_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
  # GCC's does not know Asio's fences; the locks beside them order the same things.
  add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()

# umbractl starts anew for each command, and a cutover waits for it: what is linked into it is not looked up at each start.
# OpenSSL stays a shared library, so that its security updates need no new build.
set(Protobuf_USE_STATIC_LIBS ON)
set(Boost_USE_STATIC_LIBS ON)

# From 1.81 on Asio has the coroutine fixes that GCC 12 needs; bookworm has 1.81 beside its default.
set(Boost_NO_WARN_NEW_VERSIONS ON)
find_package(Boost 1.81 EXACT QUIET COMPONENTS json)
if(NOT Boost_FOUND)
  find_package(Boost 1.81 REQUIRED COMPONENTS json)
endif()
find_package(OpenSSL REQUIRED)
find_package(Protobuf REQUIRED)
find_package(ZLIB REQUIRED)  # of Protobuf, once that is linked in
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
include(GoogleTest)
