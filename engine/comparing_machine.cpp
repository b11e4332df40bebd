// The comparison on the machine that this file is compiled for.
#include "datasets/error.hpp"
#include "engine/machine.hpp"
#include "engine/on_machine.hpp"
#include "kernels/evidence.hpp"
#include "kernels/hip/checked.hpp"
#include "kernels/kernels.hpp"

namespace greta::engine::inline GRETA_MACHINE {
namespace {

template <typename T>
void grow(kernels::DeviceBuffer<T>& buffer, size_t size) {
  if (buffer.size() >= size) return;
  buffer = {};  // first: both may be too much
  buffer = kernels::DeviceBuffer<T>(size);
}

class ComparingMachine final : public ComparingDevice {
 public:
  explicit ComparingMachine(const Settings& settings) : machine_(settings) {}

  DeviceComparison compare(std::span<const float> a, std::span<const float> b,
                           std::span<const float> bound) override {
    if (a.size() != b.size() || (!bound.empty() && bound.size() != a.size()))
      fail_internal("compared spans differ in length: {}, {} and {} bounds", a.size(), b.size(),
                    bound.size());
    if (a.empty()) return {};
    try {
      return run(a, b, bound);
    } catch (const kernels::HipError& error) {
      fail_internal("the comparison of {} values failed: {}", a.size(), error.what());
    } catch (const kernels::LaunchError& error) {
      fail_internal("the comparison of {} values failed: {}", a.size(), error.what());
    }
  }

 private:
  DeviceComparison run(std::span<const float> a, std::span<const float> b, std::span<const float> bound) {
    machine_.use(true);
    const auto count = static_cast<int64_t>(a.size());
    grow(a_, a.size()), grow(b_, b.size()), grow(bound_, bound.size());
    grow(parts_, static_cast<size_t>(kernels::comparison_workspace(count)) + 1);
    a_.upload(a.data(), a.size());
    b_.upload(b.data(), b.size());
    bound_.upload(bound.data(), bound.size());
    kernels::compare(nullptr, a_.data(), b_.data(), bound.empty() ? nullptr : bound_.data(), count,
                     parts_.data() + 1, parts_.data());
    kernels::Comparison c{};
    parts_.download(&c, 1);
    return {.count = c.count,
            .finite = c.finite,
            .out_of_bound = c.out_of_bound,
            .nan_count = c.nan_count,
            .inf_count = c.inf_count,
            .non_finite_mismatch = c.non_finite_mismatch,
            .worst = c.worst,
            .max_ulp = c.max_ulp,
            .ratio = c.ratio,
            .max_abs = c.max_abs,
            .max_rel = c.max_rel,
            .error = c.error,
            .magnitude = c.magnitude,
            .square = c.square,
            .a_square = c.a_square,
            .b_square = c.b_square,
            .product = c.product,
            .worst_a = c.worst_a,
            .worst_b = c.worst_b,
            .worst_bound = c.worst_bound};
  }

  Machine machine_;  // first: what follows lies on it
  kernels::DeviceBuffer<float> a_, b_, bound_;
  kernels::DeviceBuffer<kernels::Comparison> parts_;  // the first is the result
};

}  // namespace

std::unique_ptr<ComparingDevice> make_comparing(const Settings& settings) {
  return std::make_unique<ComparingMachine>(settings);
}

}  // namespace greta::engine::inline GRETA_MACHINE
