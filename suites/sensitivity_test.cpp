// The bounds are neither broken nor idle: clean runs pass over fresh seeds, and one element moved by twice
// its expected bound is caught in every stage. Prints, for each stage, the smallest change that it notices.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <random>

#include "datasets/test_seed.hpp"
#include "probes/probe.hpp"
#include "suites/passes.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using probes::Finding;
using probes::Phase;
using probes::Status;
using probes::Tap;

Suite small_suite(const std::string& tokens, bool everything) {
  std::string toml = "prompts = [\"" + tokens +
                     "\"]\nphases = [\"prefill\", \"decode0\"]\n[[probe]]\nuse = \"stage_parity\"\n";
  if (everything)
    toml +=
        "[[probe]]\nuse = \"stage_parity\"\nmode = \"chained\"\n[[probe]]\nuse = "
        "\"phase_parity\"\n[[probe]]\nuse = "
        "\"top1_coherence\"\n[[probe]]\nuse = \"finite\"\n[[probe]]\nuse = \"determinism\"\n[[probe]]\nuse = "
        "\"tap_neutrality\"\n";
  return parse_suite(toml, "small.toml");
}

std::string random_tokens(std::mt19937_64& random, int count, int vocabulary) {
  std::string out = "tokens:";
  for (int i = 0; i < count; ++i)
    out += (i ? "," : "") + std::to_string(random() % static_cast<uint64_t>(vocabulary));
  return out;
}

// One case of the real engine, held in memory, whose tensors can be changed one at a time.
class Held {
 public:
  Held(const std::string& path, const Suite& suite)
      : file_(GgufFile::open(path)),
        model_(file_),
        tokenizer_(Tokenizer::from(file_)),
        prompt_(load_prompt(suite.prompts.front(), *tokenizer_)),
        plan_(make_plan(suite, model_.config(), {prompt_}, {}, "")) {
    evidence_.model = &model_;
    PassHooks hooks;
    hooks.step_done = [](const Phase&, int, probes::Run) {};
    hooks.delivered = [](const Phase&, const probes::Place&, const Tap&) {};
    hooks.check_interrupt = [] {};
    hooks.advanced = [](int64_t, const std::string&) {};
    const auto engine = make_engine(file_, {.threads = 1});
    Passes(plan_.cases.front(), model_.config(), evidence_, hooks).first(*engine);
    probe_ = probes::find_probe("stage_parity").make({{"mode", "local"}});
  }

  Phase& phase(const std::string& name) {
    for (auto& phase : evidence_.phases)
      if (phase.name == name) return phase;
    throw probes::Missing(name);
  }
  const reference::Config& config() const { return model_.config(); }

  reference::Bounded bounded(const Phase& phase, int layer, Stage stage) const {
    const auto contract = reference::Contract::parse(phase.tap(layer, stage).contract);
    return reference::local(
        model_, stage, layer, phase.call, contract,
        [&](const reference::OperandRef& ref) { return probes::operand(phase, model_.config(), ref); });
  }

  // What stage_parity says when element `at` is `value` instead.
  Finding judged(Phase& phase, int layer, Stage stage, size_t at, float value) {
    const Tap original = phase.tap(layer, stage);
    Tap changed = original;
    Tensor copy = Tensor::from_f32(original.tensor->shape(), original.f32());
    copy.f32()[at] = value;
    changed.tensor = std::make_shared<const Tensor>(std::move(copy));
    replace(phase, layer, stage, changed);
    probes::Judge judge("stage_parity", "local", "p", "auto");
    probe_->check_layer({evidence_, phase, layer, {stage}}, judge);
    replace(phase, layer, stage, original);
    return judge.take().front();
  }

 private:
  static void replace(Phase& phase, int layer, Stage stage, const Tap& tap) {
    phase.forget(layer, std::span(&stage, 1), probes::Run::first);
    phase.put(layer, stage, tap);
  }

  GgufFile file_;
  reference::Model model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Prompt prompt_;
  Plan plan_;
  probes::Evidence evidence_;
  std::unique_ptr<probes::AnyProbe> probe_;
};

// The nearest float that is at least `change` away from x, on the side that `sign` says.
float moved(float x, double change, double sign) {
  float out = static_cast<float>(x + sign * change);
  const float far = static_cast<float>(sign) * std::numeric_limits<float>::infinity();
  while (!(std::fabs(static_cast<double>(out) - x) >= change) || out == x) out = std::nextafter(out, far);
  return out;
}

struct Noticed {
  double bound = 0, change = 0, rms = 0;  // of the element that was moved, and of its tensor
};

