#include "reports/message_json.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "datasets/error.hpp"

namespace greta::reports {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 32;  // messages within messages; ours have a handful

Json argument_json(const Message::Argument& argument) {
  if (const auto* message = std::get_if<Message>(&argument)) return message_to_json(*message);
  if (const auto* text = std::get_if<std::string>(&argument)) return *text;
  if (const auto* whole = std::get_if<int64_t>(&argument)) return *whole;
  const double real = std::get<double>(argument);
  if (std::isnan(real)) return {{"number", "NaN"}};
  if (std::isinf(real)) return {{"number", real > 0 ? "Infinity" : "-Infinity"}};
  return real;
}

double special_number(const Json& json) {
  const auto name = json.get<std::string>();
  if (name == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (name == "Infinity") return std::numeric_limits<double>::infinity();
  if (name == "-Infinity") return -std::numeric_limits<double>::infinity();
  throw std::runtime_error("'" + name + "' is no number");
}

// A field as wide as a pattern of ours ever is: a file must not make a text of gigabytes.
void check_pattern(const std::string& pattern) {
  bool inside = false;
  size_t digits = 0;
  char before = 0;
  for (const char c : pattern) {
    if (c == '{') {
      if (inside && before != '{') throw std::runtime_error("a field within a field in '" + pattern + "'");
      inside = !inside;  // "{{" is a brace
    }
    if (c == '}') inside = false;
    before = c;
    digits = std::isdigit(static_cast<unsigned char>(c)) ? digits + 1 : 0;
    if (inside && digits > 3) throw std::runtime_error("a field is too wide in '" + pattern + "'");
  }
}

Message read(const Json& json, int depth) {
  if (depth > kDeepest) throw std::runtime_error("messages within messages go too deep");
  Message out;
  out.pattern = json.at("pattern").get<std::string>();
  check_pattern(out.pattern);
  for (const auto& argument : json.at("arguments")) {
    if (argument.is_object())
      if (argument.contains("number"))
        out.arguments.emplace_back(special_number(argument.at("number")));
      else
        out.arguments.emplace_back(read(argument, depth + 1));
    else if (argument.is_string())
      out.arguments.emplace_back(argument.get<std::string>());
    else if (argument.is_number_float())
      out.arguments.emplace_back(argument.get<double>());
    else if (argument.is_number_integer())
      out.arguments.emplace_back(argument.get<int64_t>());
    else
      throw std::runtime_error("an argument of a message is neither number, text nor message");
  }
  return out;
}

}  // namespace

std::string says_key(std::string_view field) {
  return field == "message" || field == "line" ? "says" : std::string(field) + "_says";
}

bool is_verbatim(const Message& message) { return message.empty() || message == verbatim(message.text()); }

Json message_to_json(const Message& message) {
  Json arguments = Json::array();
  for (const auto& argument : message.arguments) arguments.push_back(argument_json(argument));
  return {{"pattern", message.pattern}, {"arguments", std::move(arguments)}};
}

Message message_from_json(const Json& says, const std::string& text) {
  Message out = read(says, 0);
  try {
    if (out.text() == text) return out;
  } catch (const Error&) {  // the pattern does not fit its arguments
  }
  return verbatim(text);
}

}  // namespace greta::reports
