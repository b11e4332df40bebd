// Every route of matmul for every weight type against sums in f64.
#include <gtest/gtest.h>

#include <set>

#include "kernels/launch.hpp"
#include "kernels/test_blocks.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

constexpr Route kRoutes[] = {{Unit::valu, Shape::gemm},
                             {Unit::valu, Shape::gemv},
                             {Unit::mfma, Shape::gemm, Tuning::plain, Operand::f16},
                             {Unit::mfma, Shape::gemv, Tuning::plain, Operand::f16},
                             {Unit::mfma, Shape::gemm, Tuning::plain, Operand::bf16},
                             {Unit::mfma, Shape::gemv, Tuning::plain, Operand::bf16}};

// A double that f32 holds, in bf16: what is left when its last 16 bits are rounded away.
double round_to_bf16(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  int exponent;
  std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(x, 8 - exponent)), exponent - 8);
}
// As the configured unit reads it: CDNA2 has no subnormal operands.
double round_to(Operand operand, double x) {
  const double rounded = operand == Operand::f16 ? round_to_half(x) : round_to_bf16(x);
  const double smallest = operand == Operand::f16 ? 0x1p-14 : 0x1p-126;
  const bool flushes = host::configured_matrix_unit() == host::MatrixUnit::cdna2;
  return flushes && std::abs(rounded) < smallest ? 0 : rounded;
}

std::string route_name(Route r) {
  return std::string(r.unit == Unit::valu ? "valu" : "mfma") + (r.shape == Shape::gemm ? "_gemm" : "_gemv");
}

struct Case {
  Route route;
  WeightType type;
  int64_t rows, N, K;
  std::string name() const {
    return route_name(route) + (route.operand == Operand::bf16 ? " bf16 " : " ") + type_name(type) +
           " rows=" + std::to_string(rows) + " N=" + std::to_string(N) + " K=" + std::to_string(K);
  }
};

// The operands as the route sees them, and what follows: Σ w·x and Σ |w·x|.
struct Sums {
  std::vector<double> value, size;
};

Sums sums_of(const Case& c, const std::vector<float>& x, const std::vector<double>& w) {
  std::vector<double> xs(x.begin(), x.end()), ws(w);
  for (double& v : ws) v = static_cast<float>(v);
  if (c.route.unit == Unit::mfma) {
    for (double& v : xs) v = round_to(c.route.operand, v);
    for (double& v : ws) v = round_to(c.route.operand, v);
  }
  Sums sums{std::vector<double>(static_cast<size_t>(c.rows * c.N)), {}};
  sums.size = sums.value;
  for (int64_t s = 0; s < c.rows; ++s) {
    for (int64_t n = 0; n < c.N; ++n) {
      for (int64_t k = 0; k < c.K; ++k) {
        const double product = xs[static_cast<size_t>(s * c.K + k)] * ws[static_cast<size_t>(n * c.K + k)];
        sums.value[static_cast<size_t>(s * c.N + n)] += product;
        sums.size[static_cast<size_t>(s * c.N + n)] += std::abs(product);
      }
    }
  }
  return sums;
}

// The additions that the kernel's description implies.
int64_t chain_of(const Case& c, const Outcome&) {
  if (c.route.unit == Unit::valu && c.route.shape == Shape::gemv) return 2 * ((c.K + 255) / 256) + 4 + 3;
  if (c.route.unit == Unit::valu || host::configured_matrix_unit() == host::MatrixUnit::ieee) return c.K;
  // A unit takes 16 terms at a time, four from each of the four chunks of 32 in a step of 128.
  std::set<std::pair<int64_t, int64_t>> blocks;
  for (int64_t k = 0; k < c.K; ++k) blocks.emplace(k / 128, k % 32 / 4);
  return 16 * static_cast<int64_t>(blocks.size());
}

