#include "cli/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::cli {
namespace {

namespace po = boost::program_options;

template <typename T>
std::optional<T> parsed(const std::string& text) {
  T value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A short flag's own name is no help in a message: "-x" is looked up among long and short ones alike.
std::string unknown_flag(const std::string& wrong, const std::vector<std::string>& right) {
  const std::string bare = wrong.substr(0, wrong.find('='));
  return fmt::format("unknown flag '{}'; did you mean '{}'?", bare, nearest(bare, right));
}

}  // namespace

std::string choice(std::string_view what, const std::string& text, const std::vector<std::string>& right) {
  if (std::find(right.begin(), right.end(), text) != right.end()) return text;
  throw Error(ExitCode::usage, unknown_name(fmt::format("value of {}", what), text, right));
}

std::string Given::text(const std::string& flag, const std::string& otherwise) const {
  return has(flag) ? values_.at(flag).front() : otherwise;
}

std::vector<std::string> Given::texts(const std::string& flag) const {
  return has(flag) ? values_.at(flag) : std::vector<std::string>();
}

std::optional<int64_t> Given::number(const std::string& flag, int64_t least, int64_t most) const {
  if (!has(flag)) return std::nullopt;
  const auto value = parsed<int64_t>(text(flag));
  if (!value || *value < least || *value > most)
    fail_usage("--{} wants a whole number from {} to {}, not '{}'", flag, least, most, text(flag));
  return value;
}

std::optional<uint64_t> Given::seed(const std::string& flag) const {
  if (!has(flag)) return std::nullopt;
  const auto value = parsed<uint64_t>(text(flag));
  if (!value) fail_usage("--{} wants a whole number from 0 to 2^64-1, not '{}'", flag, text(flag));
  return value;
}

std::optional<double> Given::real(const std::string& flag) const {
  if (!has(flag)) return std::nullopt;
  const auto value = parsed<double>(text(flag));
  if (!value || !std::isfinite(*value) || !(*value > 0))
    fail_usage("--{} wants a number above 0, not '{}'", flag, text(flag));
  return value;
}

std::string Given::one_of(const std::string& flag, const std::vector<std::string>& right,
                          const std::string& otherwise) const {
  return has(flag) ? choice("--" + flag, text(flag), right) : otherwise;
}

Options::Options(std::string usage, std::string doc, size_t least, size_t most)
    : usage_(std::move(usage)), doc_(std::move(doc)), least_(least), most_(most) {
  flag("help,h", "", "this text");
}

Options& Options::flag(const std::string& name, const std::string& value, const std::string& doc,
                       bool repeatable) {
  flags_.push_back({name, value, doc, repeatable});
  return *this;
}

Given Options::parse(const std::vector<std::string>& arguments) const {
  po::options_description known;
  std::vector<std::string> names;
  for (const auto& flag : flags_) {
    known.add_options()(
        flag.name.c_str(),
        flag.value.empty() ? static_cast<po::value_semantic*>(po::bool_switch()) : po::value<std::string>(),
        "");
    names.push_back("--" + flag.long_name());
  }
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;

  Given given;
  try {
    const auto parsed =
        po::command_line_parser(arguments).options(known).style(style).allow_unregistered().run();
    for (const auto& option : parsed.options) {
      if (option.position_key >= 0) {
        given.positional_.insert(given.positional_.end(), option.value.begin(), option.value.end());
        continue;
      }
      if (option.unregistered) fail_usage("{}", unknown_flag(option.original_tokens.at(0), names));
      auto& values = given.values_[option.string_key];
      values.insert(values.end(), option.value.begin(), option.value.end());
      if (option.value.empty()) values.emplace_back();
    }
  } catch (const po::invalid_command_line_syntax& error) {
    fail_usage("{}: {}", error.get_option_name(),
               error.kind() == po::invalid_syntax::extra_parameter ? "takes no value" : "a value is missing");
  } catch (const po::error& error) {
    fail_usage("{}", error.what());
  }
  if (given.has("help")) return given;
  for (const auto& flag : flags_) {
    const auto count = given.texts(flag.long_name()).size();
    if (count > 1 && !flag.repeatable) fail_usage("--{} is given {} times", flag.long_name(), count);
    for (const auto& value : given.texts(flag.long_name()))
      if (value.empty() && !flag.value.empty()) fail_usage("--{}: a value is missing", flag.long_name());
  }
  if (given.positional_.size() > most_)
    fail_usage("what is '{}' for? usage: {}", given.positional_[most_], usage_);
  if (given.positional_.size() < least_) fail_usage("an argument is missing; usage: {}", usage_);
  return given;
}

std::string Options::help() const {
  std::string text = fmt::format("usage: {}\n\n{}\n\n", usage_, doc_);
  for (const auto& flag : flags_) {
    const auto comma = flag.name.find(',');
    std::string left = comma == std::string::npos ? "" : "-" + flag.name.substr(comma + 1) + ", ";
    left += "--" + flag.long_name() + (flag.value.empty() ? "" : " " + flag.value);
    text += left.size() < 26 ? fmt::format("  {:<26} {}\n", left, flag.doc)
                             : fmt::format("  {}\n  {:<26} {}\n", left, "", flag.doc);
  }
  return text;
}

}  // namespace greta::cli
