// The fused kernels of decode against their stages one by one: each output within its own contract's bound of
// what the stage computes from the operands that the kernel itself wrote, and the same bits whether a tap
// reads or not.
#include <gtest/gtest.h>

#include <memory>

#include "kernels/test_blocks.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

constexpr float kEps = 1e-5f;

struct Matrix {
  WeightType type;
  int64_t rows, columns;
  std::vector<double> values;
  DeviceArray<uint8_t> data;

  Matrix(WeightType t, int64_t N, int64_t K, std::mt19937_64& random)
      : Matrix(t, N, K, random_weight(t, N, K, random)) {}
  Matrix(WeightType t, int64_t N, int64_t K, const std::vector<uint8_t>& bytes)
      : type(t), rows(N), columns(K), values(decode_all(t, bytes, N, K)), data(bytes) {}
  Weight weight() const { return {data.data(), type, rows, columns}; }
};

// Each y within γ_chain · Σ|w·n| of Σ w·n.
void expect_product(const std::vector<float>& y, const Matrix& m, const std::vector<float>& n,
                    const Attested& attested, const std::string& what) {
  ASSERT_EQ(attested.contract.rfind("op=matmul x=f32 w=f32 acc=f32 chain=", 0), 0u) << attested.contract;
  const double chain = contract_value(attested.contract, "chain");
  std::vector<double> want(y.size()), bound(y.size());
  for (size_t i = 0; i < y.size(); ++i) {
    for (size_t k = 0; k < n.size(); ++k) {
      const double product = static_cast<double>(static_cast<float>(m.values[i * n.size() + k])) * n[k];
      want[i] += product;
      bound[i] += gamma_n(chain) * std::abs(product);
    }
  }
  expect_within(y, want, bound, what + " of " + type_name(m.type));
}

void expect_norm(const std::vector<float>& n, const std::vector<float>& x, const std::vector<float>& weight,
                 const Attested& attested) {
  ASSERT_EQ(attested.contract.rfind("op=rmsnorm chain=", 0), 0u) << attested.contract;
  const double chain = contract_value(attested.contract, "chain"),
               root = contract_value(attested.contract, "sqrt");
  double squares = 0;
  for (const float v : x) squares += static_cast<double>(v) * v;
  const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + kEps);
  std::vector<double> want(x.size()), bound(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    want[i] = x[i] * scale * weight[i];
    bound[i] = std::abs(want[i]) * (gamma_n(chain + 2) / 2 + 2 * kUnit * root + 3 * kUnit);
  }
  expect_within(n, want, bound, "norm");
}

// The outputs of one run: as many arrays as the kernel has, read back; `taps`: those that may be null are
// not.
using Arrays = std::vector<std::unique_ptr<DeviceArray<float>>>;

// Runs on both wave sizes with taps and without; `same` of the outputs must have the same bits either way.
template <class Launch, class Check>
void on_both(const std::vector<size_t>& sizes, const std::vector<bool>& optional, Launch launch,
             Check check) {
  const host::Settings before = host::settings();
  for (const int wave : {64, 32}) {
    for (const uint64_t order : {uint64_t{0}, test_seed() | 2}) {
      host::Settings settings = before;
      settings.wave = wave, settings.order_seed = order;
      host::configure(settings);
      std::vector<std::vector<float>> with;
      for (const bool taps : {true, false}) {
        Arrays arrays;
        std::vector<float*> out;
        for (size_t i = 0; i < sizes.size(); ++i) {
          arrays.push_back(std::make_unique<DeviceArray<float>>(sizes[i]));
          out.push_back(taps || !optional[i] ? arrays.back()->data() : nullptr);
        }
        const auto ran = launch(out);
        EXPECT_EQ(hipDeviceSynchronize(), hipSuccess) << host::last_error();
        std::vector<std::vector<float>> got;
        for (const auto& array : arrays) got.push_back(array->read());
        if (taps) {
          SCOPED_TRACE("wave " + std::to_string(wave) + " order " + std::to_string(order));
          with = got;
          check(got, ran);
        } else {
          for (size_t i = 0; i < sizes.size(); ++i) {
            for (size_t j = 0; j < sizes[i]; ++j) {
              const uint32_t bits = std::bit_cast<uint32_t>(got[i][j]);
              ASSERT_EQ(bits, optional[i] ? 0xffffffffu : std::bit_cast<uint32_t>(with[i][j]))
                  << i << " " << j;
            }
          }
        }
      }
    }
  }
  host::configure(before);
}

