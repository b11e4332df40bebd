// The engine as the runner sees it, so that tests can put one that loses, moves or delays a tensor in its
// place.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "engine/engine.hpp"
#include "suites/suite.hpp"

namespace greta::suites {

class EnginePort {
 public:
  virtual ~EnginePort() = default;
  virtual void reset() = 0;
  virtual engine::ForwardResult forward(std::span<const int32_t> tokens, engine::LogitRows rows,
                                        const engine::Taps& taps, const engine::TapSink& sink) = 0;
  virtual void tap_weights(const engine::TapSink& sink) = 0;
  virtual std::string device() const = 0;
  virtual std::string backend() const = 0;
  virtual std::string model_digest() const = 0;  // of the file that the engine runs
};

// Makes an engine on a model that is already open.
using MakeEngine = std::function<std::unique_ptr<EnginePort>(const GgufFile&, const engine::Settings&)>;
std::unique_ptr<EnginePort> make_engine(const GgufFile& model, const engine::Settings& settings);

}  // namespace greta::suites
