// The layout table, and the matrix product against a plain triple loop.
#include "kernels/hip/fragment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>

#include "kernels/hip/checked.hpp"
#include "kernels/hip/host_test_util.hpp"

namespace greta::kernels {
namespace {

class Fragment : public HostTest, public testing::WithParamInterface<int> {
  void SetUp() override { use({.wave = GetParam()}); }
};
INSTANTIATE_TEST_SUITE_P(Wave, Fragment, testing::Values(64, 32), testing::PrintToStringParamName());

TEST_P(Fragment, EveryElementIsOwnedOnce) {
  const int wave = GetParam();
  for (const FragmentLayout layout : {layout_a(wave), layout_b(wave), layout_acc(wave)}) {
    std::set<std::pair<int, int>> owned;
    for (int lane = 0; lane < wave; ++lane) {
      for (int r = 0; r < kTile * kTile / wave; ++r) {
        const FragmentCell cell = cell_of(layout, wave, lane, r);
        EXPECT_TRUE(owned.emplace(cell.row, cell.column).second) << cell.row << ", " << cell.column;
      }
    }
    EXPECT_EQ(owned.size(), size_t{kTile * kTile});
    EXPECT_EQ(owned.begin()->first, 0);
    EXPECT_EQ(owned.rbegin()->first, kTile - 1);
  }
}

// The vendors' formulas, as they write them.
TEST_P(Fragment, TableIsTheVendorsFormula) {
  const int wave = GetParam();
  for (int l = 0; l < wave; ++l) {
    for (int r = 0; r < kTile * kTile / wave; ++r) {
      const FragmentCell a = cell_of(layout_a(wave), wave, l, r), b = cell_of(layout_b(wave), wave, l, r),
                         d = cell_of(layout_acc(wave), wave, l, r);
      const auto is = [](FragmentCell cell, int row, int column) {
        return cell.row == row && cell.column == column;
      };
      if (wave == 64) {
        EXPECT_TRUE(is(a, l % 16, 4 * (l / 16) + r));
        EXPECT_TRUE(is(b, 4 * (l / 16) + r, l % 16));
        EXPECT_TRUE(is(d, 4 * (l / 16) + r, l % 16));
      } else {
        const int q = r / 2, half = r / 4;
        EXPECT_TRUE(is(a, q % 2 * 8 + l / 4, (q / 2 * 4 + l % 4) * 2 + r % 2));
        EXPECT_TRUE(is(b, (q % 2 * 4 + l % 4) * 2 + r % 2, 8 * half + l / 4));
        EXPECT_TRUE(is(d, r % 4 / 2 * 8 + l / 4, 8 * half + l % 4 * 2 + r % 2));
      }
    }
  }
}

// One tile a wave; each wave multiplies the same operands.
template <Operand O>
__global__ void multiply_tiles(const float* a, const float* b, const float* c, float* d) {
  FragmentA fa;
  FragmentB fb;
  FragmentAcc acc;
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell in_a = a_cell(lane_id(), r), in_b = b_cell(lane_id(), r),
                       in_c = acc_cell(lane_id(), r);
    fa.x[r] = f32_to_operand_rn<O>(a[in_a.row * kTile + in_a.column]);
    fb.x[r] = f32_to_operand_rn<O>(b[in_b.row * kTile + in_b.column]);
    acc.x[r] = c[in_c.row * kTile + in_c.column];
  }
  mma<O>(acc, fa, fb);
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell at = acc_cell(lane_id(), r);
    d[(wave_id() * kTile + at.row) * kTile + at.column] = acc.x[r];
  }
}

using Tile = std::vector<float>;

Tile product(const Tile& a, const Tile& b, const Tile& c) {
  Tile d = c;
  for (int i = 0; i < kTile; ++i) {
    for (int j = 0; j < kTile; ++j) {
      for (int k = 0; k < kTile; ++k)
        d[i * kTile + j] = std::fma(a[i * kTile + k], b[k * kTile + j], d[i * kTile + j]);
    }
  }
  return d;
}

constexpr int kWaves = 2;

template <Operand O>
Tile multiply(const Tile& a, const Tile& b, const Tile& c) {
  DeviceBuffer<float> da(a), db(b), dc(c), d(kWaves * kTile * kTile);
  hipLaunchKernelGGL(multiply_tiles<O>, 1, kWaves * wave_size(), 0, nullptr, da.data(), db.data(), dc.data(),
                     d.data());
  return d.download();
}

