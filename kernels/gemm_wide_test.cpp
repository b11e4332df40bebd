// The wide matrix-core product: each type's order of k, the weights that a lane makes, the ring of
// asynchronous copies, and whole products by every plan against sums in f64.
#include <gtest/gtest.h>

#include <set>

#include "kernels/gemm_wide.hpp"
#include "kernels/test_blocks.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

// Plans that no dispatcher of this machine takes: groups of waves, for the types that fit.
template <WeightType T>
using Grouped = GemmPlan<T, (LaneWeights<T>::kAlign == 16), true, 4, 1, 4, 4, 2>;

using Run = std::function<std::string(const GemmCall&)>;
struct Case {
  WeightType type;
  Operand operand;
  int64_t rows, N, K;
};

std::vector<double> rounded(std::vector<double> values, Operand operand) {
  for (double& v : values) {
    v = operand == Operand::f16 ? round_to_half(static_cast<float>(v))
                                : double{bf16_to_f32(f32_to_bf16_rn(static_cast<float>(v)))};
  }
  return values;
}

// By f32 sums of exact products in any order: γ_K. `exact`: operands whose sums are.
void check(const Case& c, const Run& run, const std::vector<float>& x, const std::vector<uint8_t>& bytes,
           bool exact = false) {
  SCOPED_TRACE(std::string(type_name(c.type)) + (c.operand == Operand::f16 ? " f16" : " bf16") +
               " rows=" + std::to_string(c.rows) + " N=" + std::to_string(c.N) + " K=" + std::to_string(c.K));
  const DeviceArray<uint8_t> data(bytes);
  const DeviceArray<float> device_x(x);
  ASSERT_EQ(reinterpret_cast<uintptr_t>(data.data()) % 16, 0u);
  const std::vector<double> xs = rounded({x.begin(), x.end()}, c.operand),
                            ws = rounded(decode_all(c.type, bytes, c.N, c.K), c.operand);
  std::vector<double> want(static_cast<size_t>(c.rows * c.N)), bound(want.size());
  for (int64_t s = 0; s < c.rows; ++s) {
    for (int64_t n = 0; n < c.N; ++n) {
      const size_t at = static_cast<size_t>(s * c.N + n);
      for (int64_t k = 0; k < c.K; ++k) {
        const double p = xs[static_cast<size_t>(s * c.K + k)] * ws[static_cast<size_t>(n * c.K + k)];
        want[at] += p, bound[at] += exact ? 0 : gamma_n(static_cast<double>(c.K)) * std::abs(p);
      }
    }
  }
  const auto launch = [&](float* y) {
    const Weight w{data.data(), c.type, c.N, c.K};
    return Attested{run({nullptr, c.operand, w, device_x.data(), c.rows, y}), ""};
  };
  for (const Outcome& outcome : run_everywhere(want.size(), launch)) {
    EXPECT_EQ(
        outcome.attested.kernel.rfind(std::string("matmul_mfma_gemm_") + type_name(c.type) + "<wide", 0), 0u)
        << outcome.attested.kernel;
    expect_within(outcome.out, want, bound, "wave " + std::to_string(outcome.wave));
  }
}

void check_random(const Case& c, const Run& run, std::mt19937_64& random) {
  check(c, run, activations(random, c.rows, c.K), random_weight(c.type, c.N, c.K, random));
}

Run by_type(WeightType type) {
  return with_weight_type(type, []<WeightType T>() -> Run { return gemm_wide<T>; });
}
Run in_groups(WeightType type) {
  switch (type) {
    case WeightType::q4_K:
      return run_gemm<Grouped<WeightType::q4_K>>;
    case WeightType::q6_K:
      return run_gemm<Grouped<WeightType::q6_K>>;
    default:
      return run_gemm<Grouped<WeightType::f16>>;
  }
}

// A type's blocks, steps that are not whole, and a last tile that is not either.
std::vector<int64_t> columns_of(WeightType type) {
  return block_values(type) == 1    ? std::vector<int64_t>{1, 72, 301}
         : block_values(type) == 32 ? std::vector<int64_t>{32, 544}
                                    : std::vector<int64_t>{256, 768};
}

TEST(GemmWide, EveryTypeAndOperandIsTheSumOfItsProducts) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kAllTypes) {
    for (const int64_t K : columns_of(type)) {
      for (const auto& [rows, N] : {std::pair<int64_t, int64_t>{1, 67}, {66, 131}}) {
        for (const Operand operand : {Operand::f16, Operand::bf16})
          check_random({type, operand, rows, N, K}, by_type(type), random);
      }
    }
  }
}

TEST(GemmWide, GroupsOfWavesMakeTheSame) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : {WeightType::q4_K, WeightType::q6_K, WeightType::f16}) {
    const int64_t blocks = block_values(type);
    for (const auto& [rows, N, K] :
         {std::array<int64_t, 3>{1, 5, blocks}, {67, 70, blocks == 1 ? 301 : 1024}}) {
      for (const Operand operand : {Operand::f16, Operand::bf16})
        check_random({type, operand, rows, N, K}, in_groups(type), random);
    }
  }
}

// Small integers that name their place: any order of sums is exact, one wrong index is not.
TEST(GemmWide, IndexCodedIntegersAreExact) {
  const int64_t rows = 70, N = 83, K = 333;
  std::vector<float> x(static_cast<size_t>(rows * K));
  std::vector<uint16_t> w(static_cast<size_t>(N * K));
  for (int64_t i = 0; i < rows * K; ++i)
    x[static_cast<size_t>(i)] = static_cast<float>((i / K * 131 + i % K * 17) % 23 - 11);
  for (int64_t i = 0; i < N * K; ++i)
    w[static_cast<size_t>(i)] =
        f32_to_f16_rn(static_cast<float>((i / K * 29 + i % K * (i % K) * 13) % 19 - 9));
  const uint8_t* raw = reinterpret_cast<const uint8_t*>(w.data());
  const std::vector<uint8_t> bytes(raw, raw + w.size() * 2);
  const Case c{WeightType::f16, Operand::f16, rows, N, K};
  check(c, by_type(c.type), x, bytes, true);
  check(c, in_groups(c.type), x, bytes, true);
}

