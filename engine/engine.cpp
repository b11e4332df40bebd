#include "engine/engine.hpp"

#include "datasets/error.hpp"
#include "engine/on_machine.hpp"

namespace greta::engine {

Engine::Engine(const GgufFile& model, const Settings& settings)
    : machine_(settings.device == "host" ? on_host::make(model, settings) : on_card(model, settings)) {}

Engine::~Engine() = default;

std::unique_ptr<ComparingDevice> make_comparing_device(const Settings& settings) {
  return settings.device == "host" ? on_host::make_comparing(settings) : comparing_on_card(settings);
}

void Engine::reset() { machine_->reset(); }
int Engine::position() const { return machine_->position(); }
int Engine::context() const { return machine_->context(); }
std::string Engine::device() const { return machine_->device(); }
std::string Engine::backend() const { return machine_->backend(); }
std::string Engine::model_digest() const { return machine_->model_digest(); }

ForwardResult Engine::forward(std::span<const int32_t> tokens, LogitRows rows, const Taps& taps,
                              const TapSink& sink) {
  return machine_->forward(tokens, rows, taps, sink);
}

int64_t Engine::decode_weight_bytes() const { return machine_->decode_weight_bytes(); }
double Engine::copy_rate() { return machine_->copy_rate(); }

void Engine::tap_weights(const TapSink& sink) { machine_->tap_weights(sink); }

}  // namespace greta::engine