void check(const Case& c, const std::vector<float>& x, const std::vector<uint8_t>& bytes, bool exact) {
  SCOPED_TRACE(c.name());
  const DeviceArray<uint8_t> data(bytes);
  const DeviceArray<float> device_x(x);
  const Weight w{data.data(), c.type, c.N, c.K};
  const Sums sums = sums_of(c, x, decode_all(c.type, bytes, c.N, c.K));
  const auto launch = [&](float* y) { return matmul(nullptr, c.route, w, device_x.data(), c.rows, y); };
  for (const Outcome& run : run_everywhere(sums.value.size(), launch)) {
    const std::string prefix = "matmul_" + route_name(c.route) + "_" + type_name(c.type) + "<";
    EXPECT_EQ(run.attested.kernel.rfind(prefix, 0), 0u) << run.attested.kernel;
    const std::string type = c.route.unit == Unit::valu        ? "f32"
                             : c.route.operand == Operand::f16 ? "f16"
                                                               : "bf16";
    const std::string operands = "x=" + type + " w=" + type;
    const std::string unit =
        c.route.unit == Unit::valu ? "ieee" : host::name_of(host::configured_matrix_unit());
    EXPECT_TRUE(run.attested.contract.ends_with(" unit=" + unit)) << run.attested.contract;
    EXPECT_EQ(run.attested.kernel.ends_with(",operand=" + type + ">"), c.route.unit == Unit::mfma)
        << run.attested.kernel;
    EXPECT_NE(run.attested.contract.find("op=matmul " + operands + " acc=f32 "), std::string::npos)
        << run.attested.contract;
    const double chain = contract_value(run.attested.contract, "chain");
    EXPECT_EQ(chain, static_cast<double>(chain_of(c, run)));
    std::vector<double> bound(sums.size);
    for (double& b : bound) b = exact ? 0 : gamma_n(chain) * b;
    expect_within(run.out, sums.value, bound, c.name() + " wave " + std::to_string(run.wave));
  }
}

std::vector<int64_t> columns_of(WeightType type) {
  switch (block_values(type)) {
    case 1:
      return {1, 45, 301};
    case 32:
      return {32, 352};
    default:
      return {256, 768};
  }
}

TEST(Matmul, RandomWeightsOfEveryTypeByEveryRoute) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const Route route : kRoutes) {
    for (const WeightType type : kAllTypes) {
      for (const int64_t K : columns_of(type)) {
        for (const auto& [rows, N] : {std::pair<int64_t, int64_t>{1, 67}, {3, 5}, {39, 21}}) {
          check({route, type, rows, N, K}, activations(random, rows, K), random_weight(type, N, K, random),
                false);
        }
      }
    }
  }
}

// The same through each matrix unit: within what its coarsest rounding allows, two places of f32 a block of
// 16 (Hopper's 17 cuts of 2^-25 and one of 2^-23, the others less).
TEST(Matmul, RandomWeightsThroughEveryMatrixUnit) {
  SEEDED;
  std::mt19937_64 random = generator();
  const host::Settings before = host::settings();
  for (const auto unit : {host::MatrixUnit::cdna2, host::MatrixUnit::cdna3, host::MatrixUnit::hopper}) {
    host::Settings settings = before;
    settings.matrix_unit = unit;
    host::configure(settings);
    for (const Route route : kRoutes) {
      if (route.unit == Unit::valu) continue;
      for (const int64_t K : {1, 45, 301}) {
        check({route, WeightType::f32, 19, 21, K}, activations(random, 19, K),
              random_weight(WeightType::f32, 21, K, random), false);
      }
    }
  }
  host::configure(before);
}

// Sizes on each side of the tiles: 8, 16, 32, 64 rows of x; 8, 16, 64, 128 rows of W.
TEST(Matmul, SizesAroundTheTiles) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const Route route : kRoutes) {
    for (const int64_t rows : {8, 9, 16, 17, 32, 33, 64, 65}) {
      const int64_t N = 131, K = 130;
      check({route, WeightType::f32, rows, N, K}, activations(random, rows, K),
            random_weight(WeightType::f32, N, K, random), false);
    }
    for (const int64_t N : {1, 8, 15, 16, 17, 63, 64, 65, 127, 128, 129}) {
      check({route, WeightType::q8_0, 2, N, 64}, activations(random, 2, 64),
            random_weight(WeightType::q8_0, N, 64, random), false);
    }
  }
}

