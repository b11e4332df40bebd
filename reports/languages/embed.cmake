# cmake -DMSGFMT= -DLANGUAGE=es -DCATALOGUE=es.po -DBYTES=out.cpp -P embed.cmake: the compiled catalogue as C++,
# std::string_view greta::reports::catalogues::es(). Whatever msgfmt has to say is an error.
execute_process(COMMAND ${MSGFMT} --check -o ${BYTES}.mo ${CATALOGUE} RESULT_VARIABLE failed ERROR_VARIABLE said)
if(failed OR NOT said STREQUAL "")
  message(FATAL_ERROR "msgfmt --check ${CATALOGUE}:\n${said}")
endif()
file(READ ${BYTES}.mo hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," numbers "${hex}")
file(WRITE ${BYTES} "#include <string_view>
namespace greta::reports::catalogues {
std::string_view ${LANGUAGE}();
std::string_view ${LANGUAGE}() {
  static constexpr unsigned char bytes[] = {${numbers}};
  return {reinterpret_cast<const char*>(bytes), sizeof(bytes)};
}
}  // namespace greta::reports::catalogues
")
