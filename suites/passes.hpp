// The engine's calls of one case: which tokens, over which cache, with which taps; what comes of them goes
// into the evidence.
#pragma once

#include <functional>
#include <string>

#include "probes/evidence.hpp"
#include "suites/engine_port.hpp"
#include "suites/plan.hpp"

namespace greta::suites {

struct PassHooks {
  // A step of a phase (plan.hpp: step_of) is complete. From the engine's delivering thread.
  std::function<void(const probes::Phase&, int step, probes::Run)> step_done;
  // A planned tensor of the first run has arrived.
  std::function<void(const probes::Phase&, const probes::Place&, const probes::Tap&)> delivered;
  // Called before each call and at each record; throws to end the run.
  std::function<void()> check_interrupt;
  // `tokens` more tokens have gone through a call named `what`.
  std::function<void(int64_t tokens, const std::string& what)> advanced;
};

class Passes {
 public:
  Passes(const Case& item, const reference::Config& config, probes::Evidence& evidence, PassHooks hooks);

  void first(EnginePort& engine);     // everything the case needs, tapped
  void repeat(EnginePort& engine);    // the judged phases again, tapped
  void untapped(EnginePort& engine);  // the judged phases again, without taps, and with some where asked for
  double engine_seconds() const { return engine_seconds_; }
  static int64_t cost(const Case& item);  // tokens that all of these take

 private:
  probes::Phase& add(const std::string& name, std::vector<int32_t> tokens, int start,
                     const std::string& filled);
  void prefill(EnginePort& engine);
  void decode(EnginePort& engine);
  void stepwise(EnginePort& engine);
  void chunks(EnginePort& engine);
  // Once more over the judged phases; `one` makes a phase's call, `row` takes what prefill's last row shares.
  void again(EnginePort& engine, const std::function<void(probes::Phase&)>& one,
             const std::function<void(const probes::Phase& prefill, probes::Phase& row)>& row);
  void select(EnginePort& engine, const std::string& selection, const engine::Taps& taps);
  void last_row(probes::Phase& prefill);
  engine::ForwardResult call(EnginePort& engine, std::span<const int32_t> tokens, engine::LogitRows rows,
                             const engine::Taps& taps, const engine::TapSink& sink, const std::string& what);
  probes::Phase::Outcome tapped_call(EnginePort& engine, probes::Phase& phase, probes::Run run);
  void take(probes::Phase& phase, engine::TapRecord&& record, probes::Run run, int& open_step);
  void close_steps(const probes::Phase& phase, int until, probes::Run run, int& open_step);
  bool planned(const std::string& phase, int layer, Stage stage) const;
  probes::Phase* find(const std::string& name);
  std::span<const int32_t> fill_tokens() const;

  const Case& case_;
  const reference::Config& config_;
  probes::Evidence& evidence_;
  PassHooks hooks_;
  double engine_seconds_ = 0;
};

}  // namespace greta::suites
