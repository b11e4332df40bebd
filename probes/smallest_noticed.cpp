#include "probes/smallest_noticed.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace greta::probes {
namespace {

// Puts another tensor in a tap's place while it lives.
class Swapped {
 public:
  Swapped(Phase& phase, int layer, Stage stage, Tap other)
      : phase_(phase), layer_(layer), stage_(stage), original_(phase.tap(layer, stage)) {
    put(std::move(other));
  }
  ~Swapped() { put(original_); }
  Swapped(const Swapped&) = delete;

 private:
  void put(Tap tap) {
    phase_.forget(layer_, std::span(&stage_, 1), Run::first);
    phase_.put(layer_, stage_, std::move(tap));
  }
  Phase& phase_;
  const int layer_;
  const Stage stage_;
  const Tap original_;
};

size_t any_movable(const reference::Bounded& reference, const Place& place, std::mt19937_64& random) {
  std::vector<size_t> movable;
  for (Eigen::Index i = 0; i < reference.value.size(); ++i) {
    const double value = reference.value.data()[i];
    if (std::isfinite(value) && !(place.stage == Stage::softmax && value == 0))
      movable.push_back(static_cast<size_t>(i));
  }
  if (movable.empty()) throw Missing(say("{} has no element with a bound", place.text()));
  return movable[random() % movable.size()];
}

double rms_of(std::span<const float> values) {
  double squares = 0, count = 0;
  for (const float x : values)
    if (std::isfinite(x)) {
      squares += static_cast<double>(x) * x;
      ++count;
    }
  return std::sqrt(squares / count);
}

}  // namespace

float moved(float x, double change, double sign) {
  float out = static_cast<float>(x + sign * change);
  const float far = static_cast<float>(sign) * std::numeric_limits<float>::infinity();
  while (!(std::fabs(static_cast<double>(out) - x) >= change) || out == x) out = std::nextafter(out, far);
  return out;
}

Finding judged_with(const Evidence& evidence, Phase& phase, int layer, Stage stage, size_t at, float value) {
  Tap changed = phase.tap(layer, stage);
  Tensor copy = Tensor::from_f32(changed.tensor->shape(), changed.f32());
  copy.f32()[at] = value;
  changed.tensor = std::make_shared<const Tensor>(std::move(copy));
  const Swapped swapped(phase, layer, stage, std::move(changed));
  Judge judge("stage_parity", "local", evidence.prompt, evidence.arm);
  find_probe("stage_parity").make({{"mode", "local"}})->check_layer({evidence, phase, layer, {stage}}, judge);
  return judge.take().front();
}

Smallest smallest_noticed(const Evidence& evidence, Phase& phase, int layer, Stage stage,
                          std::mt19937_64& random, int steps) {
  Smallest out{.place = {phase.name, layer, stage}};
  const LayerView view{evidence, phase, layer, {stage}};
  const auto& reference = view.local(stage);
  const auto values = phase.tap(layer, stage).tensor;  // kept: the tap is swapped below
  const size_t at = any_movable(reference, out.place, random);
  const float x = values->f32()[at];
  const double sign = random() % 2 ? 1 : -1;
  out.at = static_cast<int64_t>(at);
  out.bound = reference.expected.data()[at];
  out.rms = rms_of(values->f32());

  const auto status = [&](float value) {
    const auto finding = judged_with(evidence, phase, layer, stage, at, value);
    if (finding.status == Status::invalid) throw Missing(finding.message);
    return finding.status;
  };
  const auto distance = [x](float value) { return std::fabs(static_cast<double>(value) - x); };
  if (status(x) != Status::pass) throw Missing(say("{} fails without any change", out.place.text()));
  float low = x, high = moved(x, 2 * out.bound, sign);
  for (int doublings = 0; status(high) == Status::pass; ++doublings) {
    if (doublings == 20 || !std::isfinite(high)) {
      out.change = std::numeric_limits<double>::infinity();
      return out;
    }
    low = high;
    high = moved(x, 2 * distance(high), sign);
  }
  for (int step = 0; step < steps; ++step) {
    const float middle = static_cast<float>(0.5 * (static_cast<double>(low) + high));
    if (middle == low || middle == high) break;  // neighbours
    (status(middle) == Status::fail ? high : low) = middle;
  }
  out.change = distance(high);
  return out;
}

}  // namespace greta::probes
