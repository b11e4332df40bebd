#include "suites/weights.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <utility>

#include "suites/interrupt.hpp"

namespace greta::suites {
namespace {

// Weights of small models go to the trace whole; an 8B model's would be 32 GB of f32 that the .gguf has
// already.
constexpr int64_t kMostTracedValues = int64_t{1} << 20;
// Wrong weights stay until the arm is explained; of a large model's, the first few.
constexpr size_t kMostKeptBytes = size_t{1} << 30;

}  // namespace

std::vector<std::string> weight_names(const GgufFile& file, const reference::Config& config) {
  std::vector<std::string> names = {"token_embd.weight"};
  for (int64_t layer = 0; layer < config.layers; ++layer)
    for (const char* part : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate",
                             "ffn_up", "ffn_down"})
      names.push_back(fmt::format("blk.{}.{}.weight", layer, part));
  names.emplace_back("output_norm.weight");
  names.emplace_back("output.weight");
  std::erase_if(names, [&](const std::string& name) { return file.find(name) == nullptr; });  // a tied output
  return names;
}

WeightRun::WeightRun(Bench& bench, const std::string& arm)
    : bench_(bench),
      arm_(arm),
      expected_(bench.plan.weights.at(arm)),
      probes_(ready_probes(bench.plan, "weights", arm)) {}

bool WeightRun::asked(const std::string& weight) const {
  return std::any_of(expected_.begin(), expected_.end(),
                     [&](const auto& row) { return std::find(row.begin(), row.end(), weight) != row.end(); });
}

void WeightRun::check(const std::string& weight, const std::shared_ptr<const probes::Tap>& delivered,
                      bool traced) {
  InterruptGuard::check();
  bool failed = false;
  const auto shared = std::make_shared<probes::LocalReference>();
  for (size_t p = 0; p < probes_.size(); ++p) {
    if (std::find(expected_[p].begin(), expected_[p].end(), weight) == expected_[p].end()) continue;
    probes_[p].probe->check_weight({bench_.model, weight, delivered.get(), shared}, probes_[p].judge);
    bench_.meter.compared(1);
    for (auto& finding : probes_[p].judge.take()) {
      failed |= finding.status == probes::Status::fail;
      found_.push_back(std::move(finding));
    }
  }
  if (!failed) return;
  failed_bytes_ += delivered->tensor->bytes();
  if (failed_bytes_ <= kMostKeptBytes) failed_[weight] = delivered;
  if (bench_.trace && !traced) trace(weight, *delivered, arm_);
}

void WeightRun::trace(const std::string& weight, const probes::Tap& tap, const std::string& arm) const {
  TraceRecord record;
  record.key.prompt = "weights";
  record.key.arm = arm;
  record.key.stage = weight;
  record.tensor = tap.tensor;
  record.axes = "rows,columns";
  record.kernel = tap.kernel;
  record.contract = tap.contract;
  bench_.trace->submit(std::move(record));
}

void WeightRun::run(EnginePort& engine, bool to_trace) {
  if (std::all_of(expected_.begin(), expected_.end(), [](const auto& row) { return row.empty(); })) return;
  const auto begin = std::chrono::steady_clock::now();
  std::set<std::string> seen;
  engine.tap_weights([&](engine::TapRecord&& record) {
    InterruptGuard::check();
    if (!asked(record.weight) || !seen.insert(record.weight).second) return;
    auto tap = std::make_shared<const probes::Tap>(
        probes::Tap{std::move(record.tensor), std::move(record.positions), std::move(record.kernel),
                    std::move(record.contract)});
    const bool traced = to_trace && tap->tensor->size() <= kMostTracedValues;
    if (traced) trace(record.weight, *tap, "");
    // A backlog of two bounds the memory: a weight in float64 with its bounds is six times its f32.
    bench_.checker.submit([this, weight = record.weight, tap, traced] { check(weight, tap, traced); }, 2);
  });
  engine_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (const auto& row : expected_)
    for (const auto& weight : row)
      if (seen.insert(weight).second)
        bench_.checker.submit([this, weight] { check(weight, nullptr, false); });
  bench_.checker.drain();
}

std::vector<probes::Finding> WeightRun::findings() { return std::exchange(found_, {}); }

}  // namespace greta::suites
