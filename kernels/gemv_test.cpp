// The wide GEMV: every weight type against sums in f64, sizes around its tiles, slabs and splits, any
// alignment.
#include <gtest/gtest.h>

#include "kernels/test_blocks.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

constexpr Route kWide{Unit::valu, Shape::gemv, Tuning::wide};

struct Sums {
  std::vector<double> value, size;  // Σ w·x and Σ |w·x|
};

// `weights`: decoded, [N, K]. Each is rounded to f32 once, as the contract says.
Sums sums_of(const std::vector<double>& weights, const std::vector<float>& x, int64_t rows, int64_t N,
             int64_t K) {
  Sums sums{std::vector<double>(static_cast<size_t>(rows * N)),
            std::vector<double>(static_cast<size_t>(rows * N))};
  for (int64_t s = 0; s < rows; ++s) {
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t k = 0; k < K; ++k) {
        const double product =
            static_cast<double>(static_cast<float>(weights[static_cast<size_t>(n * K + k)])) *
            x[static_cast<size_t>(s * K + k)];
        sums.value[static_cast<size_t>(s * N + n)] += product;
        sums.size[static_cast<size_t>(s * N + n)] += std::abs(product);
      }
    }
  }
  return sums;
}

// The number behind `key=` in a kernel's name.
int64_t number_in(const std::string& kernel, const std::string& key) {
  const size_t at = kernel.find(key + "=");
  EXPECT_NE(at, std::string::npos) << key << " is missing in: " << kernel;
  return at == std::string::npos ? 1 : std::strtoll(kernel.c_str() + at + key.size() + 1, nullptr, 10);
}

// The additions that the kernel's description implies: of a lane's tiles, its four sums, a team of 32, slabs,
// splits.
int64_t chain_of(const std::string& kernel, int64_t K) {
  const int64_t tile = kernel.find("<lane=f32") != std::string::npos    ? 512
                       : kernel.find("<lane=f16") != std::string::npos  ? 1024
                       : kernel.find("<lane=bf16") != std::string::npos ? 1024
                       : kernel.find("<lane=any") != std::string::npos  ? 1024
                                                                        : 2048;
  const int64_t slab = number_in(kernel, "slab"), splits = number_in(kernel, "splits");
  const auto pieces = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t tiles = pieces(std::min(K, slab), tile);
  return pieces(tiles, splits) * (tile / 32 / 4) + 2 + 5 + (pieces(K, slab) - 1) +
         (splits == 4 ? 2 : splits - 1);
}

// skew: bytes by which the matrix begins beside a multiple of 16; lane: the one that must take it.
void check(WeightType type, int64_t rows, int64_t N, int64_t K, const std::vector<float>& x,
           const std::vector<uint8_t>& bytes, const std::string& lane, bool exact = false, size_t skew = 0) {
  SCOPED_TRACE(std::string(type_name(type)) + " rows=" + std::to_string(rows) + " N=" + std::to_string(N) +
               " K=" + std::to_string(K) + " skew=" + std::to_string(skew));
  std::vector<uint8_t> moved(skew);
  moved.insert(moved.end(), bytes.begin(), bytes.end());
  const DeviceArray<uint8_t> data(moved);
  const DeviceArray<float> device_x(x);
  const Weight w{data.data() + skew, type, N, K};
  const Sums sums = sums_of(decode_all(type, bytes, N, K), x, rows, N, K);
  for (const Outcome& run : run_everywhere(sums.value.size(), [&](float* y) {
         return matmul(nullptr, kWide, w, device_x.data(), rows, y);
       })) {
    const std::string name = "matmul_valu_gemv_wide_" + std::string(type_name(type)) + "<lane=" + lane + ",";
    EXPECT_EQ(run.attested.kernel.rfind(name, 0), 0u) << run.attested.kernel;
    EXPECT_EQ(run.attested.contract.rfind("op=matmul x=f32 w=f32 acc=f32 chain=", 0), 0u)
        << run.attested.contract;
    const double chain = contract_value(run.attested.contract, "chain");
    EXPECT_EQ(chain, static_cast<double>(chain_of(run.attested.kernel, K)));
    std::vector<double> bound(sums.size);
    for (double& b : bound) b = exact ? 0 : gamma_n(chain) * b;
    expect_within(run.out, sums.value, bound, "wave " + std::to_string(run.wave));
  }
}

void check(WeightType type, int64_t rows, int64_t N, int64_t K, std::mt19937_64& random,
           const std::string& lane, size_t skew = 0) {
  check(type, rows, N, K, activations(random, rows, K), random_weight(type, N, K, random), lane, false, skew);
}

// N = 8: whole words of 16 bytes for every type; one tile, less, two tiles and a half, a second slab.
TEST(GemvWide, EveryTypeByItsOwnLane) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kAllTypes) {
    for (const int64_t K : {256, 2048, 5376}) check(type, 1, 8, K, random, type_name(type));
    check(type, 3, 40, 768, random, type_name(type));
  }
}

// Matrices that no lane takes whole words of: odd sizes of plain types, a few odd blocks, odd addresses.
TEST(GemvWide, WhatNoLaneTakesGoesByTheLaneForAll) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16}) {
    for (const int64_t K : {1, 45, 1101}) check(type, 2, 5, K, random, "any");
  }
  check(WeightType::q8_0, 1, 7, 96, random, "any");
  check(WeightType::q4_0, 1, 5, 32, random, "any");
  check(WeightType::q6_K, 1, 3, 512, random, "any");
  for (const WeightType type : {WeightType::q4_K, WeightType::q5_K, WeightType::q6_K, WeightType::q8_0})
    check(type, 1, 8, 512, random, "any", 2);
}

