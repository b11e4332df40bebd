// What the harness spends on a layer of the Llama-3-8B shape, Q4_K_M, beside the engine: stage_parity in
// local mode over a prefill of 200 tokens (f16 through hopper's matrix unit), over a decode step (f32, lanes)
// and over the weights. No engine runs: its tensors are the reference's own, rounded to f32, so every verdict
// is PASS. `share`: processor time over wall time and threads; `GFLOP/s`: of the one product that the values
// need.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <tbb/global_control.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <numeric>

#include "datasets/error.hpp"
#include "datasets/synthesise.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

constexpr int64_t kTokens = 200;

std::string made_model() {
  const auto path =
      std::filesystem::temp_directory_path() / fmt::format("greta_stage_parity_bench_{}.gguf", getpid());
  SynthesisOptions options{.preset = "llama3-8b", .quant = "q4_k_m"};
  options.layers = 2;
  options.vocabulary = 2048;
  synthesise(options, path);
  return path;
}

// As the card attests it.
std::string contract_of(Stage stage, bool decode, const StageSizes& z) {
  const auto product = [&](const char* op, int64_t terms) {
    return decode ? fmt::format("op={} x=f32 w=f32 acc=f32 chain={} out=f32 unit=ieee", op, terms / 32 + 5)
                  : fmt::format("op={} x=f16 w=f16 acc=f32 chain={} out=f32 unit=hopper", op,
                                (terms + 15) / 16 * 16);
  };
  switch (stage) {
    case Stage::embed:
      return "op=embed w=f32";
    case Stage::attn_norm:
    case Stage::ffn_norm:
    case Stage::final_norm:
      return "op=rmsnorm chain=24 sqrt=2";
    case Stage::q_rope:
    case Stage::k_rope:
      return "op=rope freq=f64 trig=2";
    case Stage::k_cache:
    case Stage::v_cache:
    case Stage::attn_out:
      return "op=copy";
    case Stage::qk:
      return product("qk", z.Dh);
    case Stage::softmax:
      return "op=softmax chain=16 exp=2 div=1";
    case Stage::pv:
      return product("pv", z.T);
    case Stage::attn_residual:
    case Stage::ffn_residual:
      return "op=add";
    case Stage::ffn_act:
      return "op=swiglu exp=2 div=1";
    case Stage::ffn_down:
      return product("matmul", z.F);
    default:
      return product("matmul", z.D);
  }
}

class Scene {
 public:
  Scene() : path_(made_model()), file_(GgufFile::open(path_)), model_(file_) {
    std::filesystem::remove(path_);  // it stays mapped
    evidence_.prompt = "random";
    evidence_.arm = "auto";
    evidence_.model = &model_;
    std::vector<int32_t> tokens(kTokens);
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 97 % 2048);
    const auto before = std::span(tokens).first(kTokens - 1);
    fill(add("prefill", tokens, 0, nullptr));
    Phase& filled = fill(add("fill_prefill", {before.begin(), before.end()}, 0, nullptr));
    fill(add("decode0", {tokens.back()}, kTokens - 1, &filled));
  }

  const reference::Model& model() const { return model_; }
  const GgufFile& file() const { return file_; }

  // Every stage of a layer; the number that did not pass.
  int64_t check(const std::string& phase, int layer) const {
    std::vector<Stage> judged;
    for (const auto& row : stages())
      if (row.per_layer) judged.push_back(row.stage);
    Judge judge("stage_parity", "local", "random", "auto");
    probe_->check_layer({evidence_, evidence_.phase(phase), layer, judged}, judge);
    return failed(judge);
  }

  int64_t check_weight(const std::string& name, const Tap& tap) const {
    Judge judge("stage_parity", "local", "weights", "auto");
    probe_->check_weight({model_, name, &tap}, judge);
    return failed(judge);
  }

 private:
  static int64_t failed(Judge& judge) {
    const auto found = judge.take();
    return std::count_if(found.begin(), found.end(), [](const auto& f) { return f.status != Status::pass; });
  }

  Phase& add(const std::string& name, std::vector<int32_t> tokens, int start, const Phase* before) {
    const auto S = static_cast<int64_t>(tokens.size());
    Phase& phase = evidence_.add(name, {std::move(tokens), start}, model_.config().sizes(S, start + S));
    if (before) phase.before.push_back(before);
    return phase;
  }

  Phase& fill(Phase& phase) {
    for (const auto& row : stages())
      if (row.stage == Stage::embed) put(phase, -1, row.stage);
    for (int layer = 0; layer < model_.config().layers; ++layer)
      for (const auto& row : stages())
        if (row.per_layer) put(phase, layer, row.stage);
    return phase;
  }

  void put(Phase& phase, int layer, Stage stage) {
    Tap tap;
    tap.contract = contract_of(stage, phase.call.S() == 1, phase.sizes);
    tap.kernel = "the reference itself";
    const auto bounded = reference::local(
        model_, stage, layer, phase.call, reference::Contract::parse(tap.contract),
        [&](const reference::OperandRef& ref) { return operand(phase, model_.config(), ref); });
    const auto shape = shape_of(stage, phase.sizes);
    Tensor values(DType::f32, shape);
    std::copy_n(bounded.value.data(), bounded.value.size(), values.f32().data());
    tap.positions.resize(static_cast<size_t>(shape.front()));
    std::iota(tap.positions.begin(), tap.positions.end(), over_cache(stage) ? 0 : phase.call.start);
    tap.tensor = std::make_shared<const Tensor>(std::move(values));
    phase.put(layer, stage, std::move(tap));
  }

  const std::string path_;
  const GgufFile file_;
  const reference::Model model_;
  const std::unique_ptr<AnyProbe> probe_ =
      find_probe("stage_parity").make(complete_options(find_probe("stage_parity"), {}));
  Evidence evidence_;
};

