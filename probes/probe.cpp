#include "probes/probe.hpp"

#include <algorithm>
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

// Whole numbers, each once: "1,16,33".
bool whole_numbers(std::string_view text) {
  std::set<std::string_view> seen;
  while (true) {
    const auto word = text.substr(0, text.find(','));
    const bool digits = !word.empty() && word.size() < 10 && (word == "0" || word.front() != '0') &&
                        std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || !seen.insert(word).second) return false;
    if (word.size() == text.size()) return true;
    text.remove_prefix(word.size() + 1);
  }
}

}  // namespace

const reference::Bounded& LocalReference::get(const std::string& what, const Compute& compute) {
  const auto found = kept_.find(what);
  return found != kept_.end() ? found->second : kept_.emplace(what, compute()).first->second;
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
    const auto values = split(probe.options[static_cast<size_t>(it - names.begin())].values);
    const bool list = std::find(values.begin(), values.end(), "LIST") != values.end();
    if (list && !whole_numbers(value))
      fail_usage("{} of probe {} is '{}'; it takes whole numbers, each once ({})", name, probe.name, value,
                 values.front());
    if (!list && std::find(values.begin(), values.end(), value) == values.end())
      throw Error(ExitCode::usage,
                  unknown_name(fmt::format("{} of probe {}", name, probe.name), value, values));
    out[name] = value;
  }
  return out;
}

}  // namespace greta::probes