TEST(NormProducts, EachOfThreeIsItsOwnProduct) {
  SEEDED;
  std::mt19937_64 random = generator();
  using Types = std::vector<WeightType>;
  const auto q4 = WeightType::q4_K, q6 = WeightType::q6_K;
  for (const Types& types :
       {Types{q4, q4, q6}, Types{q6, q4, q4}, Types{q4}, Types{q6, q6}, Types{WeightType::q8_0},
        Types{WeightType::f16, WeightType::f16, WeightType::f16},
        Types{WeightType::q5_K, q4, WeightType::f32}}) {
    for (const int64_t K : {512, 4352}) {
      const std::vector<float> x = activations(random, 1, K), weight = activations(random, 1, K);
      const DeviceArray<float> device_x(x), device_weight(weight);
      std::vector<std::unique_ptr<Matrix>> matrices;
      std::vector<size_t> sizes = {static_cast<size_t>(K)};
      std::vector<bool> optional = {true};
      for (size_t i = 0; i < types.size(); ++i) {
        const int64_t N = i == 0 ? 40 : 8;
        matrices.push_back(std::make_unique<Matrix>(types[i], N, K, random));
        sizes.push_back(static_cast<size_t>(N)), optional.push_back(false);
      }
      on_both(
          sizes, optional,
          [&](const std::vector<float*>& out) {
            std::vector<Projection> projections;
            for (size_t i = 0; i < matrices.size(); ++i)
              projections.push_back({matrices[i]->weight(), out[i + 1]});
            return norm_products(nullptr, device_x.data(), device_weight.data(), K, kEps, projections,
                                 out[0]);
          },
          [&](const std::vector<std::vector<float>>& got, const NormProductsRan& ran) {
            EXPECT_EQ(ran.product.kernel.rfind("norm_products_", 0), 0u) << ran.product.kernel;
            expect_norm(got[0], x, weight, ran.norm);
            for (size_t i = 0; i < matrices.size(); ++i)
              expect_product(got[i + 1], *matrices[i], got[0], ran.product, "product " + std::to_string(i));
          });
    }
  }
}

// Odd sizes, where x and its norm cannot be moved 16 bytes at a time.
TEST(NormProducts, OddSizes) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const int64_t K : {1, 37, 4099}) {
    const std::vector<float> x = activations(random, 1, K), weight = activations(random, 1, K);
    const DeviceArray<float> device_x(x), device_weight(weight);
    const Matrix m(WeightType::f16, 13, K, random);
    on_both(
        {static_cast<size_t>(K), 13}, {true, false},
        [&](const std::vector<float*>& out) {
          const Projection p{m.weight(), out[1]};
          return norm_products(nullptr, device_x.data(), device_weight.data(), K, kEps, {&p, 1}, out[0]);
        },
        [&](const std::vector<std::vector<float>>& got, const NormProductsRan& ran) {
          expect_norm(got[0], x, weight, ran.norm);
          expect_product(got[1], m, got[0], ran.product, "product");
        });
  }
}

TEST(NormGateUp, ActivationOfBothProducts) {
  SEEDED;
  std::mt19937_64 random = generator();
  using Types = std::pair<WeightType, WeightType>;
  for (const auto& [gate_type, up_type] :
       {Types{WeightType::q4_K, WeightType::q4_K}, Types{WeightType::q6_K, WeightType::q4_K},
        Types{WeightType::q8_0, WeightType::f32}}) {
    const int64_t K = 768, N = 56;
    std::vector<float> x = activations(random, 1, K), weight = activations(random, 1, K);
    for (float& v : weight) v *= 0.02f;  // gates of about 1: where the activation bends
    const DeviceArray<float> device_x(x), device_weight(weight);
    const Matrix gate(gate_type, N, K, random), up(up_type, N, K, random);
    const size_t n = static_cast<size_t>(N);
    on_both(
        {static_cast<size_t>(K), n, n, n}, {true, true, true, false},
        [&](const std::vector<float*>& out) {
          return norm_gate_up(nullptr, device_x.data(), device_weight.data(), K, kEps, gate.weight(),
                              up.weight(), out[0], out[1], out[2], out[3]);
        },
        [&](const std::vector<std::vector<float>>& got, const NormGateUpRan& ran) {
          expect_norm(got[0], x, weight, ran.norm);
          expect_product(got[1], gate, got[0], ran.gate, "gate");
          expect_product(got[2], up, got[0], ran.up, "up");
          EXPECT_EQ(ran.act.contract, "op=swiglu exp=2 div=1");
          std::vector<double> want(n), bound(n);
          for (size_t i = 0; i < n; ++i) {
            want[i] = got[1][i] / (1 + std::exp(-static_cast<double>(got[1][i]))) * got[2][i];
            bound[i] = std::abs(want[i]) * (2 * 3 + 3) * kUnit + std::abs(got[2][i]) * 0x1p-120;
          }
          expect_within(got[3], want, bound, "act");
        });
  }
}

