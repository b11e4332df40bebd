// For tests of searches: tensors made by hand, and causes that multiply, add or spoil.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "probes/evidence.hpp"
#include "probes/trials.hpp"

namespace greta::probes {

using reference::Bounded;
using reference::Matrix;

inline constexpr double kBound = 1e-6;

// Three causes of the catalogue lend their names; what they do here is the test's.
inline const Cause* cause(int index) {
  const char* names[] = {"weight_layout=col", "head_scale=applied", "tile_store=transposed"};
  return &find_cause(names[index]);
}
inline const std::vector<const Cause*> kAll = {cause(0), cause(1), cause(2)};

// What a cause does to one tensor: to its values, or nothing that could be told (idle), or evidence that is
// not there.
struct Effect {
  std::function<double(double, Eigen::Index)> change;  // null: idle
  bool missing = false;
};
using Effects = std::map<const Cause*, Effect>;

class Made {
 public:
  explicit Made(uint64_t seed) : random_(seed) {}

  // A tensor that went wrong by `planted`, among `effects`.
  Failing tensor(const std::string& name, Effects effects, const std::vector<const Cause*>& planted,
                 double off = 0) {
    Matrix right(5, 7);
    std::normal_distribution<double> normal(0, 1);
    for (Eigen::Index i = 0; i < right.size(); ++i) right.data()[i] = normal(random_);
    const Bounded wrong = *apply(right, effects, planted, nullptr);
    auto output = std::make_shared<std::vector<float>>();
    for (Eigen::Index i = 0; i < right.size(); ++i)
      output->push_back(static_cast<float>(wrong.value.data()[i]));
    (*output)[11] += static_cast<float>(off);
    return {name, [=] {
              Subject subject{.name = name, .shape = {5, 7}, .output = *output, .holds = output};
              subject.right = [=] { return bounded(right); };
              subject.suppose = [=](Causes causes, Message* why) {
                return apply(right, effects, causes, why);
              };
              return subject;
            }};
  }

 private:
  static Bounded bounded(const Matrix& value) {
    const Matrix bound = Matrix::Constant(value.rows(), value.cols(), kBound);
    return {value, bound, bound, "made by hand"};
  }
  static std::optional<Bounded> apply(Matrix value, const Effects& effects, Causes causes, Message* why) {
    for (const Cause* one : causes) {
      const Effect& effect = effects.at(one);
      if (effect.missing) throw Missing(say("v of layer 1 did not come from the engine"));
      if (!effect.change) {
        if (why) *why = say("one row");
        return std::nullopt;
      }
      for (Eigen::Index i = 0; i < value.size(); ++i) value.data()[i] = effect.change(value.data()[i], i);
    }
    return bounded(value);
  }
  std::mt19937_64 random_;
};

inline double twice(double x, Eigen::Index) { return 2 * x; }
inline double shifted(double x, Eigen::Index i) { return x + 1 + 0.1 * static_cast<double>(i); }
inline double negated(double x, Eigen::Index i) { return i % 2 ? -x : x + 0.5; }

inline const Effects kEffects = {{cause(0), {twice}}, {cause(1), {shifted}}, {cause(2), {negated}}};

}  // namespace greta::probes
