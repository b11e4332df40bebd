// The engine on the machine that this file is compiled for.
#include "engine/engine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/error.hpp"
#include "engine/faults/faulty_launcher.hpp"
#include "engine/faults/weight_faults.hpp"
#include "engine/forward.hpp"
#include "engine/machine.hpp"
#include "engine/on_machine.hpp"
#include "kernels/hip/graph.hpp"

namespace greta::engine::inline GRETA_MACHINE {
namespace {

using kernels::hip_check;

struct State {
  Machine machine;  // first: what follows lies on it
  std::string model_digest;
  Config config;
  Settings settings;
  Modes modes;
  kernels::Stream stream;
  Weights weights;
  Floats frequencies;
  Cache cache;
  Workspace workspace;
  std::unique_ptr<Launcher> launcher;
  kernels::PinnedBuffer<float> logits;  // of the last row
  kernels::Event begun, done;  // of a pass's kernels
  kernels::Graph graph;        // of one row without taps
  int64_t graph_capacity = 0;
  const float* last_logits = nullptr;  // where the last pass, or the graph, leaves them
  int graph_growths = 0;
  TapDelivery delivery;  // last: its thread uses what stands above

  State(const GgufFile& file, const Settings& given)
      : machine(given),
        model_digest(file.digest()),
        config(read_config(file)),
        settings(given),
        modes(resolve(given, config)),
        weights(file, config),
        frequencies(upload(rope_frequencies(config, file))),
        logits(static_cast<size_t>(config.vocabulary)),
        delivery(machine, stream.get()) {
    if (settings.context <= 0) settings.context = static_cast<int>(config.context);
    cache.type = modes.cache;
    const auto bytes =
        static_cast<size_t>(settings.context * config.kv_heads * config.head_dim * bytes_of(cache.type));
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      cache.keys.emplace_back(bytes);
      cache.values.emplace_back(bytes);
    }
    plant(file);
  }

  PassContext context() {
    return {config, settings,  modes,        weights,   frequencies,
            cache,  workspace, stream.get(), *launcher, delivery};
  }

  void plant(const GgufFile& file) {
    std::vector<Fault> faults;
    for (const auto& text : settings.faults) faults.push_back(Fault::parse(text));
    for (const Fault& fault : faults)
      if (fault.cause->breaks_weights() && spoil_weights(weights, {&fault, 1}) == 0)
        fail_usage("fault '{}': the model has no weight that it could break", fault.text);
    for (const Fault& fault : faults)
      if (fault.is("route_flag")) settings.unit = Unit::automatic, settings.shape = Shape::automatic;
    if (faults.empty()) {
      launcher = std::make_unique<Launcher>(stream.get(), modes.tuning);
      return;
    }
    Config other = config;
    other.rope_base = 10000;
    launcher =
        std::make_unique<FaultyLauncher>(stream.get(), modes.tuning, std::move(faults), config, weights,
                                         cache, rope_frequencies(other, file), settings.on_strike);
  }

  static Floats upload(const std::vector<float>& values) {
    Floats buffer(values.size());
    hip_check(hipMemcpy(buffer.data(), values.data(), values.size() * sizeof(float), hipMemcpyHostToDevice),
              "hipMemcpy of RoPE frequencies");
    return buffer;
  }

  void use_machine() const { machine.use(launcher->awaits_logits()); }

  auto drain() {
    return [this] {
      delivery.abandon();
      (void)hipStreamSynchronize(stream.get());
    };
  }

