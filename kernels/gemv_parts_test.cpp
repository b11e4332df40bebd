// The GEMV through the matrix unit: against sums in f64 of what its contract says it multiplies, exactly
// where every sum is exact, and at sizes around its tiles, chunks, stages and rounds.
#include <gtest/gtest.h>

#include <memory>

#include "kernels/test_blocks.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

constexpr Route kParts{Unit::mfma, Shape::gemv, Tuning::wide};

// scale · integer and minimum of value i of a block.
struct Parts {
  double product, minimum;
};
Parts parts_of(WeightType type, const uint8_t* block, int i) {
  if (type == WeightType::q6_K) return {decode_q6(block, i), 0};
  const double minimum = half_value(u16(block + 2)) * six_bits(block + 4, 1, i / 32);
  return {decode_k45(block, i, false) + minimum, minimum};
}

// x as integers of 31 bits, each 256 with a power of its own, from the contract's text.
std::vector<double> as_integers(const std::vector<float>& x) {
  std::vector<double> out(x.size());
  for (size_t first = 0; first < x.size(); first += 256) {
    double largest = 0;
    for (size_t k = first; k < first + 256; ++k)
      largest = std::max(largest, static_cast<double>(std::abs(x[k])));
    int exponent = 0;
    std::frexp(largest, &exponent);
    const int power = largest == 0 ? 0 : std::clamp(30 - exponent, -100, 100);
    for (size_t k = first; k < first + 256; ++k)
      out[k] = std::ldexp(std::nearbyint(std::ldexp(x[k], power)), -power);
  }
  return out;
}

struct Sums {
  std::vector<double> value, size;  // Σ w·x' and Σ (|scale·integer·x'| + |minimum·x'|)
};
Sums sums_of(WeightType type, const std::vector<uint8_t>& bytes, const std::vector<double>& x, int64_t rows,
             int64_t N, int64_t K) {
  Sums sums{std::vector<double>(static_cast<size_t>(rows * N)),
            std::vector<double>(static_cast<size_t>(rows * N))};
  for (int64_t s = 0; s < rows; ++s)
    for (int64_t n = 0; n < N; ++n)
      for (int64_t k = 0; k < K; ++k) {
        const Parts p =
            parts_of(type, bytes.data() + (n * K + k) / 256 * block_bytes(type), static_cast<int>(k % 256));
        const double at = x[static_cast<size_t>(s * K + k)];
        sums.value[static_cast<size_t>(s * N + n)] += (p.product - p.minimum) * at;
        sums.size[static_cast<size_t>(s * N + n)] +=
            (std::abs(p.product) + std::abs(p.minimum)) * std::abs(at);
      }
  return sums;
}

double roundings(const std::string& contract) { return contract_value(contract, "sum") + 4; }

void check(WeightType type, int64_t rows, int64_t N, int64_t K, const std::vector<float>& x,
           const std::vector<uint8_t>& bytes, bool exact = false) {
  SCOPED_TRACE(std::string(type_name(type)) + " rows=" + std::to_string(rows) + " N=" + std::to_string(N) +
               " K=" + std::to_string(K));
  const DeviceArray<uint8_t> data(bytes);
  const DeviceArray<float> device_x(x);
  const Weight w{data.data(), type, N, K};
  const Sums sums = sums_of(type, bytes, as_integers(x), rows, N, K);
  for (const Outcome& run : run_everywhere(sums.value.size(), [&](float* y) {
         return matmul(nullptr, kParts, w, device_x.data(), rows, y);
       })) {
    const std::string name = "matmul_mfma_gemv_wide_" + std::string(type_name(type)) + "<parts,";
    EXPECT_EQ(run.attested.kernel.rfind(name, 0), 0u) << run.attested.kernel;
    EXPECT_EQ(run.attested.contract.rfind("op=matmul x=i32 w=parts acc=i32 sum=", 0), 0u)
        << run.attested.contract;
    const double n = exact ? 0 : roundings(run.attested.contract);
    std::vector<double> bound(sums.size);
    for (double& b : bound) b *= gamma_n(n);
    expect_within(run.out, sums.value, bound, run.attested.kernel);
  }
}

