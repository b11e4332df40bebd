// The layout table, and the matrix product against a plain triple loop.
#include "kernels/hip/fragment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
__global__ void multiply_tiles(const float* a, const float* b, const float* c, float* d) {
  FragmentA fa;
  FragmentB fb;
  FragmentAcc acc;
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell in_a = a_cell(lane_id(), r), in_b = b_cell(lane_id(), r),
                       in_c = acc_cell(lane_id(), r);
    fa.x[r] = f32_to_f16_rn(a[in_a.row * kTile + in_a.column]);
    fb.x[r] = f32_to_f16_rn(b[in_b.row * kTile + in_b.column]);
    acc.x[r] = c[in_c.row * kTile + in_c.column];
  }
  mma(acc, fa, fb);
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

void expect_product(const Tile& a, const Tile& b, const Tile& c) {
  constexpr int kWaves = 2;
  DeviceBuffer<float> da(a), db(b), dc(c), d(kWaves * kTile * kTile);
  hipLaunchKernelGGL(multiply_tiles, 1, kWaves * wave_size(), 0, nullptr, da.data(), db.data(), dc.data(),
                     d.data());
  const Tile got = d.download(), expected = product(a, b, c);
  for (int i = 0; i < kWaves * kTile * kTile; ++i) {
    ASSERT_EQ(got[i], expected[i % (kTile * kTile)]) << "row " << i / kTile << " column " << i % kTile;
  }
}

TEST_P(Fragment, IdentityMovesNothing) {
  Tile one(kTile * kTile, 0.0f), coded(kTile * kTile), zero(kTile * kTile, 0.0f);
  for (int i = 0; i < kTile; ++i) one[i * kTile + i] = 1;
  for (int i = 0; i < kTile * kTile; ++i) coded[i] = static_cast<float>(i);  // exact in f16
  expect_product(one, coded, zero);
  expect_product(coded, one, zero);
  expect_product(zero, zero, coded);
}

TEST_P(Fragment, ProductIsATripleLoopBitForBit) {
  std::mt19937 random(test_seed());
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (int round = 0; round < 20; ++round) {
    Tile a(kTile * kTile), b(kTile * kTile), c(kTile * kTile);
    for (float& x : a)
      x = f16_to_f32(f32_to_f16_rn(std::ldexp(uniform(random), static_cast<int>(random() % 30) - 20)));
    for (float& x : b) x = f16_to_f32(f32_to_f16_rn(uniform(random)));
    for (float& x : c) x = uniform(random);
    expect_product(a, b, c);
  }
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