  void check(std::span<const int32_t> tokens) const {
    if (tokens.empty()) fail_input("no tokens: a forward pass needs at least one");
    for (const int32_t token : tokens)
      if (token < 0 || token >= config.vocabulary)
        fail_input("token {} is outside the vocabulary of {}", token, config.vocabulary);
    const auto needed = static_cast<int64_t>(tokens.size()) + cache.length;
    if (needed > settings.context)
      fail_input("{} tokens do not fit the context of {}", needed, settings.context);
  }
};

// Runs `work`; when it fails, `drain` waits for what is still in flight before the frame that it uses goes.
template <typename Drain, typename Work>
void on_device(const char* what, Drain&& drain, Work&& work) {
  try {
    work();
  } catch (const kernels::HipError& error) {
    drain();
    fail_internal("{}: {}", what, error.what());
  } catch (const kernels::LaunchError& error) {
    drain();
    fail_internal("{}: {}", what, error.what());
  } catch (...) {  // a sink's
    drain();
    throw;
  }
}

class MachineEngine final : public OnMachine {
 public:
  MachineEngine(const GgufFile& model, const Settings& settings) {
    on_device(
        "the engine could not start", [] {},
        [&] {
          state_ = std::make_unique<State>(model, settings);
          reset();
        });
  }

  void reset() override;
  int position() const override { return state_->cache.length; }
  int context() const override { return state_->settings.context; }
  std::string device() const override { return state_->machine.device(); }
  std::string backend() const override { return state_->machine.backend(); }
  std::string model_digest() const override { return state_->model_digest; }
  ForwardResult forward(std::span<const int32_t> tokens, LogitRows rows, const Taps& taps,
                        const TapSink& sink) override;
  int64_t decode_weight_bytes() const override;
  double copy_rate() override;
  void tap_weights(const TapSink& sink) override;

