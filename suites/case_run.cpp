#include "suites/case_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "probes/chunks.hpp"
#include "suites/chain.hpp"
#include "suites/interrupt.hpp"

namespace greta::suites {
namespace {

using probes::Missing;
using probes::Phase;
using probes::Place;
using probes::Run;

TraceRecord record_of(const probes::Evidence& evidence, const Phase& phase, const Place& place,
                      const probes::Tap& tap) {
  TraceRecord record;
  record.key = {evidence.prompt, evidence.arm, place.phase, place.layer, std::string(name_of(place.stage))};
  record.tensor = tap.tensor;
  record.axes = info(place.stage).axes;
  record.positions = tap.positions;
  record.window = phase.window;
  record.kernel = tap.kernel;
  record.contract = tap.contract;
  return record;
}

}  // namespace

std::vector<ReadyProbe> ready_probes(const Plan& plan, const std::string& prompt, const std::string& arm) {
  std::vector<ReadyProbe> out;
  for (const auto& planned : plan.probes)
    out.push_back({planned.entry->make(planned.options), {planned.entry->name, planned.mode, prompt, arm}});
  return out;
}

CaseRun::CaseRun(Bench& bench, const Case& item)
    : bench_(bench), case_(item), probes_(ready_probes(bench.plan, item.prompt.id, item.arm.name)) {
  evidence_->prompt = item.prompt.id;
  evidence_->arm = item.arm.name;
  evidence_->model = &bench.model;
  evidence_->seed = bench.seed;
  evidence_->keys_window = item.arm.keys_window;
}

void CaseRun::run(EnginePort& engine, EnginePort* repeat, const Message& repeat_note) {
  evidence_->repeat_note = repeat_note;
  bench_.meter.at(case_.prompt.id + "/" + case_.arm.name);
  PassHooks hooks;
  hooks.check_interrupt = [] { InterruptGuard::check(); };
  hooks.advanced = [this](int64_t tokens, const std::string& what) { bench_.meter.worked(tokens, what); };
  hooks.step_done = [this](const Phase& phase, int step, Run run) { step_done(phase, step, run); };
  std::set<Place> traced;
  hooks.delivered = [this, &traced](const Phase& phase, const Place& place, const probes::Tap& tap) {
    // A tensor that comes twice is a finding of its own (INVALID): the trace keeps the first.
    // Chunks hold what the whole call holds: the trace would double for every size.
    if (bench_.trace && tap.tensor && !probes::parse_chunk(phase.name) && traced.insert(place).second)
      bench_.trace->submit(record_of(*evidence_, phase, place, tap));
  };
  Passes passes(case_, bench_.model.config(), *evidence_, hooks);
  try {
    passes.first(engine);
    if (case_.chained) bench_.checker.submit([this] { check_chains(); });
    if (case_.repeats && repeat) passes.repeat(*repeat);
    if (case_.untapped) passes.untapped(engine);
  } catch (...) {
    engine_seconds_ += passes.engine_seconds();
    throw;
  }
  engine_seconds_ += passes.engine_seconds();
  bench_.checker.submit([this] { check_case(); });
  bench_.checker.drain();
  require_complete();
}

void CaseRun::step_done(const Phase& phase, int step, Run run) {
  if (probes::parse_chunk(phase.name)) return;  // judged when the case is complete
  const auto concerned = [&](size_t p) {
    return bench_.plan.probes[p].needs.repeats == (run == Run::repeat) && !case_.expected[p].empty();
  };
  for (size_t p = 0; p < probes_.size(); ++p)
    if (concerned(p))
      return bench_.checker.submit([this, &phase, step, run] { check_step(phase, step, run); });
}

void CaseRun::check_step(const Phase& phase, int step, Run run) {
  InterruptGuard::check();
  const auto layers = bench_.model.config().layers;
  const auto shared = std::make_shared<probes::LocalReference>();
  for (size_t p = 0; p < probes_.size(); ++p) {
    if (bench_.plan.probes[p].needs.repeats != (run == Run::repeat)) continue;
    probes::LayerView view{*evidence_, phase, -1, {}, shared};
    for (const auto& place : case_.expected[p]) {
      if (place.phase != phase.name || step_of(place, layers) != step) continue;
      view.layer = place.layer;
      view.stages.push_back(place.stage);
    }
    if (view.stages.empty()) continue;
    probes_[p].probe->check_layer(view, probes_[p].judge);
  }
  if (run == Run::repeat) release(phase.name, step);
  count_compared();
}

void CaseRun::count_compared() {
  int64_t made = 0;
  for (const auto& ready : probes_) made += ready.judge.made();
  bench_.meter.compared(made - std::exchange(counted_, made));
}

// The tensors of the repeat have been compared: only one step of them is held at a time.
void CaseRun::release(const std::string& name, int step) {
  for (auto& phase : evidence_->phases)
    if (phase.name == name)
      for (const auto& [place, shape] : case_.tensors)
        if (place.phase == name && step_of(place, bench_.model.config().layers) == step)
          phase.forget(place.layer, std::span(&place.stage, 1), Run::repeat);
}

void CaseRun::check_chains() {
  chain_failures_ = run_chains(case_, *evidence_, [this](const probes::ChainedView& view) {
    InterruptGuard::check();
    for (size_t p = 0; p < probes_.size(); ++p) {
      const auto& expected = case_.expected[p];
      if (!bench_.plan.probes[p].needs.chained ||
          std::find(expected.begin(), expected.end(), view.place) == expected.end())
        continue;
      probes_[p].probe->check_chained(view, probes_[p].judge);
    }
    count_compared();
  });
}

void CaseRun::check_case() {
  for (size_t p = 0; p < probes_.size(); ++p)
    if (!case_.expected[p].empty())
      probes_[p].probe->check_case({*evidence_, case_.expected[p]}, probes_[p].judge);
  count_compared();
}

void CaseRun::require_complete() {
  for (size_t p = 0; p < probes_.size(); ++p) {
    auto found = probes_[p].judge.take();
    std::set<std::string> keys;
    for (const auto& finding : found) keys.insert(finding.key());
    std::move(found.begin(), found.end(), std::back_inserter(found_));
    for (const auto& place : case_.expected[p]) {
      probes_[p].judge(place, [&](probes::Finding&) {
        const auto why = chain_failures_.find(place.phase);
        throw Missing(why != chain_failures_.end() && bench_.plan.probes[p].needs.chained
                          ? say("there is no chained reference: {}", why->second)
                          : say("the probe gave no verdict on {}", place.text()));
      });
      auto blank = probes_[p].judge.take();
      if (!keys.contains(blank.front().key())) found_.push_back(std::move(blank.front()));
    }
  }
  probes::Judge plan("plan", "", case_.prompt.id, case_.arm.name);
  for (const auto& [place, shape] : case_.tensors) {
    try {
      if (const Phase* phase = evidence_->find(place.phase))
        phase->tap(place.layer, place.stage);
      else
        throw Missing(say("phase {} did not run", place.phase));
    } catch (const Missing& missing) {
      plan(place, [&](probes::Finding&) { throw missing; });
    }
  }
  auto missing = plan.take();
  std::move(missing.begin(), missing.end(), std::back_inserter(found_));
}

std::vector<probes::Finding> CaseRun::findings() {
  for (auto& ready : probes_) {  // after an interrupted run
    auto rest = ready.judge.take();
    std::move(rest.begin(), rest.end(), std::back_inserter(found_));
  }
  return std::exchange(found_, {});
}

}  // namespace greta::suites
