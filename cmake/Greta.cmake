# One function per kind of target. A folder's CMakeLists.txt is a line or two: its name and what it may use.

add_library(greta_warnings INTERFACE)
target_compile_options(greta_warnings INTERFACE
                       $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wshadow;-Wnon-virtual-dtor;-Wno-missing-field-initializers>
                       # g++ 12 sees overlaps in std::string that are not there (GCC bug 105651)
                       $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>
                       $<$<AND:$<BOOL:${GRETA_WERROR}>,$<COMPILE_LANGUAGE:CXX>>:-Werror>)

add_library(greta_options INTERFACE)
target_include_directories(greta_options INTERFACE ${CMAKE_SOURCE_DIR})
# Contraction changes results from machine to machine: where we want a fused multiply-add we write one.
target_compile_options(greta_options INTERFACE
                       $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>
                       $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-ffp-contract=off>
                       $<$<AND:$<BOOL:${GRETA_NATIVE}>,$<COMPILE_LANG_AND_ID:CXX,GNU>>:-march=native;-mtune=generic>)
if(GRETA_SANITIZE)
  target_compile_options(greta_options INTERFACE -fsanitize=${GRETA_SANITIZE} -fno-omit-frame-pointer
                         $<$<STREQUAL:${GRETA_SANITIZE},undefined>:-fno-sanitize-recover=all>)
  target_link_options(greta_options INTERFACE -fsanitize=${GRETA_SANITIZE})
endif()
if(GRETA_FUZZ)
  target_compile_options(greta_options INTERFACE -fsanitize=fuzzer-no-link,address -fno-omit-frame-pointer)
  target_link_options(greta_options INTERFACE -fsanitize=address)
endif()

# greta_embed(TARGET FILE NAME): the text of FILE as `std::string_view greta::embedded::NAME()`, declared where it
# is used.
function(greta_embed target file name)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT [=[
#include <string_view>
namespace greta::embedded {
std::string_view @name@();
std::string_view @name@() { return R"~~~~(@text@)~~~~"; }
}  // namespace greta::embedded
]=])
  target_sources(${target} PRIVATE ${source})
endfunction()

# greta_folder(NAME [OBJECT] [EXCEPT regex] USES lib...): every .cpp and .hip file of this folder, less what the
# regular expression matches, becomes library NAME, every
# *_test.cpp one test program NAME_test, every *_bench.cpp NAME_bench, each *_fuzz.cpp a fuzzer of its own.
function(greta_folder name)
  cmake_parse_arguments(ARG "OBJECT" "EXCEPT" "USES;TEST_USES" ${ARGN})
  file(GLOB_RECURSE all CONFIGURE_DEPENDS *.cpp *.hip)
  if(ARG_EXCEPT)
    list(FILTER all EXCLUDE REGEX "${ARG_EXCEPT}")
  endif()
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  set(benches ${all})
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  set(fuzzers ${all})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
  list(FILTER all EXCLUDE REGEX "(_test|_bench|_fuzz|/main)\\.cpp$")
  # A .hip file is C++ with HIP's names: on the host machine the ordinary compiler takes it.
  foreach(file ${all})
    if(file MATCHES "\\.hip$")
      set_source_files_properties(${file} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
    endif()
  endforeach()

  if(NOT all)  # headers only
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE greta_options ${ARG_USES})
  elseif(ARG_OBJECT)  # self-registered objects: a static archive would drop them
    add_library(${name} OBJECT ${all})
    target_link_libraries(${name} PUBLIC greta_options ${ARG_USES} PRIVATE greta_warnings)
  else()
    add_library(${name} STATIC ${all})
    target_link_libraries(${name} PUBLIC greta_options ${ARG_USES} PRIVATE greta_warnings)
  endif()

  if(GRETA_FUZZ)
    foreach(file ${fuzzers})
      get_filename_component(fuzzer ${file} NAME_WE)
      add_executable(${fuzzer} ${file})
      target_link_libraries(${fuzzer} PRIVATE ${name} greta_warnings)
      target_link_options(${fuzzer} PRIVATE -fsanitize=fuzzer)
    endforeach()
    return()
  endif()
  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${name} ${ARG_TEST_USES} greta_warnings GTest::gmock GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 1200)
  endif()
  if(benches)
    add_executable(${name}_bench ${benches})
    target_link_libraries(${name}_bench PRIVATE ${name} ${ARG_TEST_USES} greta_warnings benchmark::benchmark_main)
  endif()
endfunction()
