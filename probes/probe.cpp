#include "probes/probe.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::probes {
namespace {

std::map<std::string, ProbeEntry, std::less<>>& registry() {
  static std::map<std::string, ProbeEntry, std::less<>> entries;
  return entries;
}

std::vector<std::string> split(std::string_view values) {
  std::vector<std::string> out;
  while (true) {
    const auto bar = values.find('|');
    out.emplace_back(values.substr(0, bar));
    if (bar == std::string_view::npos) return out;
    values = values.substr(bar + 1);
  }
}

bool whole_number(std::string_view text, int64_t least) {
  int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc() && end == text.data() + text.size() && value >= least &&
         std::to_string(value) == text;
}

bool whole_numbers(std::string_view text) {
  std::set<std::string_view> seen;
  while (true) {
    const auto comma = text.find(',');
    const auto word = text.substr(0, comma);
    if (!whole_number(word, 0) || !seen.insert(word).second) return false;
    if (comma == std::string_view::npos) return true;
    text = text.substr(comma + 1);
  }
}

// `value` is this alternative of an option's `values`, or of its kind.
bool is_one(const std::string& alternative, std::string_view value) {
  if (alternative == "COUNT") return whole_number(value, 1);
  if (alternative == "SHARE") return value.starts_with("1/") && whole_number(value.substr(2), 1);
  if (alternative == "LIST") return whole_numbers(value);
  return alternative == value;
}

std::string wrong_value(const ProbeEntry& probe, const Option& option, const std::string& value) {
  const auto values = split(option.values);
  const std::string what = fmt::format("{} of probe {}", option.name, probe.name);
  std::string kinds;
  for (const auto& [word, says] : {std::pair{"COUNT", "a whole number above 0"},
                                   {"SHARE", "one part in so many (1/16)"},
                                   {"LIST", "whole numbers, each once (0,1,2)"}})
    if (std::find(values.begin(), values.end(), word) != values.end())
      kinds += fmt::format("{}{}", kinds.empty() ? "" : ", or ", says);
  if (kinds.empty()) return unknown_name(what, value, values);
  return fmt::format("{} is '{}'; it takes {}, or {}", what, value, values.front(), kinds);
}

}  // namespace

const reference::Bounded& LocalReference::get(const std::string& what, const Compute& compute) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = kept_.find(what); found != kept_.end()) return found->second;
  }
  auto computed = compute();  // in parallel itself, so never under the lock
  const std::lock_guard lock(mutex_);
  return kept_.emplace(what, std::move(computed)).first->second;
}

const reference::Bounded& LayerView::local(Stage stage) const {
  return shared->get(place(stage).text(), [&] {
    const reference::Model& model = *evidence.model;
    return reference::local(
        model, stage, layer, phase.call, reference::Contract::parse(tap(stage).contract),
        [&](const reference::OperandRef& ref) { return operand(phase, model.config(), ref); });
  });
}

const reference::Bounded& WeightView::local() const {
  if (!delivered) throw Missing(say("weight {} did not come from the engine", weight));
  return shared->get(weight, [&] {
    return reference::local_weight(model, weight, reference::Contract::parse(delivered->contract));
  });
}

void WeightView::visit_local(const reference::BoundedVisitor& visit) const {
  if (!delivered) throw Missing(say("weight {} did not come from the engine", weight));
  reference::local_weight_tiles(model, weight, reference::Contract::parse(delivered->contract), visit);
}

int register_probe(ProbeEntry entry) {
  const std::string name = entry.name;
  if (!registry().emplace(name, std::move(entry)).second) fail_internal("two probes are called '{}'", name);
  return static_cast<int>(registry().size());
}

std::vector<const ProbeEntry*> registered_probes() {
  std::vector<const ProbeEntry*> out;
  for (const auto& [name, entry] : registry()) out.push_back(&entry);
  return out;
}

const ProbeEntry& find_probe(std::string_view name) {
  const auto it = registry().find(name);
  if (it != registry().end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [right, entry] : registry()) names.push_back(right);
  throw Error(ExitCode::usage, unknown_name("probe", name, names));
}

Options complete_options(const ProbeEntry& probe, const std::map<std::string, std::string>& given) {
  Options out;
  std::vector<std::string> names;
  for (const auto& option : probe.options) {
    names.emplace_back(option.name);
    out[names.back()] = split(option.values).front();
  }
  for (const auto& [name, value] : given) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end())
      throw Error(ExitCode::usage, unknown_name(fmt::format("option of probe {}", probe.name), name, names));
    const Option& option = probe.options[static_cast<size_t>(it - names.begin())];
    const auto values = split(option.values);
    if (std::none_of(values.begin(), values.end(), [&](const auto& one) { return is_one(one, value); }))
      throw Error(ExitCode::usage, wrong_value(probe, option, value));
    out[name] = value;
  }
  return out;
}

}  // namespace greta::probes
