#include "suites/chain.hpp"

#include <algorithm>

#include "probes/chunks.hpp"
#include "suites/phases.hpp"

namespace greta::suites {
namespace {

using probes::Evidence;
using probes::Phase;
using probes::Place;
using reference::Matrix;

// The last row of a stage [S, …], all of a stage [T, …].
std::span<const double> last_rows(const Matrix& matrix, Stage stage) {
  const std::span all(matrix.data(), static_cast<size_t>(matrix.size()));
  return probes::over_cache(stage) ? all : all.last(static_cast<size_t>(matrix.cols()));
}

class Chain {
 public:
  Chain(const Case& item, Evidence& evidence, const ChainedUse& use)
      : case_(item), evidence_(evidence), use_(use) {}

  void run(const std::vector<const Phase*>& phases) {
    std::vector<reference::ChainCall> calls;
    for (const Phase* phase : phases)
      calls.push_back({phase->call, [phase](Stage stage, int layer) {
                         return reference::Contract::parse(
                             phase->contract(info(stage).per_layer ? layer : -1, stage));
                       }});
    const int steps = case_.chained_steps;
    const bool all = steps > evidence_.model->config().layers;
    reference::chained(*evidence_.model, calls, {.seed = evidence_.seed, .layers = all ? -1 : steps},
                       [&](int index, Stage stage, int layer, const Matrix& value, const Matrix& envelope) {
                         visit(*phases[static_cast<size_t>(index)], stage, info(stage).per_layer ? layer : -1,
                               value, envelope);
                       });
  }

 private:
  void visit(const Phase& phase, Stage stage, int layer, const Matrix& value, const Matrix& envelope) {
    const std::span all(value.data(), static_cast<size_t>(value.size()));
    const std::span noise(envelope.data(), static_cast<size_t>(envelope.size()));
    if (case_.chained_phases.contains(phase.name)) deliver(phase, stage, layer, all, noise, value, envelope);
    const Phase* row = evidence_.find("prefill_last");
    if (row && row->window_of == &phase && case_.chained_phases.contains(row->name))
      deliver(*row, stage, layer, last_rows(value, stage), last_rows(envelope, stage), value, envelope);
  }

  void deliver(const Phase& phase, Stage stage, int layer, std::span<const double> value,
               std::span<const double> noise, const Matrix& whole, const Matrix& whole_noise) {
    const Place place{phase.name, layer, stage};
    const auto rows = last_rows(whole, stage), spread = last_rows(whole_noise, stage);
    evidence_.chained[place] = {{rows.begin(), rows.end()}, {spread.begin(), spread.end()}};
    use_({evidence_, phase, place, value, noise});
  }

  const Case& case_;
  Evidence& evidence_;
  const ChainedUse& use_;
};

}  // namespace

namespace {

// Chunks are held against their noise only from where on they run otherwise than the whole prompt.
std::vector<std::string> chunks_to_chain(const Evidence& evidence, int64_t size) {
  std::vector<std::string> names;
  const Phase* whole = evidence.find("prefill");
  if (!whole) return names;
  try {
    const auto calls = probes::chunk_phases(evidence, whole->call.S(), size);
    if (!probes::departure_of(*whole, calls, evidence.model->config().layers)) return names;
    for (const Phase* call : calls) names.push_back(call->name);
  } catch (const probes::Missing&) {  // the probe says so itself
  }
  return names;
}

}  // namespace

std::map<std::string, Message> run_chains(const Case& item, Evidence& evidence, const ChainedUse& use) {
  std::vector<std::string> decodes = {"fill_prefill"};
  for (int step = 0; step < item.decodes; ++step) decodes.push_back(decode_name(step));
  std::vector<std::vector<std::string>> passes = {
      {"prefill"}, decodes, {"fill_stepwise", "decode0_stepwise"}};
  for (const int64_t size : item.chunks) passes.push_back(chunks_to_chain(evidence, size));
  std::map<std::string, Message> failures;
  for (const auto& names : passes) {
    std::vector<const Phase*> phases;
    bool asked = false;
    for (const auto& name : names) {
      if (const Phase* phase = evidence.find(name)) phases.push_back(phase);
      asked |= item.chained_phases.contains(name) ||
               (name == "prefill" && item.chained_phases.contains("prefill_last"));
    }
    if (!asked || phases.empty()) continue;
    try {
      Chain(item, evidence, use).run(phases);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      for (const auto& name : names) failures[name] = probes::message_of(error);
      if (names.front() == "prefill") failures["prefill_last"] = probes::message_of(error);
    }
  }
  return failures;
}

}  // namespace greta::suites
