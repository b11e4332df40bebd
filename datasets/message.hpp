// A sentence for a person that can be said in more than one language: an English pattern, which is also its
// key in the catalogues (reports/languages/), and what goes into it. Whoever has something to say to a user
// makes one of these; only reports/ decides in which language it is shown.
//
//   return say("{} of {} elements are out of bound", m.out_of_bound, m.count);
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace greta {

struct Message {
  // A number, a name that is the same in every language, or a message of its own.
  using Argument = std::variant<int64_t, double, std::string, Message>;

  std::string pattern;              // fmt syntax, positions and widths allowed; empty: nothing to say
  std::vector<Argument> arguments;  // in the order of the pattern's fields

  bool empty() const { return pattern.empty(); }
  std::string text() const;  // in English
  // In the language of `translate`, which returns a pattern of the same fields.
  using Translate = std::function<std::string(std::string_view pattern)>;
  std::string text(const Translate& translate) const;
  bool operator==(const Message&) const = default;
};

// The pattern is a literal, so that the test of the catalogues finds it in the source.
template <typename... Arguments>
Message say(const char* pattern, Arguments&&... arguments) {
  Message out{pattern, {}};
  [[maybe_unused]] const auto add = [&](auto&& value) {
    using Value = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, Message>)
      out.arguments.emplace_back(std::forward<decltype(value)>(value));
    else if constexpr (std::is_floating_point_v<Value>)
      out.arguments.emplace_back(static_cast<double>(value));
    else if constexpr (std::is_integral_v<Value>)
      out.arguments.emplace_back(static_cast<int64_t>(value));
    else
      out.arguments.emplace_back(std::string(std::forward<decltype(value)>(value)));
  };
  (add(std::forward<Arguments>(arguments)), ...);
  return out;
}

// What is the same in every language: a name, a formula, another program's words.
inline Message verbatim(std::string text) { return say("{}", std::move(text)); }

// A list: nothing but its members and what stands between them, so that no catalogue needs it.
Message joined(const std::vector<Message>& members, std::string_view separator);

// A text of a table of literals that is shown later, by phrase(): here only marked for the catalogues. It has
// no fields, so it has no braces either.
consteval const char* tr_noop(const char* text) {
  for (const char* c = text; *c; ++c)
    if (*c == '{' || *c == '}') throw "a text of a table has no fields";
  return text;
}
inline Message phrase(std::string_view marked) { return {std::string(marked), {}}; }

}  // namespace greta
