# umbra_protobuf(<variable> ROOT <dir> FILES a.proto …): messages in C++.
# umbra_stubs(<variable> ROOT <dir> FILES a.proto …): clients and service interfaces, by rpc/plugin.
# ROOT is the folder that the files' import paths start at; the sources appear under <build>/gen at the same paths, and
# <variable> names the ones to compile. One command per file, so that a change compiles only what imports it.
set(UMBRA_GEN ${CMAKE_BINARY_DIR}/gen)

function(_umbra_protoc out generator header source)
  cmake_parse_arguments(ARG "" "ROOT" "FILES;OPTIONS;DEPENDS" ${ARGN})
  set(generated)
  file(MAKE_DIRECTORY ${UMBRA_GEN})
  foreach(file IN LISTS ARG_FILES)
    cmake_path(RELATIVE_PATH file BASE_DIRECTORY ${ARG_ROOT} OUTPUT_VARIABLE stem)
    string(REGEX REPLACE "\\.proto$" "" stem ${stem})
    set(base ${UMBRA_GEN}/${stem})
    # Ninja wants the first output to be the first that protoc's dependency file names, which is sorted.
    add_custom_command(
      OUTPUT ${base}${source} ${base}${header}
      COMMAND protobuf::protoc --proto_path=${ARG_ROOT} --proto_path=${CMAKE_SOURCE_DIR}/proto ${ARG_OPTIONS}
              --${generator}_out=${UMBRA_GEN} --dependency_out=${base}${header}.d ${file}
      DEPENDS ${file} ${ARG_DEPENDS}
      DEPFILE ${base}${header}.d
      COMMENT "Generating ${stem}${header}" VERBATIM)
    list(APPEND generated ${base}${source})
  endforeach()
  set(${out} ${generated} PARENT_SCOPE)
endfunction()

function(umbra_protobuf out)
  _umbra_protoc(generated cpp .pb.h .pb.cc ${ARGN})
  # protoc's own output is not held to the project's warnings.
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS "-w")
  set(${out} ${generated} PARENT_SCOPE)
endfunction()

function(umbra_stubs out)
  _umbra_protoc(generated umbra .rpc.hpp .rpc.cpp ${ARGN}
    OPTIONS --plugin=protoc-gen-umbra=$<TARGET_FILE:protoc-gen-umbra> DEPENDS protoc-gen-umbra)
  set(${out} ${generated} PARENT_SCOPE)
endfunction()
