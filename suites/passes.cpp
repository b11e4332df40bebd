#include "suites/passes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "datasets/error.hpp"
#include "probes/chunks.hpp"
#include "suites/phases.hpp"
#include "suites/stepwise_fill.hpp"

namespace greta::suites {

using engine::LogitRows;
using engine::TapRecord;
using engine::Taps;
using probes::Phase;
using probes::Place;
using probes::Run;
using probes::Tap;

namespace {

Phase::Pattern pattern_of(TapRecord&& record) {
  return {*record.pattern_seed,
          {.tensor = std::move(record.tensor),
           .device_checksum = record.device_checksum,
           .copy_delay = record.copy_delay}};
}

}  // namespace

Passes::Passes(const Case& item, const reference::Config& config, probes::Evidence& evidence, PassHooks hooks)
    : case_(item), config_(config), evidence_(evidence), hooks_(std::move(hooks)) {}

std::span<const int32_t> Passes::fill_tokens() const {
  return std::span(case_.prompt.tokens).first(case_.prompt.tokens.size() - 1);
}

int64_t Passes::cost(const Case& item) {
  const auto S = static_cast<int64_t>(item.prompt.tokens.size());
  const int64_t decode = item.decode ? S - 1 + item.decodes : 0;
  const int64_t once = (item.prefill ? S : 0) + decode;
  const auto chunked =
      std::count_if(item.chunks.begin(), item.chunks.end(), [&](int64_t size) { return size < S; });
  return once * (1 + item.repeats + item.untapped + 2 * item.selections) + (item.stepwise ? S : 0) +
         chunked * S;
}

bool Passes::planned(const std::string& phase, int layer, Stage stage) const {
  return case_.tensors.contains({phase, layer, stage});
}

Phase* Passes::find(const std::string& name) { return const_cast<Phase*>(evidence_.find(name)); }

Phase& Passes::add(const std::string& name, std::vector<int32_t> tokens, int start,
                   const std::string& filled) {
  const auto S = static_cast<int64_t>(tokens.size());
  Phase& phase = evidence_.add(name, reference::Call{std::move(tokens), start}, config_.sizes(S, start + S));
  phase.filled = filled;
  return phase;
}

engine::ForwardResult Passes::call(EnginePort& engine, std::span<const int32_t> tokens, LogitRows rows,
                                   const Taps& taps, const engine::TapSink& sink, const std::string& what) {
  hooks_.check_interrupt();
  const auto begin = std::chrono::steady_clock::now();
  auto result = engine.forward(tokens, rows, taps, sink);
  engine_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  hooks_.advanced(static_cast<int64_t>(tokens.size()), what);
  return result;
}

void Passes::close_steps(const Phase& phase, int until, Run run, int& open_step) {
  for (; open_step < until; ++open_step) {
    hooks_.step_done(phase, open_step, run);
    if (const Phase* row = evidence_.find("prefill_last"); row && row->window_of == &phase)
      hooks_.step_done(*row, open_step, run);
  }
}

void Passes::take(Phase& phase, TapRecord&& record, Run run, int& open_step) {
  hooks_.check_interrupt();
  if (!record.stage) {
    if (record.pattern_seed && run == Run::first) phase.pattern = pattern_of(std::move(record));
    return;
  }
  const Stage stage = *record.stage;
  const int layer = info(stage).per_layer ? record.layer : -1;
  const Place place{phase.name, layer, stage};
  close_steps(phase, step_of(place, config_.layers), run, open_step);
  if (run == Run::first) phase.declare(layer, stage, record.contract, record.kernel);
  if (!planned(phase.name, layer, stage)) return;
  Tap tap{.tensor = std::move(record.tensor),
          .positions = std::move(record.positions),
          .kernel = std::move(record.kernel),
          .contract = std::move(record.contract),
          .tokens = std::move(record.tokens),
          .device_checksum = record.device_checksum,
          .copy_delay = record.copy_delay};
  if (Phase* row = find("prefill_last"); row && row->window_of == &phase) {
    if (run == Run::first) row->declare(layer, stage, tap.contract, tap.kernel);
    if (planned(row->name, layer, stage)) {
      Tap last = tap;
      last.device_checksum.reset();  // it is the whole tensor's
      const auto S = tap.tensor->shape().empty() ? 0 : tap.tensor->shape().front();
      if (!probes::over_cache(stage) && S > 1) {
        last.tensor = std::make_shared<const Tensor>(tap.tensor->rows(S - 1, S));
        if (!last.positions.empty()) last.positions.erase(last.positions.begin(), last.positions.end() - 1);
        if (!last.tokens.empty()) last.tokens.erase(last.tokens.begin(), last.tokens.end() - 1);
      }
      if (run == Run::first) hooks_.delivered(*row, {row->name, layer, stage}, last);
      row->put(layer, stage, std::move(last), run);
    }
  }
  if (run == Run::first) hooks_.delivered(phase, place, tap);
  phase.put(layer, stage, std::move(tap), run);
}

// The reference's chain needs the contract of every stage, so every stage is tapped; what the plan does not
// keep is dropped at once.
Phase::Outcome Passes::tapped_call(EnginePort& engine, Phase& phase, Run run) {
  int open_step = 0;
  Taps taps = Taps::all();
  taps.proofs = case_.proofs;
  auto result = call(
      engine, phase.call.tokens, phase.name.starts_with("fill_") ? LogitRows::last : LogitRows::all, taps,
      [&](TapRecord&& record) { take(phase, std::move(record), run, open_step); }, phase.name);
  close_steps(phase, static_cast<int>(config_.layers) + 2, run, open_step);
  return {std::move(result.last_logits), result.top1, std::move(result.launched)};
}

void Passes::first(EnginePort& engine) {
  if (case_.prefill) prefill(engine);
  if (case_.decode) decode(engine);
  if (case_.stepwise) stepwise(engine);
  if (!case_.chunks.empty()) chunks(engine);
}

void Passes::prefill(EnginePort& engine) {
  const auto& tokens = case_.prompt.tokens;
  Phase& phase = add("prefill", tokens, 0, "");
  Phase* row = nullptr;
  if (case_.has("prefill_last")) {
    const int last = static_cast<int>(tokens.size()) - 1;
    row = &add("prefill_last", {tokens.back()}, last, "prefill");
    row->window = fmt::format("row {} of {}", last, tokens.size());
    row->window_of = &phase;
  }
  engine.reset();
  phase.outcome = tapped_call(engine, phase, Run::first);
  if (row) row->outcome = phase.outcome;
}

void Passes::decode(EnginePort& engine) {
  engine.reset();
  std::vector<const Phase*> before;
  if (!fill_tokens().empty()) {
    Phase& fill = add("fill_prefill", {fill_tokens().begin(), fill_tokens().end()}, 0, "");
    fill.outcome = tapped_call(engine, fill, Run::first);
    before.push_back(&fill);
  }
  int32_t token = case_.prompt.tokens.back();
  for (int step = 0; step < case_.decodes; ++step) {
    const int start = static_cast<int>(fill_tokens().size()) + step;
    Phase& phase = add(decode_name(step), {token}, start, before.empty() ? "" : "prefill");
    phase.before = before;
    phase.outcome = tapped_call(engine, phase, Run::first);
    before.push_back(&phase);
    token = phase.outcome->top1;
    if (token < 0 || token >= config_.vocabulary)
      fail_invalid("the engine's top-1 after {} is token {}, which is outside the vocabulary of {}",
                   phase.name, token, config_.vocabulary);
  }
}

void Passes::stepwise(EnginePort& engine) {
  engine.reset();
  Phase* fill = nullptr;
  if (!fill_tokens().empty()) {
    fill = &add("fill_stepwise", {fill_tokens().begin(), fill_tokens().end()}, 0, "");
    StepwiseFill rows(*fill);
    for (size_t i = 0; i < fill_tokens().size(); ++i)
      call(
          engine, fill_tokens().subspan(i, 1), LogitRows::last, Taps::all(),
          [&](TapRecord&& record) {
            hooks_.check_interrupt();
            rows.add(static_cast<int64_t>(i), record);
          },
          fill->name);
    rows.finish([&](int layer, Stage stage, Tap tap) {
      if (!planned(fill->name, layer, stage)) return;
      hooks_.delivered(*fill, {fill->name, layer, stage}, tap);
      fill->put(layer, stage, std::move(tap));
    });
  }
  Phase& phase = add("decode0_stepwise", {case_.prompt.tokens.back()}, static_cast<int>(fill_tokens().size()),
                     fill ? "stepwise" : "");
  if (fill) phase.before.push_back(fill);
  phase.outcome = tapped_call(engine, phase, Run::first);
}

void Passes::chunks(EnginePort& engine) {
  const std::span<const int32_t> tokens = case_.prompt.tokens;
  const auto S = static_cast<int64_t>(tokens.size());
  for (const int64_t size : case_.chunks) {
    std::vector<const Phase*> before;
    engine.reset();
    for (const auto& call : probes::chunk_calls(S, size)) {
      const auto part = tokens.subspan(static_cast<size_t>(call.start()), static_cast<size_t>(call.rows(S)));
      Phase& phase = add(call.name(), {part.begin(), part.end()}, static_cast<int>(call.start()),
                         before.empty() ? "" : "chunks");
      phase.before = before;
      phase.outcome = tapped_call(engine, phase, Run::first);
      before.push_back(&phase);
    }
  }
}

void Passes::repeat(EnginePort& engine) {
  again(
      engine, [&](Phase& phase) { phase.repeated = tapped_call(engine, phase, Run::repeat); },
      [](const Phase& prefill, Phase& row) { row.repeated = prefill.repeated; });
}

void Passes::untapped(EnginePort& engine) {
  again(
      engine,
      [&](Phase& phase) {
        auto result = call(engine, phase.call.tokens, LogitRows::all, Taps::none(), {}, phase.name);
        phase.untapped = {std::move(result.last_logits), result.top1, std::move(result.launched)};
      },
      [](const Phase& prefill, Phase& row) { row.untapped = prefill.untapped; });
  if (!case_.selections) return;
  Taps stage, layer;  // which ones follows from the seed
  const auto& chosen = stages()[evidence_.seed % stages().size()];
  stage.stages.set(static_cast<size_t>(chosen.stage));
  layer = Taps::all();
  layer.layers = {static_cast<int>(evidence_.seed % static_cast<uint64_t>(config_.layers))};
  select(engine, fmt::format("stage {}", chosen.name), stage);
  select(engine, fmt::format("layer {}", layer.layers.front()), layer);
}

void Passes::select(EnginePort& engine, const std::string& selection, const Taps& taps) {
  again(
      engine,
      [&](Phase& phase) {
        auto result = call(
            engine, phase.call.tokens, LogitRows::all, taps, [](TapRecord&&) {}, phase.name);
        phase.selected[selection] = {std::move(result.last_logits), result.top1, std::move(result.launched)};
      },
      [](const Phase& prefill, Phase& row) { row.selected = prefill.selected; });
}

void Passes::again(EnginePort& engine, const std::function<void(Phase&)>& one,
                   const std::function<void(const Phase&, Phase&)>& row) {
  if (Phase* phase = find("prefill")) {
    engine.reset();
    one(*phase);
    if (Phase* last = find("prefill_last")) row(*phase, *last);
  }
  if (!case_.decode) return;
  engine.reset();
  if (!fill_tokens().empty()) call(engine, fill_tokens(), LogitRows::last, Taps::none(), {}, "fill_prefill");
  for (int step = 0; step < case_.decodes; ++step) one(*find(decode_name(step)));
}

}  // namespace greta::suites
