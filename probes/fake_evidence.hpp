// For the probes' tests: evidence made by hand, phase by phase, with values that no transpose or off-by-one
// leaves as they are.
#pragma once

#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "datasets/test_seed.hpp"
#include "probes/probe.hpp"

namespace greta::probes {

inline constexpr StageSizes kSmall = {.S = 3, .T = 3, .D = 8, .H = 4, .Hkv = 2, .Dh = 2, .F = 12, .V = 11};

inline std::vector<float> random_values(size_t count, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> out(count);
  for (float& x : out) x = normal(random);
  return out;
}

inline int64_t elements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

// A tap of the right shape and positions for its phase.
inline Tap tap_of(const Phase& phase, Stage stage, const std::vector<float>& values,
                  const std::string& contract = "op=add") {
  Tap tap;
  tap.tensor = std::make_shared<const Tensor>(Tensor::from_f32(shape_of(stage, phase.sizes), values));
  tap.positions.resize(static_cast<size_t>(over_cache(stage) ? phase.sizes.T : phase.sizes.S));
  std::iota(tap.positions.begin(), tap.positions.end(), over_cache(stage) ? 0 : phase.call.start);
  tap.kernel = "fake";
  tap.contract = contract;
  return tap;
}

// What one hook of a registered probe says.
class ProbeRun {
 public:
  explicit ProbeRun(const std::string& name, const std::map<std::string, std::string>& options = {})
      : entry_(find_probe(name)),
        options_(complete_options(entry_, options)),
        probe_(entry_.make(options_)) {}

  std::vector<Finding> layer(const Evidence& evidence, const Phase& phase, int layer,
                             std::vector<Stage> stages) {
    Judge judge(entry_.name, "", evidence.prompt, evidence.arm);
    probe_->check_layer({evidence, phase, layer, std::move(stages)}, judge);
    return judge.take();
  }
  std::vector<Finding> whole_case(const Evidence& evidence, std::vector<Place> places) {
    Judge judge(entry_.name, "", evidence.prompt, evidence.arm);
    probe_->check_case({evidence, std::move(places)}, judge);
    return judge.take();
  }
  std::vector<Finding> chained(const Evidence& evidence, const Phase& phase, const Place& place,
                               std::span<const double> value, std::span<const double> envelope) {
    Judge judge(entry_.name, "", evidence.prompt, evidence.arm);
    probe_->check_chained({evidence, phase, place, value, envelope}, judge);
    return judge.take();
  }
  std::vector<Finding> weight(const reference::Model& model, const std::string& name, const Tap* tap) {
    Judge judge(entry_.name, "", "weights", "auto");
    probe_->check_weight({model, name, tap}, judge);
    return judge.take();
  }

 private:
  const ProbeEntry& entry_;
  Options options_;
  std::unique_ptr<AnyProbe> probe_;
};

inline Finding only(const std::vector<Finding>& findings) {
  EXPECT_EQ(findings.size(), 1u);
  return findings.empty() ? Finding{} : findings.front();
}

}  // namespace greta::probes