const Scene& scene() {
  static const Scene made;
  return made;
}

double processor_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Runs `check` until it says that something failed.
template <typename Check>
void measure(benchmark::State& state, double products, const Check& check) {
  const tbb::global_control threads(tbb::global_control::max_allowed_parallelism,
                                    static_cast<size_t>(state.range(0)));
  scene();
  const double before = processor_seconds();
  double wall = 0;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    if (check() > 0) state.SkipWithError("a verdict is not PASS");
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    wall += seconds;
    state.SetIterationTime(seconds);
  }
  state.counters["share"] = (processor_seconds() - before) / wall / static_cast<double>(state.range(0));
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * products, benchmark::Counter::kIsIterationInvariantRate);
}

double layer_weights() {
  double sum = 0;
  for (const auto& tensor : scene().file().tensors())
    if (tensor.name.starts_with("blk.0.")) sum += static_cast<double>(tensor.rows() * tensor.columns());
  return sum;
}

void prefill_layer(benchmark::State& state) {
  int layer = 0;
  measure(state, kTokens * layer_weights(), [&] { return scene().check("prefill", layer ^= 1); });
}

void decode_layer(benchmark::State& state) {
  int layer = 0;
  measure(state, layer_weights(), [&] { return scene().check("decode0", layer ^= 1); });
}

void weights_of_a_layer(benchmark::State& state) {
  std::vector<std::pair<std::string, Tap>> delivered;
  for (const auto& tensor : scene().file().tensors()) {
    if (!tensor.name.starts_with("blk.0.")) continue;
    Tap tap;
    tap.contract = "op=dequant w=f32";
    Tensor values(DType::f32, {tensor.rows(), tensor.columns()});
    std::vector<double> row(static_cast<size_t>(tensor.columns()));
    for (int64_t i = 0; i < tensor.rows(); ++i) {
      scene().model().weight_row(tensor.name, i, row);
      std::copy(row.begin(), row.end(), values.f32().data() + i * tensor.columns());
    }
    tap.tensor = std::make_shared<const Tensor>(std::move(values));
    delivered.emplace_back(tensor.name, std::move(tap));
  }
  measure(state, 0, [&] {
    int64_t failed = 0;
    for (const auto& [name, tap] : delivered) failed += scene().check_weight(name, tap);
    return failed;
  });
}

void threads(benchmark::internal::Benchmark* bench) {
  const auto cores = static_cast<int64_t>(sysconf(_SC_NPROCESSORS_ONLN));
  bench->ArgName("threads")->Arg(1);
  if (cores > 1) bench->Arg(cores);
  bench->UseManualTime()->Unit(benchmark::kMillisecond);
}
BENCHMARK(prefill_layer)->Apply(threads)->Iterations(2);
BENCHMARK(decode_layer)->Apply(threads)->Iterations(4);
BENCHMARK(weights_of_a_layer)->Apply(threads)->Iterations(2);

}  // namespace
}  // namespace greta::probes