// Moves one random element by twice its bound, then finds the smallest change of it that fails.
Noticed notice(Held& held, Phase& phase, int layer, Stage stage, std::mt19937_64& random) {
  const auto reference = held.bounded(phase, layer, stage);
  const auto values = phase.tap(layer, stage).f32();
  // A masked score is -inf and a masked weight exactly 0: neither has a bound to be moved by.
  const auto masked = [&](size_t i) {
    const double value = reference.value.data()[i];
    return !std::isfinite(value) || (stage == Stage::softmax && value == 0);
  };
  size_t at = 0;
  do {
    at = random() % values.size();
  } while (masked(at));
  const double bound = reference.expected.data()[at];
  const double sign = random() % 2 ? 1 : -1;
  const std::string what = fmt::format("{} layer {} {} element {}", phase.name, layer, name_of(stage), at);
  EXPECT_EQ(held.judged(phase, layer, stage, at, values[at]).status, Status::pass) << what << " as it is";
  const auto finding = held.judged(phase, layer, stage, at, moved(values[at], 2 * bound, sign));
  EXPECT_EQ(finding.status, Status::fail) << what << " moved by twice its bound " << bound;
  EXPECT_EQ(finding.metrics.worst, static_cast<int64_t>(at)) << what;

  Noticed out{.bound = bound};
  double low = 0, high = std::max(2 * bound, std::fabs(std::nextafter(values[at], 1e30f) -
                                                       static_cast<double>(values[at])));
  for (int step = 0; step < 6; ++step) {
    const double middle = 0.5 * (low + high);
    const bool seen =
        held.judged(phase, layer, stage, at, static_cast<float>(values[at] + sign * middle)).status !=
        Status::pass;
    (seen ? high : low) = middle;
  }
  out.change = high;
  double squares = 0, count = 0;
  for (const float x : values)
    if (std::isfinite(x)) {
      squares += static_cast<double>(x) * x;
      ++count;
    }
  out.rms = std::sqrt(squares / count);
  return out;
}

TEST(Sensitivity, OneElementMovedByTwiceItsBoundIsCaughtInEveryStage) {
  const uint64_t seed = test_seed();
  RecordProperty("seed", std::to_string(seed));
  fmt::print("GRETA_TEST_SEED={}\n", seed);
  std::mt19937_64 random(seed);
  const RunFolder folder({.preset = "tiny", .quant = "q4_k_m", .seed = random()});
  Held held(folder.model(), small_suite(random_tokens(random, 9, 100), false));
  const int last = static_cast<int>(held.config().layers) - 1;

  fmt::print("{:<15}{:>16}{:>16}{:>16}{:>16}   (smallest change noticed; share of the tensor's RMS)\n",
             "stage", "prefill", "of RMS", "decode0", "of RMS");
  for (const auto& row : stages()) {
    const int layer = row.per_layer ? static_cast<int>(random() % static_cast<uint64_t>(last + 1)) : -1;
    const auto prefill = notice(held, held.phase("prefill"), layer, row.stage, random);
    const auto decode = notice(held, held.phase("decode0"), layer, row.stage, random);
    fmt::print("{:<15}{:>16.2e}{:>16.1e}{:>16.2e}{:>16.1e}\n", row.name, prefill.change,
               prefill.change / prefill.rms, decode.change, decode.change / decode.rms);
  }
}

TEST(Sensitivity, CleanRunsPassOverFreshSeeds) {
  const uint64_t seed = test_seed();
  RecordProperty("seed", std::to_string(seed));
  const char* wanted = std::getenv("GRETA_CLEAN_SEEDS");
  const int runs = wanted ? std::atoi(wanted) : 3;
  fmt::print("GRETA_TEST_SEED={} GRETA_CLEAN_SEEDS={}\n", seed, runs);
  std::mt19937_64 random(seed);
  const std::vector<std::string> quants = {"f32", "f16", "q8_0", "q4_k_m"};
  std::map<std::string, double> worst;
  for (int i = 0; i < runs; ++i) {
    const uint64_t model_seed = random();
    const auto& quant = quants[random() % quants.size()];
    SCOPED_TRACE(fmt::format("run {}: {} seed {}", i, quant, model_seed));
    const RunFolder folder({.preset = "tiny", .quant = quant, .seed = model_seed});
    // The first prompt is long enough for prefill to take the matrix route, so that parity has two
    // different roundings to compare; the others are of any length, one token among them.
    const int tokens = i == 0 ? 12 : 1 + static_cast<int>(random() % 12);
    auto suite = small_suite(random_tokens(random, tokens, 100), true);
    suite.seed = random() >> 1;
    const auto result = run(suite, folder.options());
    EXPECT_EQ(result.status, Status::pass) << result.interrupted;
    for (const auto& finding : result.findings) {
      EXPECT_EQ(finding.status, Status::pass) << finding.key() << ": " << finding.message;
      double& most = worst[finding.probe + (finding.mode.empty() ? "" : " " + finding.mode)];
      most = std::max(most, finding.metrics.bound_ratio);
    }
  }
  fmt::print("{} clean runs, worst ratio of error to bound:", runs);
  for (const auto& [probe, ratio] : worst) fmt::print("  {} {:.3f}", probe, ratio);
  fmt::print("\n");
  // Bounds that nothing comes near are idle.
  EXPECT_GT(worst["stage_parity local"], 0.01);
  EXPECT_GT(worst["stage_parity chained"], 0.01);
  EXPECT_GT(worst["phase_parity"], 0.01);
}

}  // namespace
}  // namespace greta::suites
