#include "datasets/message.hpp"

#include <fmt/args.h>
#include <fmt/format.h>

#include "datasets/error.hpp"

namespace greta {

std::string Message::text() const {
  return text([](std::string_view same) { return std::string(same); });
}

std::string Message::text(const Translate& translate) const {
  if (pattern.empty()) return {};
  fmt::dynamic_format_arg_store<fmt::format_context> store;
  for (const auto& argument : arguments) {
    if (const auto* message = std::get_if<Message>(&argument))
      store.push_back(message->text(translate));
    else if (const auto* text = std::get_if<std::string>(&argument))
      store.push_back(*text);
    else if (const auto* real = std::get_if<double>(&argument))
      store.push_back(*real);
    else
      store.push_back(std::get<int64_t>(argument));
  }
  const std::string said = pattern == "{}" ? pattern : translate(pattern);
  try {
    return fmt::vformat(said, store);
  } catch (const fmt::format_error& error) {
    fail_internal("the message \"{}\" does not fit its {} arguments: {}", said, arguments.size(),
                  error.what());
  }
}

Message joined(const std::vector<Message>& members, std::string_view separator) {
  if (members.size() == 1) return members.front();
  Message out;
  for (const auto& member : members) {
    out.pattern += (out.pattern.empty() ? "" : std::string(separator)) + "{}";
    out.arguments.emplace_back(member);
  }
  return out;
}

}  // namespace greta