void check(WeightType type, int64_t rows, int64_t N, int64_t K, std::mt19937_64& random) {
  check(type, rows, N, K, activations(random, rows, K), random_weight(type, N, K, random));
}

constexpr WeightType kTypes[] = {WeightType::q4_K, WeightType::q6_K};

// Whole words of 16 bytes a row: of Q6_K 2048 columns.
int64_t whole_rows(WeightType type, int64_t K) {
  return type == WeightType::q6_K ? (K + 2047) / 2048 * 2048 : K;
}

// One block of 256, several side by side, chunks of them, of one size and of two, and so many that their x
// is made into integers chunk by chunk.
TEST(GemvParts, Columns) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const int64_t K : {256, 512, 1024, 1280, 4352, 10240, 18432})
    check(WeightType::q4_K, 1, 24, K, random);
  for (const int64_t K : {2048, 4096, 10240, 18432}) check(WeightType::q6_K, 1, 24, K, random);
  for (const WeightType type : kTypes) check(type, 3, 40, whole_rows(type, 768), random);
}

// Around units of 16 rows and what blocks have of them, units side by side, and rounds.
TEST(GemvParts, Rows) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const int64_t N : {1, 2, 3, 15, 16, 17, 47, 48, 49, 131, 200}) {
    for (const int64_t K : {256, 512, 1024}) check(WeightType::q4_K, 1, N, K, random);
    check(WeightType::q6_K, 1, N, 2048, random);
  }
  for (const int64_t N : {767, 768, 769, 1600}) check(WeightType::q4_K, 1, N, 512, random);
  check(WeightType::q4_K, 1, 1000, 1280, random);
  check(WeightType::q6_K, 2, 800, 2048, random);
}

// Rows that are no whole words, vectors that begin anywhere: another kernel's work.
TEST(GemvParts, WhatItDoesNotTakeGoesElsewhere) {
  SEEDED;
  std::mt19937_64 random = generator();
  const DeviceArray<uint8_t> data(random_weight(WeightType::q6_K, 16, 2048, random));
  const DeviceArray<float> x(activations(random, 1, 2052)), y(size_t{16});
  const auto kernel = [&](int64_t K, int offset) {
    return matmul(nullptr, kParts, {data.data(), WeightType::q6_K, 16, K}, x.data() + offset, 1, y.data())
        .kernel;
  };
  EXPECT_NE(kernel(2048, 0).find("<parts,"), std::string::npos);
  EXPECT_NE(kernel(2048, 4).find("<parts,"), std::string::npos);
  EXPECT_EQ(kernel(2048, 1).find("<parts,"), std::string::npos);
  EXPECT_EQ(kernel(1792, 0).find("<parts,"), std::string::npos);
}

// Scales of 1, small integers: every sum is exact, so any order gives the same bits and one swapped index
// does not.
TEST(GemvParts, IntegersAreExact) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kTypes) {
    const int64_t N = 56, K = whole_rows(type, 1536);
    std::vector<uint8_t> bytes = random_weight(type, N, K, random);
    const auto size = static_cast<size_t>(block_bytes(type));
    for (size_t at = 0; at < bytes.size(); at += size) {
      uint8_t* const block = bytes.data() + at;
      if (type == WeightType::q4_K) {
        block[0] = block[2] = 0, block[1] = block[3] = 0x3c;  // 1
      } else {
        for (int i = 0; i < 16; ++i) block[192 + i] = static_cast<uint8_t>(random() % 15 - 7);
        block[208] = 0, block[209] = 0x3c;
      }
    }
    std::vector<float> x(static_cast<size_t>(K));
    for (float& v : x) v = static_cast<float>(random() % 9) - 4;
    check(type, 1, N, K, x, bytes, true);
  }
}

