#include "suites/engine_port.hpp"

namespace greta::suites {
namespace {

class RealEngine final : public EnginePort {
 public:
  RealEngine(const GgufFile& model, const engine::Settings& settings) : engine_(model, settings) {}
  void reset() override { engine_.reset(); }
  engine::ForwardResult forward(std::span<const int32_t> tokens, engine::LogitRows rows,
                                const engine::Taps& taps, const engine::TapSink& sink) override {
    return engine_.forward(tokens, rows, taps, sink);
  }
  void tap_weights(const engine::TapSink& sink) override { engine_.tap_weights(sink); }
  std::string device() const override { return engine_.device(); }
  std::string backend() const override { return engine_.backend(); }
  std::string model_digest() const override { return engine_.model_digest(); }

 private:
  engine::Engine engine_;
};

}  // namespace

std::unique_ptr<EnginePort> make_engine(const GgufFile& model, const engine::Settings& settings) {
  return std::make_unique<RealEngine>(model, settings);
}

}  // namespace greta::suites