// The dispatcher takes this kernel for Tuning::wide, and the plain one for a weight that its copies cannot
// read.
TEST(GemmWide, IsWhatTheWideTuningLaunches) {
  std::mt19937_64 random(1);
  const std::vector<uint8_t> bytes = random_weight(WeightType::q8_0, 3, 64, random);
  const DeviceArray<uint8_t> data(bytes.size() + 2);
  ok(hipMemcpy(data.data() + 2, bytes.data(), bytes.size(), hipMemcpyHostToDevice));
  const DeviceArray<float> x(activations(random, 2, 64));
  DeviceArray<float> y(6);
  const auto kernel = [&](int shift) {
    return matmul(nullptr, {Unit::mfma, Shape::gemm, Tuning::wide},
                  {data.data() + shift, WeightType::q8_0, 3, 64}, x.data(), 2, y.data())
        .kernel;
  };
  EXPECT_NE(kernel(0).find("<wide,"), std::string::npos) << kernel(0);
  EXPECT_EQ(kernel(2).find("<wide,"), std::string::npos) << kernel(2);
  ok(hipDeviceSynchronize());
}

// Every place of a step is one k, each k once, and four groups of lanes have 4 in each product.
template <WeightType T>
void check_order() {
  using Lane = LaneWeights<T>;
  std::set<int> seen;
  for (int group = 0; group < 4; ++group) {
    for (int product = 0; product < Lane::kStep / kTile; ++product) {
      for (int e = 0; e < 4; ++e) seen.insert(Lane::k_of(group, product, e));
    }
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(Lane::kStep)) << packing(T).name;
  EXPECT_EQ(*seen.begin(), 0) << packing(T).name;
  EXPECT_EQ(*seen.rbegin(), Lane::kStep - 1) << packing(T).name;
}
TEST(LaneWeights, DealOutEveryKOnce) {
  for (const WeightType type : kAllTypes) with_weight_type(type, []<WeightType T>() { check_order<T>(); });
}

// What a lane makes of a step of a packed row is, bit for bit, the rounded value of unpack_chunk's
// description.
template <WeightType T>
void check_values(std::mt19937_64& random) {
  using Lane = LaneWeights<T>;
  const std::vector<uint8_t> step = random_weight(T, 1, Lane::kStep, random);
  const std::vector<double> want = decode_all(T, step, 1, Lane::kStep);
  for (const int shift : {0, 2, 14}) {  // of the row in 16 bytes
    if (shift % Lane::kAlign != 0) continue;
    alignas(16) uint8_t shared[1100];
    std::memset(shared, 0xff, sizeof shared);
    std::memcpy(shared + shift, step.data(), step.size());
    for (int group = 0; group < 4; ++group) {
      Lane lane{};
      lane.begin(shared + shift, group);
      for (int product = 0; product < Lane::kStep / kTile; ++product) {
        if (product % kTileProducts == 0)
          lane.template load<Lane::kAlign>(shared + shift, group, product / kTileProducts);
        const uint2 pairs = lane.template operands<Operand::f16>(product % kTileProducts);
        const uint32_t got[] = {pairs.x & 0xffff, pairs.x >> 16, pairs.y & 0xffff, pairs.y >> 16};
        for (int e = 0; e < 4; ++e) {
          const int k = Lane::k_of(group, product, e);
          const half_bits bits = f32_to_f16_rn(static_cast<float>(want[static_cast<size_t>(k)]));
          const bool zeros = (got[e] & 0x7fff) == 0 && (bits & 0x7fff) == 0;
          EXPECT_TRUE(got[e] == bits || zeros)
              << packing(T).name << " k=" << k << " shift=" << shift << ": " << got[e] << " for " << bits;
        }
      }
    }
  }
}
TEST(LaneWeights, AreTheRoundedValues) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kAllTypes)
    with_weight_type(type, [&]<WeightType T>() { check_values<T>(random); });
}

// A copy is not there before its group was waited for, and then is, with zeros behind what was asked for.
TEST(AsyncCopies, ComeWithTheWaitForTheirGroup) {
  alignas(16) uint8_t from[16], to[2][16] = {};
  for (int i = 0; i < 16; ++i) from[i] = static_cast<uint8_t>(i + 1);
  AsyncCopies copies;
  copies.copy16(to[0], from, 16);
  copies.commit();
  copies.copy16(to[1], from, 5);
  copies.commit();
  EXPECT_EQ(to[0][0], 0xff);
  copies.wait<1>();
  EXPECT_EQ(to[0][15], 16);
  EXPECT_EQ(to[1][0], 0xff);
  copies.wait<0>();
  EXPECT_EQ(to[1][4], 5);
  EXPECT_EQ(to[1][5], 0);
}

// Scratch lives until the stream gets to its end.
TEST(Scratch, IsGivenBackInTheOrderOfTheStream) {
  int* kept = nullptr;
  {
    const Scratch<int> scratch(nullptr, 100);
    kept = scratch.data();
    ok(hipMemsetAsync(kept, 1, 400));
  }
  ok(hipDeviceSynchronize());
  EXPECT_NE(hipMemset(kept, 0, 400), hipSuccess) << "it is still there";
  (void)hipGetLastError();
}

}  // namespace
}  // namespace greta::kernels::test
