// Chained mode and local mode on the default model: 205 tokens of prefill.
#include <benchmark/benchmark.h>

#include "reference/test_model.hpp"

namespace greta::reference {
namespace {

Contract contract(Stage stage, bool half) {
  const std::string type = half ? "f16" : "f32";
  const std::string dot = " x=" + type + " w=" + type + " acc=f32 chain=40 out=f32 unit=ieee";
  switch (stage) {
    case Stage::embed:
      return Contract::parse("op=embed w=f32");
    case Stage::attn_norm:
    case Stage::ffn_norm:
    case Stage::final_norm:
      return Contract::parse("op=rmsnorm chain=10 sqrt=2");
    case Stage::q_rope:
    case Stage::k_rope:
      return Contract::parse("op=rope freq=f64 trig=2");
    case Stage::k_cache:
    case Stage::v_cache:
    case Stage::attn_out:
      return Contract::parse("op=copy");
    case Stage::qk:
      return Contract::parse("op=qk" + dot);
    case Stage::softmax:
      return Contract::parse("op=softmax chain=10 exp=2 div=1");
    case Stage::pv:
      return Contract::parse("op=pv" + dot);
    case Stage::attn_residual:
    case Stage::ffn_residual:
      return Contract::parse("op=add");
    case Stage::ffn_act:
      return Contract::parse("op=swiglu exp=2 div=1");
    default:
      return Contract::parse("op=matmul" + dot);
  }
}

void chained_prefill(benchmark::State& state) {
  const TestModel model({.preset = "mini", .quant = "q4_k_m"});
  Call call{.tokens = {}, .start = 0};
  for (int i = 0; i < 205; ++i) call.tokens.push_back(i % static_cast<int>(model->config().vocabulary));
  const bool half = state.range(0) != 0;
  const std::vector<ChainCall> calls = {{call, [half](Stage stage, int) { return contract(stage, half); }}};
  for (auto _ : state)
    chained(*model, calls, {.reruns = 12}, [](int, Stage, int, const Matrix& value, const Matrix&) {
      benchmark::DoNotOptimize(value.data());
    });
}
BENCHMARK(chained_prefill)
    ->ArgName("f16")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime();

}  // namespace
}  // namespace greta::reference
