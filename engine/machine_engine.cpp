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

namespace greta::engine::inline GRETA_MACHINE {
namespace {

using kernels::hip_check;

struct State {
  Machine machine;  // first: what follows lies on it
  std::string model_digest;
  Config config;
  Settings settings;
  kernels::Stream stream;
  Weights weights;
  Floats frequencies;
  Cache cache;
  Workspace workspace;
  std::unique_ptr<Launcher> launcher;

  State(const GgufFile& file, const Settings& given)
      : machine(given),
        model_digest(file.digest()),
        config(read_config(file)),
        settings(given),
        weights(file, config),
        frequencies(upload(rope_frequencies(config, file))) {
    if (settings.context <= 0) settings.context = static_cast<int>(config.context);
    const auto floats = static_cast<size_t>(settings.context * config.kv_heads * config.head_dim);
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      cache.keys.emplace_back(floats);
      cache.values.emplace_back(floats);
    }
    plant(file);
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
      launcher = std::make_unique<Launcher>(stream.get());
      return;
    }
    Config other = config;
    other.rope_base = 10000;
    launcher = std::make_unique<FaultyLauncher>(stream.get(), std::move(faults), config, weights, cache,
                                                rope_frequencies(other, file), settings.on_strike);
  }

  static Floats upload(const std::vector<float>& values) {
    Floats buffer(values.size());
    hip_check(hipMemcpy(buffer.data(), values.data(), values.size() * sizeof(float), hipMemcpyHostToDevice),
              "hipMemcpy of RoPE frequencies");
    return buffer;
  }

  void use_machine() const { machine.use(launcher->awaits_logits()); }

  auto drain() const {
    return [this] { (void)hipStreamSynchronize(stream.get()); };
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

// Runs `work`; when the device fails, `drain` waits for what is still in flight before the frame that it uses
// goes.
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
  void tap_weights(const TapSink& sink) override;

 private:
  std::unique_ptr<State> state_;
};

void MachineEngine::reset() {
  state_->cache.length = 0;
  // A row that nobody wrote must not look like one of the last prompt's.
  for (auto* buffers : {&state_->cache.keys, &state_->cache.values})
    for (Floats& buffer : *buffers)
      hip_check(hipMemsetAsync(buffer.data(), 0xFF, buffer.size() * sizeof(float), state_->stream.get()),
                "hipMemsetAsync");
  hip_check(hipStreamSynchronize(state_->stream.get()), "hipStreamSynchronize");
}

ForwardResult MachineEngine::forward(std::span<const int32_t> tokens, LogitRows rows, const Taps& taps,
                                     const TapSink& sink) {
  State& s = *state_;
  s.check(tokens);
  s.use_machine();
  TapDelivery delivery(s.stream.get(), sink);
  ForwardResult result;
  result.last_logits.resize(static_cast<size_t>(s.config.vocabulary));
  std::optional<std::vector<float>> early;  // what a caller that does not wait would find
  std::optional<ForwardPass> pass;          // outlives the copies that its enqueue() starts
  on_device("the engine failed", s.drain(), [&] {
    pass.emplace(s.config, s.settings, s.weights, s.frequencies, s.cache, s.workspace, s.stream.get(),
                 *s.launcher, taps, delivery, tokens, rows);
    pass->enqueue();
    const float* last = s.workspace.logits.data() + pass->last_row() * s.config.vocabulary;
    hip_check(hipMemcpyAsync(result.last_logits.data(), last, result.last_logits.size() * sizeof(float),
                             hipMemcpyDeviceToHost, s.stream.get()),
              "hipMemcpyAsync of logits");
    hip_check(hipMemcpyAsync(&result.top1, s.workspace.top1.data(), sizeof(int32_t), hipMemcpyDeviceToHost,
                             s.stream.get()),
              "hipMemcpyAsync of top-1");
    if (!s.launcher->awaits_logits()) early = result.last_logits;
    hip_check(hipStreamSynchronize(s.stream.get()), "forward pass");
  });
  delivery.rethrow();
  if (early) result.last_logits = std::move(*early);
  s.cache.length += static_cast<int>(tokens.size());
  return result;
}

void MachineEngine::tap_weights(const TapSink& sink) {
  State& s = *state_;
  s.use_machine();
  TapDelivery delivery(s.stream.get(), sink);
  on_device("the engine failed", s.drain(), [&] {
    for (const auto& weight : s.weights.all()) {
      const int64_t rows = weight->view.rows, columns = weight->view.columns;
      Floats out(static_cast<size_t>(rows * columns));
      const kernels::Attested ran = kernels::dequant(s.stream.get(), weight->view, out.data());
      TapRecord record;
      record.weight = weight->name;
      record.kernel = ran.kernel;
      record.contract = ran.contract;
      delivery.send(std::move(record), {rows, columns}, out.data());
      hip_check(hipStreamSynchronize(s.stream.get()), "dequantisation");
    }
  });
  delivery.rethrow();
}

}  // namespace

std::unique_ptr<OnMachine> make(const GgufFile& model, const Settings& settings) {
  return std::make_unique<MachineEngine>(model, settings);
}

}  // namespace greta::engine::inline GRETA_MACHINE
