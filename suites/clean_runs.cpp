#include "suites/clean_runs.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <random>

#include "datasets/synthesise.hpp"
#include "suites/interrupt.hpp"
#include "suites/runner.hpp"

namespace greta::suites {
namespace {

using probes::Status;

// One draw: everything that a run depends on, from one number.
class Draw {
 public:
  explicit Draw(uint64_t seed) : seed_(seed), random_(seed) {
    quant_ = pick<std::string>({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m", "q6_k"});
    // Rows of whole blocks: 256 values in the K types, 32 in the others.
    const bool k_type = quant_ == "q4_k_m" || quant_ == "q6_k";
    model_.quant = quant_;
    model_.seed = random_() >> 1;
    model_.layers = pick<int64_t>({1, 2, 3});
    const auto heads = pick<std::pair<int64_t, int64_t>>({{4, 4}, {8, 2}, {8, 1}, {8, 8}, {4, 2}});
    model_.heads = heads.first;
    model_.kv_heads = heads.second;
    model_.embedding = k_type ? 256 : pick<int64_t>({64, 96, 128, 160, 256});
    model_.feed_forward = k_type ? pick<int64_t>({256, 512}) : pick<int64_t>({96, 160, 224, 352});
    model_.vocabulary = pick<int64_t>({263, 300, 411, 517});
    model_.context = pick<int64_t>({24, 48, 96});
    model_.rope_base = pick<float>({10000.0f, 500000.0f});
    model_.eps = pick<float>({1e-5f, 1e-6f});
    model_.tied = chance();
    model_.rope_factors = chance();
    tokens_ = 1 + static_cast<int>(random_() % static_cast<uint64_t>(*model_.context));
    if (tokens_ > 30 && !chance()) tokens_ %= 30, tokens_ += 1;
  }

  const SynthesisOptions& model() const { return model_; }

  Suite suite() {
    Suite suite;
    suite.path = suite.title = "clean";
    suite.seed = random_() >> 1;
    std::string prompt = "tokens:";
    for (int i = 0; i < tokens_; ++i)
      prompt += (i ? "," : "") + std::to_string(random_() % static_cast<uint64_t>(*model_.vocabulary));
    suite.prompts = {prompt};
    suite.phases = {"prefill", "prefill_last", "decode0"};
    suite.phases_if_room = {"decode1"};
    arm_ = {.name = "clean",
            .unit = pick<std::string>({"auto", "valu", "mfma"}),
            .shape = pick<std::string>({"auto", "gemm", "gemv"})};
    suite.arms = {arm_};
    suite.probes = {{.use = "stage_parity", .options = {{"mode", "local"}}},
                    {.use = "stage_parity", .options = {{"mode", "chained"}}},
                    {.use = "phase_parity"},
                    {.use = "top1_coherence"},
                    {.use = "finite"},
                    {.use = "determinism"},
                    {.use = "tap_neutrality"}};
    return suite;
  }

  RunOptions options(const std::string& model_path, const std::string& out_dir) {
    RunOptions options{
        .model_path = model_path, .out_dir = out_dir, .command_line = "greta selftest --clean"};
    options.wave = chance() ? 64 : 32;
    options.order_seed = chance() ? std::optional<uint64_t>(random_() >> 1) : std::nullopt;
    options.keep_trace = false;
    return options;
  }

  std::string text() const {
    return fmt::format(
        "draw {}: {} layers {} D {} heads {}:{} F {} V {} context {}, {} tokens, unit {} shape {}", seed_,
        quant_, *model_.layers, *model_.embedding, *model_.heads, *model_.kv_heads, *model_.feed_forward,
        *model_.vocabulary, *model_.context, tokens_, arm_.unit, arm_.shape);
  }

 private:
  template <typename T>
  T pick(std::vector<T> from) {
    return from[random_() % from.size()];
  }
  bool chance() { return random_() % 2 == 0; }

  uint64_t seed_;
  std::mt19937_64 random_;
  std::string quant_;
  SynthesisOptions model_;
  Arm arm_;
  int tokens_ = 1;
};

std::string first_trouble(const reports::RunResult& run) {
  for (const auto& finding : run.findings)
    if (finding.status != Status::pass) return finding.key() + ": " + finding.message.text();
  const auto reasons = reports::invalid_reasons(run);
  return reasons.empty() ? "no finding says why" : reasons.front().text();
}

}  // namespace

void run_clean(const SelftestOptions& options, reports::SelftestResult& result,
               const std::function<void(const std::string&)>& tell) {
  std::mt19937_64 random(options.seed);
  const std::string model = options.scratch_dir + "/clean.gguf";
  for (int i = 0; i < options.clean; ++i) {
    InterruptGuard::check();
    Draw draw(random());
    synthesise(draw.model(), model);
    Suite suite = draw.suite();
    for (auto& arm : suite.arms)
      for (const auto& [setting, value] : options.engine) arm.set(setting, value);
    RunOptions how = draw.options(model, options.scratch_dir);
    how.devices = {options.device};
    const auto run = suites::run(suite, how);
    if (!run.interrupted.empty() && run.findings.empty())
      fail_internal("{}: {}", draw.text(), run.interrupted.text());
    if (result.created.empty()) result.identify(run.identity);
    ++result.clean_runs;
    result.clean_fail += run.status == Status::fail;
    result.clean_invalid += run.status == Status::invalid;
    if (run.status != Status::pass)
      result.false_alarms.push_back(
          fmt::format("{}: {}: {}", draw.text(), probes::name_of(run.status), first_trouble(run)));
    if ((i + 1) % 10 == 0)
      tell(fmt::format("{:>3} of {} clean runs, {} false alarms", i + 1, options.clean,
                       result.false_alarms.size()));
  }
  std::error_code ignored;
  std::filesystem::remove(model, ignored);
}

}  // namespace greta::suites
