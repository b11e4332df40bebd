// A subcommand's flags: Boost.Program_options, strict, with the nearest right name for a wrong one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace greta::cli {

// What was given. Values are text until asked for as something else; each getter's error (usage) names the
// flag.
class Given {
 public:
  bool has(const std::string& flag) const { return values_.count(flag) > 0; }
  std::string text(const std::string& flag, const std::string& otherwise = {}) const;
  std::vector<std::string> texts(const std::string& flag) const;
  std::optional<int64_t> number(const std::string& flag, int64_t least, int64_t most) const;
  std::optional<uint64_t> seed(const std::string& flag) const;
  std::optional<double> real(const std::string& flag) const;  // finite and above 0
  std::string one_of(const std::string& flag, const std::vector<std::string>& right,
                     const std::string& otherwise) const;
  const std::vector<std::string>& positional() const { return positional_; }

 private:
  friend class Options;
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> positional_;
};

class Options {
 public:
  // usage: "greta run [SUITE] [flags]". Of the positional arguments at most `most` may be given and `least`
  // must be.
  Options(std::string usage, std::string doc, size_t least, size_t most);
  // name: "out,o"; value: what --help shows for it, empty for a switch.
  Options& flag(const std::string& name, const std::string& value, const std::string& doc,
                bool repeatable = false);

  // Error (usage): an unknown flag, a value that is missing, a flag twice, too many or too few arguments.
  // With --help among the arguments nothing else is checked: has("help").
  Given parse(const std::vector<std::string>& arguments) const;
  std::string help() const;

 private:
  struct Flag {
    std::string name, value, doc;
    bool repeatable;
    std::string long_name() const { return name.substr(0, name.find(',')); }
  };
  std::string usage_, doc_;
  size_t least_, most_;
  std::vector<Flag> flags_;
};

// `text` when it is one of `right`; otherwise an Error (usage) with the nearest. `what` names the flag or
// variable.
std::string choice(std::string_view what, const std::string& text, const std::vector<std::string>& right);

}  // namespace greta::cli