// Rows around units, rounds and blocks.
TEST(GemvWide, RowsAroundTheUnits) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const int64_t N : {1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 24, 25, 49, 131})
    check(WeightType::q4_K, 1, N, 4096, random, "q4_K");
  for (const int64_t N : {8, 16, 24, 48}) check(WeightType::q6_K, 1, N, 4352, random, "q6_K");
}

// Small integers that name their place: every sum is exact, so any order gives the same bits and one swapped
// index does not.
TEST(GemvWide, IndexCodedIntegersAreExact) {
  const int64_t rows = 2, N = 23;
  for (const int64_t K : {1028, 4900}) {
    std::vector<float> x(static_cast<size_t>(rows * K)), w(static_cast<size_t>(N * K));
    for (int64_t i = 0; i < rows * K; ++i)
      x[static_cast<size_t>(i)] = static_cast<float>((i * 17 + i / K) % 23 - 11);
    for (int64_t i = 0; i < N * K; ++i)
      w[static_cast<size_t>(i)] = static_cast<float>((i / K * 29 + i % K * (i % K) * 13) % 19 - 9);
    const uint8_t* raw = reinterpret_cast<const uint8_t*>(w.data());
    check(WeightType::f32, rows, N, K, x, std::vector<uint8_t>(raw, raw + w.size() * 4), "f32", true);
  }
}

// One 1 in x: y is the weights of that column, to the bit: what dequant says.
TEST(GemvWide, OneColumnAtATimeIsDequant) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type :
       {WeightType::q8_0, WeightType::q4_0, WeightType::q4_K, WeightType::q5_K, WeightType::q6_K}) {
    const int64_t rows = 256, N = 8, K = 256;
    std::vector<float> x(static_cast<size_t>(rows * K));
    for (int64_t s = 0; s < rows; ++s) x[static_cast<size_t>(s * K + s)] = 1;
    const std::vector<uint8_t> bytes = random_weight(type, N, K, random);
    const DeviceArray<uint8_t> data(bytes);
    const DeviceArray<float> device_x(x), y(static_cast<size_t>(rows * N)),
        weights(static_cast<size_t>(N * K));
    const Weight w{data.data(), type, N, K};
    matmul(nullptr, kWide, w, device_x.data(), rows, y.data());
    dequant(nullptr, w, weights.data());
    ok(hipDeviceSynchronize());
    const std::vector<float> got = y.read(), want = weights.read();
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t k = 0; k < K; ++k) {
        ASSERT_EQ(got[static_cast<size_t>(k * N + n)], want[static_cast<size_t>(n * K + k)])
            << type_name(type) << " row " << n << " column " << k;
      }
    }
  }
}

// x is scaled by 2^44 on its way: values that would overflow so, and values at the other end.
TEST(GemvWide, HugeAndTinyActivations) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const float factor : {0x1p100f, 0x1p-110f}) {
    std::vector<float> x = activations(random, 1, 4352);
    for (float& v : x) v *= factor;
    check(WeightType::q4_K, 1, 8, 4352, x, random_weight(WeightType::q4_K, 8, 4352, random), "q4_K");
    check(WeightType::q6_K, 1, 8, 4352, x, random_weight(WeightType::q6_K, 8, 4352, random), "q6_K");
  }
}

// The scales at the ends of f16, where the factors that integers are multiplied by are nearest to overflow.
TEST(GemvWide, LargestAndSmallestScales) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type :
       {WeightType::q8_0, WeightType::q4_0, WeightType::q4_K, WeightType::q5_K, WeightType::q6_K}) {
    for (const uint16_t scale : {uint16_t{0x7bff}, uint16_t{0xfbff}, uint16_t{0x0001}, uint16_t{0x8001}}) {
      std::vector<uint8_t> bytes = random_weight(type, 8, 256, random);
      const size_t at = type == WeightType::q6_K ? 208 : 0, block = static_cast<size_t>(block_bytes(type));
      for (size_t b = 0; b < bytes.size(); b += block) {
        bytes[b + at] = static_cast<uint8_t>(scale), bytes[b + at + 1] = static_cast<uint8_t>(scale >> 8);
      }
      check(type, 1, 8, 256, activations(random, 1, 256), bytes, type_name(type));
    }
  }
}

TEST(GemvWide, NanAndInfinityReachOnlyTheirRow) {
  const int64_t rows = 4, N = 8, K = 512;
  std::mt19937_64 random(1);
  std::vector<float> x = activations(random, rows, K);
  x[1 * K + 7] = NAN;
  x[2 * K + 511] = INFINITY;
  const std::vector<uint8_t> bytes = random_weight(WeightType::q6_K, N, K, random);
  const DeviceArray<uint8_t> data(bytes);
  const DeviceArray<float> device_x(x);
  const Weight w{data.data(), WeightType::q6_K, N, K};
  for (const Outcome& run : run_everywhere(static_cast<size_t>(rows * N), [&](float* y) {
         return matmul(nullptr, kWide, w, device_x.data(), rows, y);
       })) {
    for (int64_t i = 0; i < rows * N; ++i) {
      const float y = run.out[static_cast<size_t>(i)];
      EXPECT_TRUE(i / N == 1 ? std::isnan(y) : i / N == 2 ? !std::isfinite(y) : std::isfinite(y)) << i;
    }
  }
}

}  // namespace
}  // namespace greta::kernels::test