TEST(GemvParts, AnyBytes) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kTypes) {
    const int64_t N = 1000, K = whole_rows(type, 1024);
    std::vector<uint8_t> bytes(static_cast<size_t>(N * K / 256) * static_cast<size_t>(block_bytes(type)));
    for (auto& b : bytes) b = static_cast<uint8_t>(random());
    for (size_t at = type == WeightType::q6_K ? 209 : 1; at < bytes.size();
         at += static_cast<size_t>(block_bytes(type))) {
      bytes[at] = (bytes[at] & 0x87) | 0x18;
      if (type != WeightType::q6_K) bytes[at + 2] = (bytes[at + 2] & 0x87) | 0x18;
    }
    std::vector<float> x = activations(random, 1, K);
    for (size_t i = 5; i < x.size(); i += 37) x[i] *= 30;
    check(type, 1, N, K, x, bytes);
  }
}

// Outliers, rows of any size.
TEST(GemvParts, XOfEveryKind) {
  SEEDED;
  std::mt19937_64 random = generator();
  const int64_t N = 16;
  for (const WeightType type : kTypes) {
    const int64_t K = whole_rows(type, 512);
    const std::vector<uint8_t> bytes = random_weight(type, N, K, random);
    for (const float size : {1e30f, 1e-30f, 0.0f}) {
      std::vector<float> x = activations(random, 1, K);
      for (float& v : x) v *= size;
      check(type, 1, N, K, x, bytes);
    }
    std::vector<float> one_large = activations(random, 1, K);
    one_large[77] = 3e5f;
    check(type, 1, N, K, one_large, bytes);
  }
}

TEST(GemvParts, NanReachesEveryRow) {
  SEEDED;
  std::mt19937_64 random = generator();
  const int64_t N = 16, K = 2048;
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    std::vector<float> x = activations(random, 1, K);
    x[300] = bad;
    const DeviceArray<uint8_t> data(random_weight(WeightType::q6_K, N, K, random));
    const DeviceArray<float> device_x(x), y(static_cast<size_t>(N));
    matmul(nullptr, kParts, {data.data(), WeightType::q6_K, N, K}, device_x.data(), 1, y.data());
    ok(hipDeviceSynchronize());
    for (const float v : y.read()) EXPECT_TRUE(std::isnan(v));
  }
}

TEST(GemvParts, EveryMatrixUnit) {
  SEEDED;
  std::mt19937_64 random = generator();
  const host::Settings before = host::settings();
  for (const auto unit : {host::MatrixUnit::cdna3, host::MatrixUnit::hopper}) {
    host::Settings settings = before;
    settings.matrix_unit = unit;
    host::configure(settings);
    for (const WeightType type : kTypes) check(type, 1, 40, whole_rows(type, 1280), random);
  }
  host::configure(before);
}

// x / sqrt(mean x² + eps) · weight in f64, within what its contract says: half of the sum's roundings, as of
// a root, and a few more.
void check_norm(const std::vector<float>& x, const std::vector<float>& weight, const std::vector<float>& got,
                const Attested& ran) {
  double sum = 0;
  for (const float value : x) sum += static_cast<double>(value) * value;
  const double scale = 1 / std::sqrt(sum / static_cast<double>(x.size()) + 1e-5);
  std::vector<double> want(x.size()), bound(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    want[i] = scale * x[i] * weight[i];
    bound[i] = std::abs(want[i]) * gamma_n(contract_value(ran.contract, "chain") / 2 + 8);
  }
  expect_within(got, want, bound, ran.kernel + " " + ran.contract);
}

