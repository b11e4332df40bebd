#include "datasets/trace_inspect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "datasets/error.hpp"
#include "datasets/stage.hpp"

namespace greta {
namespace {

std::string bytes_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit < 4) bytes /= 1024, ++unit;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

// In the order of the forward pass; names that are no stage (weights) after them, by name.
std::pair<int, std::string> order_of(const std::string& stage) {
  for (const auto& row : stages())
    if (row.name == stage) return {static_cast<int>(row.stage), stage};
  return {kStageCount, stage};
}

// "0-3,7": layers as ranges.
std::string layers_text(const std::set<int>& layers) {
  std::string text;
  for (auto it = layers.begin(); it != layers.end();) {
    const int first = *it;
    int last = first;
    while (++it != layers.end() && *it == last + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ",", first);
    if (last > first) text += fmt::format("-{}", last);
  }
  return text;
}

// What the tensors of a line have in common.
struct Line {
  std::pair<int, std::string> stage;
  std::string shape, dtype, axes, window, kernel, contract;
  auto operator<=>(const Line&) const = default;
};
struct Tally {
  std::set<int> layers;
  double bytes = 0;
};

std::string text_of(const Line& line, const Tally& tally) {
  std::string text =
      fmt::format("      {:<14} {:<18} {:<4} [{}]", line.stage.second, line.shape, line.dtype, line.axes);
  if (tally.layers != std::set<int>{-1}) text += fmt::format("  layers {}", layers_text(tally.layers));
  if (!line.window.empty()) text += fmt::format("  window {}", line.window);
  text += fmt::format("  {}\n", bytes_text(tally.bytes));
  if (!line.kernel.empty()) text += fmt::format("        kernel   {}\n", line.kernel);
  if (!line.contract.empty()) text += fmt::format("        contract {}\n", line.contract);
  return text;
}

std::string header(const TraceReader& trace) {
  const RunIdentity& run = trace.identity();
  std::string text;
  const auto add = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<10} {}\n", name, value.empty() ? "(not recorded)" : value);
  };
  add("complete", trace.complete() ? "yes" : "no: this trace is incomplete, the run was cut short; what was flushed before is here");
  add("created", run.created);
  add("greta", run.greta_version + (run.build.empty() ? "" : ", " + run.build));
  add("command", run.command_line);
  add("model", run.model_path + ", digest " + run.model_digest);
  add("device", run.device + ", backend " + run.backend);
  for (const auto& [prompt, tokens] : run.prompt_tokens) {
    const size_t shown = std::min<size_t>(tokens.size(), 8);
    text += fmt::format("{:<10} {}: {} tokens", "prompt", prompt, tokens.size());
    for (size_t i = 0; i < shown; ++i) text += fmt::format("{}{}", i == 0 ? " (" : " ", tokens[i]);
    text += shown == 0 ? "\n" : shown < tokens.size() ? " ...)\n" : ")\n";
  }
  return text;
}

std::string group_text(const std::string& title, const std::map<Line, Tally>& lines, size_t tensors) {
  double bytes = 0;
  for (const auto& [line, tally] : lines) bytes += tally.bytes;
  std::string text = fmt::format("    {}  {} tensors, {}\n", title, tensors, bytes_text(bytes));
  for (const auto& [line, tally] : lines) text += text_of(line, tally);
  return text;
}

}  // namespace

std::string inspect_trace(const TraceReader& trace, std::string_view filter) {
  struct Group {
    std::map<Line, Tally> lines;
    size_t tensors = 0;
  };
  std::map<std::vector<std::string>, Group> groups;  // {prompt, arm, phase}
  size_t tensors = 0;
  double bytes = 0;
  for (const auto& key : trace.keys()) {
    if (key.path().find(filter) == std::string::npos) continue;
    const TraceRecord record = trace.describe(key);
    Line line{order_of(key.stage),
              to_string(record.tensor->shape()),
              std::string(name_of(record.tensor->dtype())),
              record.axes,
              record.window,
              record.kernel,
              record.contract};
    if (!filter.empty() && key.layer >= 0)
      line.stage.second = fmt::format("layer_{:02}/{}", key.layer, key.stage);
    auto& group = groups[{key.prompt, key.arm, key.phase}];
    auto& tally = group.lines[line];
    tally.layers.insert(filter.empty() ? key.layer : -1);
    tally.bytes += static_cast<double>(record.tensor->bytes());
    bytes += static_cast<double>(record.tensor->bytes());
    ++group.tensors;
    ++tensors;
  }
  if (tensors == 0 && !filter.empty()) fail_usage("no tensor of the trace has '{}' in its path", filter);

  std::string text = header(trace) + fmt::format("{:<10} {}, {}\n", "tensors", tensors, bytes_text(bytes));
  text += fmt::format("{:<10} {} rows\n", "verdicts", trace.verdicts().size());
  std::string prompt, arm;
  for (const auto& [name, group] : groups) {
    if (name[0] != prompt) text += fmt::format("\n{}\n", name[0]);
    if (!name[1].empty() && (name[0] != prompt || name[1] != arm)) text += fmt::format("  {}\n", name[1]);
    prompt = name[0];
    arm = name[1];
    text += group_text(name[2], group.lines, group.tensors);
  }
  return text;
}

}  // namespace greta