// Small integers that name their place: every sum is exact in f32 and in f16 operands, so any order and any
// unit gives the same bits and one swapped index does not.
TEST(Matmul, IndexCodedIntegersAreExact) {
  const int64_t rows = 35, N = 83, K = 333;
  std::vector<float> x(static_cast<size_t>(rows * K)), w(static_cast<size_t>(N * K));
  for (int64_t s = 0; s < rows; ++s) {
    for (int64_t k = 0; k < K; ++k)
      x[static_cast<size_t>(s * K + k)] = static_cast<float>((s * 131 + k * 17) % 23 - 11);
  }
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k)
      w[static_cast<size_t>(n * K + k)] = static_cast<float>((n * 29 + k * k * 13) % 19 - 9);
  }
  const uint8_t* raw = reinterpret_cast<const uint8_t*>(w.data());
  const host::Settings before = host::settings();
  for (const auto unit :
       {host::MatrixUnit::ieee, host::MatrixUnit::cdna2, host::MatrixUnit::cdna3, host::MatrixUnit::hopper}) {
    host::Settings settings = before;
    settings.matrix_unit = unit;
    host::configure(settings);
    for (const Route route : kRoutes) {
      if (unit != host::MatrixUnit::ieee && route.unit == Unit::valu) continue;
      check({route, WeightType::f32, rows, N, K}, x, std::vector<uint8_t>(raw, raw + w.size() * 4), true);
    }
  }
  host::configure(before);
}

// What a card says it is, in the contract's words; a card without a model is refused by name.
TEST(Matmul, CardsAreKnownByTheirMatrixUnit) {
  EXPECT_STREQ(unit_of_compute_capability(9, 0), "hopper");
  EXPECT_EQ(unit_of_compute_capability(8, 0), nullptr);
  EXPECT_EQ(unit_of_compute_capability(10, 0), nullptr);
  EXPECT_STREQ(unit_of_gfx("gfx90a:sramecc+:xnack-"), "cdna2");
  EXPECT_STREQ(unit_of_gfx("gfx942"), "cdna3");
  EXPECT_EQ(unit_of_gfx("gfx908"), nullptr);
  EXPECT_EQ(unit_of_gfx("gfx1100"), nullptr);
}

TEST(Matmul, NanAndInfinityReachOnlyTheirRow) {
  const int64_t rows = 5, N = 70, K = 64;
  std::mt19937_64 random(1);
  std::vector<float> x = activations(random, rows, K);
  x[2 * K + 7] = NAN;
  x[4 * K + 63] = INFINITY;
  const std::vector<uint8_t> bytes = random_weight(WeightType::f16, N, K, random);
  const DeviceArray<uint8_t> data(bytes);
  const DeviceArray<float> device_x(x);
  const Weight w{data.data(), WeightType::f16, N, K};
  for (const Route route : kRoutes) {
    for (const Outcome& run : run_everywhere(static_cast<size_t>(rows * N), [&](float* y) {
           return matmul(nullptr, route, w, device_x.data(), rows, y);
         })) {
      for (int64_t i = 0; i < rows * N; ++i) {
        const int64_t row = i / N;
        const float y = run.out[static_cast<size_t>(i)];
        EXPECT_TRUE(row == 2   ? std::isnan(y)
                    : row == 4 ? std::isinf(y)
                               : std::isfinite(y))
            << route_name(route) << " " << i;
      }
    }
  }
}

TEST(Matmul, RefusesWhatItCannotDo) {
  float value = 0;
  const Weight good{&value, WeightType::f32, 1, 1};
  EXPECT_THROW(matmul(nullptr, {}, {nullptr, WeightType::f32, 1, 1}, &value, 1, &value), LaunchError);
  EXPECT_THROW(matmul(nullptr, {}, {&value, WeightType::q4_K, 1, 255}, &value, 1, &value), LaunchError);
  EXPECT_THROW(matmul(nullptr, {}, {&value, WeightType::f32, 0, 1}, &value, 1, &value), LaunchError);
  EXPECT_THROW(matmul(nullptr, {}, good, &value, 0, &value), LaunchError);
  EXPECT_THROW(matmul(nullptr, {}, good, nullptr, 1, &value), LaunchError);
}

}  // namespace
}  // namespace greta::kernels::test
