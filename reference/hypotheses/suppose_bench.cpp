// All hypotheses of a stage, one after another, on `mini` with a prompt of 205 tokens.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <filesystem>
#include <random>

#include "datasets/synthesise.hpp"
#include "reference/hypothesis.hpp"

namespace greta::reference {
namespace {

void suppose_all(benchmark::State& state, Stage stage) {
  const auto path =
      std::filesystem::temp_directory_path() / ("greta_suppose_bench_" + std::to_string(getpid()) + ".gguf");
  synthesise({.preset = "mini", .quant = "q4_k_m"}, path);
  const Model model(GgufFile::open(path));
  std::filesystem::remove(path);

  const Call call{.tokens = std::vector<int32_t>(205, 7), .start = 0};
  const auto contract = Contract::parse("op=matmul x=f16 w=f16 acc=f32 chain=20 out=f32 unit=ieee");
  std::mt19937_64 random(1);
  std::normal_distribution<double> deviate;
  const auto normal = [&](int64_t rows, int64_t columns) -> Matrix {
    return Matrix::NullaryExpr(rows, columns, [&] { return double{static_cast<float>(deviate(random))}; });
  };
  const auto& config = model.config();
  const Matrix x = normal(205, stage == Stage::ffn_down ? config.feed_forward : config.embedding);
  const Fetch fetch = [&](const OperandRef&) { return x; };
  const int layer = info(stage).per_layer ? 1 : -1;
  const Matrix output = local(model, stage, layer, call, contract, fetch).value;

  const auto causes = hypotheses_for(stage);
  int64_t supposed = 0;
  for (auto _ : state) {
    for (const auto* cause : causes) {
      const auto bounded =
          suppose({model, stage, layer, call, contract, fetch, output}, std::array<const Cause*, 1>{cause});
      supposed += bounded.has_value();
    }
  }
  state.SetItemsProcessed(supposed);
}

BENCHMARK_CAPTURE(suppose_all, q, Stage::q)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(suppose_all, ffn_gate, Stage::ffn_gate)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(suppose_all, ffn_down, Stage::ffn_down)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(suppose_all, logits, Stage::logits)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace greta::reference