TEST(ProductAdd, SumOfResidualAndProduct) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const WeightType type : kAllTypes) {
    const int64_t K = type == WeightType::q6_K ? 4352 : 512, N = 24;
    const std::vector<float> x = activations(random, 1, K), residual = activations(random, 1, N);
    const DeviceArray<float> device_x(x), device_residual(residual);
    const Matrix m(type, N, K, random);
    const size_t n = static_cast<size_t>(N);
    on_both(
        {n, n}, {true, false},
        [&](const std::vector<float*>& out) {
          return product_add(nullptr, m.weight(), device_x.data(), device_residual.data(), out[0], out[1]);
        },
        [&](const std::vector<std::vector<float>>& got, const ProductAddRan& ran) {
          expect_product(got[0], m, x, ran.product, "product");
          EXPECT_EQ(ran.add.contract, "op=add");
          for (size_t i = 0; i < n; ++i)
            EXPECT_EQ(got[1][i], static_cast<float>(static_cast<double>(residual[i]) + got[0][i])) << i;
        });
  }
}

TEST(ProductAdd, InPlace) {
  SEEDED;
  std::mt19937_64 random = generator();
  const int64_t K = 512, N = 24;
  const std::vector<float> x = activations(random, 1, K), residual = activations(random, 1, N);
  const DeviceArray<float> device_x(x), in_place(residual), device_residual(residual),
      apart(static_cast<size_t>(N));
  const Matrix m(WeightType::q4_K, N, K, random);
  product_add(nullptr, m.weight(), device_x.data(), in_place.data(), nullptr, in_place.data());
  product_add(nullptr, m.weight(), device_x.data(), device_residual.data(), nullptr, apart.data());
  ok(hipDeviceSynchronize());
  EXPECT_EQ(in_place.read(), apart.read());
}

TEST(Fused, RefuseWhatTheyCannotDo) {
  float value = 0;
  const Weight good{&value, WeightType::f32, 1, 1}, wide{&value, WeightType::f32, 1, 2},
      tall{&value, WeightType::f32, 2, 1};
  const Projection p{good, &value}, no_output{good, nullptr}, other{wide, &value};
  const std::vector<Projection> four(4, p);
  EXPECT_THROW(norm_products(nullptr, &value, &value, 1, kEps, {}, nullptr), LaunchError);
  EXPECT_THROW(norm_products(nullptr, &value, &value, 1, kEps, four, nullptr), LaunchError);
  EXPECT_THROW(norm_products(nullptr, &value, &value, 1, kEps, {&no_output, 1}, nullptr), LaunchError);
  EXPECT_THROW(norm_products(nullptr, &value, &value, 1, kEps, {&other, 1}, nullptr), LaunchError);
  EXPECT_THROW(norm_products(nullptr, nullptr, &value, 1, kEps, {&p, 1}, nullptr), LaunchError);
  const auto gate_up = [&](const Weight& gate, const Weight& up, float* act) {
    return norm_gate_up(nullptr, &value, &value, 1, kEps, gate, up, nullptr, nullptr, nullptr, act);
  };
  EXPECT_THROW(gate_up(good, tall, &value), LaunchError);
  EXPECT_THROW(gate_up(wide, wide, &value), LaunchError);
  EXPECT_THROW(gate_up(good, good, nullptr), LaunchError);
  EXPECT_THROW(product_add(nullptr, good, &value, nullptr, nullptr, &value), LaunchError);
  EXPECT_THROW(product_add(nullptr, {nullptr, WeightType::f32, 1, 1}, &value, &value, nullptr, &value),
               LaunchError);
}

}  // namespace
}  // namespace greta::kernels::test