 private:
  std::string launch(ForwardPass&, bool as_graph);
  std::unique_ptr<State> state_;
};

void MachineEngine::reset() {
  state_->use_machine();
  state_->cache.length = 0;
  // A row that nobody wrote must not look like one of the last prompt's.
  for (auto* buffers : {&state_->cache.keys, &state_->cache.values})
    for (auto& buffer : *buffers)
      hip_check(hipMemsetAsync(buffer.data(), 0xFF, buffer.bytes(), state_->stream.get()), "hipMemsetAsync");
  // Split attention's parts are zeros between its launches, but behind one that failed.
  if (auto& parts = state_->workspace.parts; parts.size() > 0)
    hip_check(hipMemsetAsync(parts.data(), 0, parts.bytes(), state_->stream.get()), "hipMemsetAsync");
  hip_check(hipStreamSynchronize(state_->stream.get()), "hipStreamSynchronize");
}

// Enqueues the pass, or launches the graph of it; says which.
std::string MachineEngine::launch(ForwardPass& pass, bool as_graph) {
  State& s = *state_;
  if (!as_graph) {
    pass.name_rows();
    pass.upload();
    s.begun.record(s.stream.get());
    pass.enqueue();
    s.last_logits = pass.last_logits();
    s.done.record(s.stream.get());
    return "launches";
  }
  const int64_t capacity = ForwardPass::capacity(s.cache.length + 1);
  pass.reserve();
  if (!s.graph || capacity != s.graph_capacity || s.graph_growths != s.workspace.growths) {
    s.graph.capture(s.stream.get(), [&] {
      pass.upload();
      pass.enqueue();
    });
    s.graph_capacity = capacity;
    s.graph_growths = s.workspace.growths;
  }
  s.last_logits = s.workspace.output(Stage::logits, s.config.vocabulary);
  pass.name_rows();
  s.begun.record(s.stream.get());
  s.graph.launch(s.stream.get());
  s.done.record(s.stream.get());
  return fmt::format("graph of {} positions", capacity);
}

ForwardResult MachineEngine::forward(std::span<const int32_t> tokens, LogitRows rows, const Taps& taps,
                                     const TapSink& sink) {
  State& s = *state_;
  s.check(tokens);
  s.use_machine();
  const bool tapped = taps.stages.any(), wants_logits = rows != LogitRows::none;
  ForwardResult result;
  std::optional<std::vector<float>> early;  // what a caller that does not wait would find
  on_device("the engine failed", s.drain(), [&] {
    const PassContext context = s.context();
    ForwardPass pass(context, taps, tokens, rows);
    if (tapped) {
      s.delivery.open(sink, pass.tapped_call());
      if (taps.proofs) s.delivery.send_pattern();
    }
    result.launched = launch(pass, s.modes.graph && !tapped && tokens.size() == 1);
    const size_t logits = wants_logits ? s.logits.size() : 0;
    // Whatever the copy's luck: a card's may be there by the time that the host looks, the next one not.
    if (!s.launcher->awaits_logits()) early.emplace(logits, 0.0f);
    if (wants_logits)
      hip_check(hipMemcpyAsync(s.logits.data(), s.last_logits, logits * sizeof(float), hipMemcpyDeviceToHost,
                               s.stream.get()),
                "hipMemcpyAsync of logits");
    hip_check(hipStreamSynchronize(s.stream.get()), "forward pass");
    if (tapped) s.delivery.close();
    result.last_logits.assign(s.logits.data(), s.logits.data() + logits);
    result.top1 = *s.workspace.top1.data();
    result.engine_seconds = s.done.seconds_since(s.begun);
  });
  if (early) result.last_logits = std::move(*early);
  s.cache.length += static_cast<int>(tokens.size());
  return result;
}

int64_t MachineEngine::decode_weight_bytes() const {
  const Weights& weights = state_->weights;
  int64_t bytes = 0;
  for (const auto& weight : weights.all()) {
    const auto size = static_cast<int64_t>(weight->storage.size());
    const bool only_looked_up = weight.get() == weights.token_embd && weights.output != weights.token_embd;
    bytes += only_looked_up ? size / weight->view.rows : size;
  }
  return bytes;
}

double MachineEngine::copy_rate() {
  State& s = *state_;
  s.use_machine();
  double rate = 0;
  on_device("the copy failed", s.drain(), [&] {
    const auto bytes = static_cast<size_t>(s.machine.large_copy_bytes());
    const kernels::DeviceBuffer<std::byte> from(bytes), to(bytes);
    hip_check(hipMemsetAsync(from.data(), 0x5A, bytes, s.stream.get()), "hipMemsetAsync");
    std::vector<double> seconds;
    for (int i = 0; i < 12; ++i) {
      s.begun.record(s.stream.get());
      hip_check(hipMemcpyAsync(to.data(), from.data(), bytes, hipMemcpyDeviceToDevice, s.stream.get()),
                "hipMemcpyAsync");
      s.done.record(s.stream.get());
      s.done.synchronize();
      if (i >= 2) seconds.push_back(s.done.seconds_since(s.begun));
    }
    std::nth_element(seconds.begin(), seconds.begin() + 5, seconds.end());
    rate = 2 * static_cast<double>(bytes) / seconds[5];
  });
  return rate;
}

void MachineEngine::tap_weights(const TapSink& sink) {
  State& s = *state_;
  s.use_machine();
  on_device("the engine failed", s.drain(), [&] {
    Floats out;
    for (const auto& weight : s.weights.all()) {
      const int64_t rows = weight->view.rows, columns = weight->view.columns;
      const auto count = static_cast<size_t>(rows * columns);
      if (out.size() < count) {
        out = {};
        out = Floats(count);
      }
      s.delivery.open(sink, {.largest = rows * columns * static_cast<int64_t>(sizeof(float))});
      s.delivery.begin(0);
      const kernels::Attested ran = kernels::dequant(s.stream.get(), weight->view, out.data());
      TapRecord record;
      record.weight = weight->name;
      record.kernel = ran.kernel;
      record.contract = ran.contract;
      s.delivery.send(std::move(record), DType::f32, {rows, columns}, out.data());
      s.delivery.end();
      s.delivery.close();
    }
    hip_check(hipStreamSynchronize(s.stream.get()), "dequantisation");
  });
}

}  // namespace

std::unique_ptr<OnMachine> make(const GgufFile& model, const Settings& settings) {
  return std::make_unique<MachineEngine>(model, settings);
}

}  // namespace greta::engine::inline GRETA_MACHINE
