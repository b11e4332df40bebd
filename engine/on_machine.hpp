// The engine on one machine. Everything that launches kernels (machine_engine.cpp, forward, launcher, tap,
// weights, routes, faults/) is compiled once for each machine of the build, in an inline namespace of the
// machine's name (kernels/hip/hip.hpp): always for the host, and for one kind of card where there is a
// toolchain for it. This is what they have in common.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/compare_on_device.hpp"
#include "engine/engine.hpp"

namespace greta::engine {

class OnMachine {
 public:
  virtual ~OnMachine() = default;
  virtual void reset() = 0;
  virtual int position() const = 0;
  virtual int context() const = 0;
  virtual std::string device() const = 0;
  virtual std::string backend() const = 0;
  virtual std::string model_digest() const = 0;
  virtual ForwardResult forward(std::span<const int32_t> tokens, LogitRows rows, const Taps& taps,
                                const TapSink& sink) = 0;
  virtual int64_t decode_weight_bytes() const = 0;
  virtual double copy_rate() = 0;
  virtual void tap_weights(const TapSink& sink) = 0;
};

inline namespace on_host {
std::unique_ptr<OnMachine> make(const GgufFile&, const Settings&);
std::unique_ptr<ComparingDevice> make_comparing(const Settings&);
}  // namespace on_host

// On the card that settings.device names. Error (usage): not "hip" or "hip:N"; (bad_input): this build is for
// the host alone, or there is no such card, with what to do.
std::unique_ptr<OnMachine> on_card(const GgufFile&, const Settings&);
std::unique_ptr<ComparingDevice> comparing_on_card(const Settings&);

// For `greta doctor`: what cards this build can use, and which it finds.
struct Cards {
  std::string backend;             // "nvidia", "amd"; empty: built for the host alone
  std::vector<std::string> names;  // hip:0, hip:1, …
  std::string trouble;             // why there is none, and what to do
};
Cards cards();

}  // namespace greta::engine