// Fused: the same bits as the single kernels of the same stages, which the checks above have seen.
TEST(GemvParts, FusedProductsAreTheSameProducts) {
  SEEDED;
  std::mt19937_64 random = generator();
  const int64_t N = 56;
  for (const WeightType type : kTypes) {
    const int64_t K = whole_rows(type, 512);
    const std::vector<float> host_x = activations(random, 1, K), host_weight = activations(random, 1, K);
    const DeviceArray<uint8_t> first(random_weight(type, N, K, random)),
        second(random_weight(type, N, K, random));
    const DeviceArray<float> x(host_x), norm_weight(host_weight), residual(activations(random, 1, N));
    const size_t n = static_cast<size_t>(N);
    const DeviceArray<float> normed(static_cast<size_t>(K)), fused(n), gate(n), up(n), act(n), alone(n),
        out(n);
    const Weight w{first.data(), type, N, K}, v{second.data(), type, N, K};
    const auto same = [&](const DeviceArray<float>& got, const Weight& weight, const float* in) {
      matmul(nullptr, kParts, weight, in, 1, alone.data());
      ok(hipDeviceSynchronize());
      EXPECT_EQ(got.read(), alone.read()) << type_name(type);
    };
    const Projection projection{w, fused.data()};
    const auto ran = norm_products(nullptr, x.data(), norm_weight.data(), K, 1e-5f, {&projection, 1},
                                   normed.data(), Unit::mfma);
    EXPECT_EQ(ran.product.kernel.rfind("norm_products_mfma_gemv_", 0), 0u) << ran.product.kernel;
    same(fused, w, normed.data());
    check_norm(host_x, host_weight, normed.read(), ran.norm);
    product_add(nullptr, w, x.data(), residual.data(), fused.data(), out.data(), Unit::mfma);
    same(fused, w, x.data());
    const auto sum = out.read(), product = fused.read(), start = residual.read();
    for (size_t i = 0; i < n; ++i) EXPECT_EQ(sum[i], start[i] + product[i]);
    norm_gate_up(nullptr, x.data(), norm_weight.data(), K, 1e-5f, w, v, normed.data(), gate.data(), up.data(),
                 act.data(), Unit::mfma);
    // Two matrices share the block: other sums of slots, so these are compared within the bound elsewhere.
    ok(hipDeviceSynchronize());
    for (const auto& [weight, got] : {std::pair{&w, gate.read()}, std::pair{&v, up.read()}}) {
      matmul(nullptr, kParts, *weight, normed.data(), 1, alone.data());
      ok(hipDeviceSynchronize());
      const auto wanted = alone.read();
      for (size_t i = 0; i < n; ++i) EXPECT_NEAR(got[i], wanted[i], 1e-5 * (1 + std::abs(wanted[i])));
    }
  }
}

// q, k and v: two types in one launch, matrices of several heights.
TEST(GemvParts, ThreeMatricesOfTwoTypes) {
  SEEDED;
  std::mt19937_64 random = generator();
  const int64_t K = 2048, heights[] = {72, 24, 8};
  const WeightType types[] = {WeightType::q4_K, WeightType::q4_K, WeightType::q6_K};
  const std::vector<float> x = activations(random, 1, K), weight = activations(random, 1, K);
  const DeviceArray<float> device_x(x), norm_weight(weight), normed(static_cast<size_t>(K));
  std::vector<std::vector<uint8_t>> bytes;
  std::vector<std::unique_ptr<DeviceArray<uint8_t>>> data;
  std::vector<std::unique_ptr<DeviceArray<float>>> y;
  std::vector<Projection> projections;
  for (int i = 0; i < 3; ++i) {
    bytes.push_back(random_weight(types[i], heights[i], K, random));
    data.push_back(std::make_unique<DeviceArray<uint8_t>>(bytes.back()));
    y.push_back(std::make_unique<DeviceArray<float>>(static_cast<size_t>(heights[i])));
    projections.push_back({{data.back()->data(), types[i], heights[i], K}, y.back()->data()});
  }
  const host::Settings before = host::settings();
  for (const int wave : {64, 32}) {
    host::Settings settings = before;
    settings.wave = wave;
    host::configure(settings);
    const auto ran = norm_products(nullptr, device_x.data(), norm_weight.data(), K, 1e-5f, projections,
                                   normed.data(), Unit::mfma);
    ok(hipDeviceSynchronize());
    EXPECT_NE(ran.product.kernel.find("q4_K+q4_K+q6_K<parts"), std::string::npos) << ran.product.kernel;
    check_norm(x, weight, normed.read(), ran.norm);
    const std::vector<double> taken = as_integers(normed.read());
    for (int i = 0; i < 3; ++i) {
      const Sums sums = sums_of(types[i], bytes[static_cast<size_t>(i)], taken, 1, heights[i], K);
      std::vector<double> bound(sums.size);
      for (double& b : bound) b *= gamma_n(roundings(ran.product.contract));
      expect_within(y[static_cast<size_t>(i)]->read(), sums.value, bound, "matrix " + std::to_string(i));
    }
  }
  host::configure(before);
}

}  // namespace
}  // namespace greta::kernels::test