void expect_bits(const Tile& got, const Tile& expected) {
  for (int i = 0; i < kWaves * kTile * kTile; ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i % (kTile * kTile)]))
        << "row " << i / kTile << " column " << i % kTile;
  }
}

template <Operand O = Operand::f16>
void expect_product(const Tile& a, const Tile& b, const Tile& c) {
  expect_bits(multiply<O>(a, b, c), product(a, b, c));
}

TEST_P(Fragment, IdentityMovesNothing) {
  Tile one(kTile * kTile, 0.0f), coded(kTile * kTile), zero(kTile * kTile, 0.0f);
  for (int i = 0; i < kTile; ++i) one[i * kTile + i] = 1;
  for (int i = 0; i < kTile * kTile; ++i) coded[i] = static_cast<float>(i);  // exact in f16
  expect_product(one, coded, zero);
  expect_product(coded, one, zero);
  expect_product(zero, zero, coded);
}

// Random values of type O, over many exponents.
template <Operand O>
Tile random_tile(std::mt19937& random, int exponents) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  Tile tile(kTile * kTile);
  for (float& x : tile) {
    const int exponent = static_cast<int>(random() % static_cast<unsigned>(exponents)) - exponents / 2;
    x = operand_to_f32<O>(f32_to_operand_rn<O>(std::ldexp(uniform(random), exponent)));
  }
  return tile;
}

template <Operand O>
void random_products(std::mt19937& random, int exponents) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int round = 0; round < 20; ++round) {
    const Tile a = random_tile<O>(random, exponents), b = random_tile<O>(random, exponents);
    Tile c(kTile * kTile);
    for (float& x : c) x = uniform(random);
    expect_product<O>(a, b, c);
  }
}

TEST_P(Fragment, ProductIsATripleLoopBitForBit) {
  std::mt19937 random(test_seed());
  random_products<Operand::f16>(random, 20);
  random_products<Operand::bf16>(random, 20);
  random_products<Operand::bf16>(random, 180);  // products below f32's smallest, sums beyond its largest
}

template <Operand O>
void expect_unit(host::MatrixUnit unit, host::TileProduct model, const Tile& a, const Tile& b,
                 const Tile& c) {
  SCOPED_TRACE(host::name_of(unit));
  half_bits a_bits[kTile * kTile], b_bits[kTile * kTile];
  for (int i = 0; i < kTile * kTile; ++i) a_bits[i] = f32_to_operand_rn<O>(a[i]);
  for (int i = 0; i < kTile * kTile; ++i) b_bits[i] = f32_to_operand_rn<O>(b[i]);
  Tile expected = c;
  model(a_bits, b_bits, expected.data());
  expect_bits(multiply<O>(a, b, c), expected);
}

// Each unit's own bits, by the layout of either wave; and the units differ, or this would show nothing.
TEST_P(Fragment, MultipliesByTheConfiguredUnit) {
  std::mt19937 random(test_seed());
  const Tile a = random_tile<Operand::bf16>(random, 12), b = random_tile<Operand::bf16>(random, 12),
             c = random_tile<Operand::bf16>(random, 12);  // f16 holds them too: 8 bits, small exponents
  std::set<Tile> results;
  for (const auto unit :
       {host::MatrixUnit::ieee, host::MatrixUnit::cdna2, host::MatrixUnit::cdna3, host::MatrixUnit::hopper}) {
    use({.wave = GetParam(), .matrix_unit = unit});
    expect_unit<Operand::f16>(unit, host::unit_products(unit).f16, a, b, c);
    expect_unit<Operand::bf16>(unit, host::unit_products(unit).bf16, a, b, c);
    results.insert(multiply<Operand::bf16>(a, b, c));
  }
  EXPECT_EQ(results.size(), 4u);
}

__global__ void multiply_by_some() {
  FragmentA a{};
  FragmentB b{};
  FragmentAcc c{};
  if (lane_id() < 16) mma(c, a, b);
}
__global__ void multiply_once() {
  FragmentA a{};
  FragmentB b{};
  FragmentAcc c{};
  mma(c, a, b);
}

TEST_P(Fragment, NeedsEveryLaneOfAFullWave) {
  hipLaunchKernelGGL(multiply_by_some, 1, GetParam(), 0, nullptr);
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(),
              testing::HasSubstr("reached by 16 of " + std::to_string(GetParam()) + " lanes"));
  hipLaunchKernelGGL(multiply_once, 1, GetParam() + 3, 0, nullptr);
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(), testing::HasSubstr("by a wave of 3 lanes: it takes full waves"));
}

}  // namespace
}  // namespace greta::kernels
