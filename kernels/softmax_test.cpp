// softmax as a card runs it (the plain kernel: attention_test.cpp), against a loop in f64.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

struct Size {
  int64_t rows, columns;
  const char* kernel;  // of a wave of 32
};

// A wave a row with 1 to 8 packs, then a block a row with 4 to 16, then rows that are read again; in packs of
// 4 and of 1.
const Size kSizes[] = {{1, 1, "pack=1,kept=1,lanes=32"},     {5, 31, "pack=1,kept=1,lanes=32"},
                       {9, 205, "pack=1,kept=8,lanes=32"},   {3, 100, "pack=4,kept=1,lanes=32"},
                       {17, 516, "pack=4,kept=8,lanes=32"},  {3, 1023, "pack=1,kept=4,lanes=256"},
                       {2, 1028, "pack=4,kept=2,lanes=256"}, {2, 4096, "pack=4,kept=4,lanes=256"},
                       {1, 4097, "pack=1,kept=0,lanes=256"}, {1, 14336, "pack=4,kept=16,lanes=256"},
                       {1, 16388, "pack=4,kept=0,lanes=256"}};

std::vector<float> scores_of(std::mt19937_64& random, const Size& size) {
  std::vector<float> x = activations(random, size.rows, size.columns);
  for (int64_t row = 0; row < size.rows; ++row) {  // a causal mask, of another length in each row
    for (int64_t i = size.columns - row; i < size.columns; ++i)
      if (i > 0) x[static_cast<size_t>(row * size.columns + i)] = -INFINITY;
  }
  return x;
}

// Beside the sum's chain: the exponential above and below (each with the rounding of the difference, which
// counts |x − largest| times), the division.
void expect_softmax(const Outcome& run, const std::vector<float>& x, const Size& size) {
  const double chain = contract_value(run.attested.contract, "chain");
  const double exp_error = contract_value(run.attested.contract, "exp") * 2 * kUnit;
  const double div_error = contract_value(run.attested.contract, "div") * 2 * kUnit;
  std::vector<double> want(x.size()), bound(x.size());
  for (int64_t row = 0; row < size.rows; ++row) {
    const auto begin = static_cast<size_t>(row * size.columns),
               end = begin + static_cast<size_t>(size.columns);
    const double largest = *std::max_element(x.begin() + static_cast<std::ptrdiff_t>(begin),
                                             x.begin() + static_cast<std::ptrdiff_t>(end));
    double sum = 0, spread = 0;
    for (size_t i = begin; i < end; ++i) {
      const double e = std::exp(x[i] - largest);
      sum += e;
      if (e > 0) spread += e * (largest - x[i]);
    }
    for (size_t i = begin; i < end; ++i) {
      want[i] = std::exp(x[i] - largest) / sum;
      if (x[i] == -INFINITY) {
        EXPECT_EQ(run.out[i], 0.0f) << "a masked score counts";
        continue;
      }
      const double own = exp_error + (largest - x[i]) * kUnit;
      const double below = exp_error + spread / sum * kUnit + gamma_n(chain);
      bound[i] = want[i] * 1.001 * (own + below + div_error) + 0x1p-140;
    }
  }
  expect_within(run.out, want, bound, run.attested.kernel);
}

TEST(SoftmaxWide, WithinItsBound) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const Size& size : kSizes) {
    const std::vector<float> x = scores_of(random, size);
    const DeviceArray<float> device(x);
    for (const Outcome& run : run_everywhere(x.size(), [&](float* out) {
           return softmax(nullptr, device.data(), size.rows, size.columns, out, Tuning::wide);
         })) {
      if (run.wave == 32) {
        EXPECT_NE(run.attested.kernel.find(size.kernel), std::string::npos) << run.attested.kernel;
      }
      expect_softmax(run, x, size);
    }
  }
}

TEST(SoftmaxWide, TakesAnyAddressAndRowsWithoutAScore) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Size size{3, 260, ""};
  std::vector<float> x = scores_of(random, size), shifted(x);
  shifted.insert(shifted.begin(), 1e9f);
  const DeviceArray<float> device(shifted);
  for (const Outcome& run : run_everywhere(x.size(), [&](float* out) {
         return softmax(nullptr, device.data() + 1, size.rows, size.columns, out, Tuning::wide);
       })) {
    EXPECT_NE(run.attested.kernel.find("pack=1"), std::string::npos);
    expect_softmax(run, x, size);
  }
  const std::vector<float> masked(64, -INFINITY);
  const DeviceArray<float> all_masked(masked);
  for (const Outcome& run : run_everywhere(masked.size(), [&](float* out) {
         return softmax(nullptr, all_masked.data(), 1, 64, out, Tuning::wide);
       }))
    for (const float p : run.out) EXPECT_TRUE(std::isnan(p));
}

}  // namespace
}  // namespace greta::kernels::test
