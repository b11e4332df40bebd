// qk, softmax and pv against loops in f64: any heads, any head size, masks, caches of each type, both
// tunings.
#include <gtest/gtest.h>

#include "kernels/test_cache.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

struct Heads {
  int64_t S, start, H, Hkv, Dh;
};
constexpr Heads kCases[] = {
    {1, 0, 1, 1, 2}, {5, 3, 4, 1, 18}, {1, 70, 8, 2, 32}, {37, 0, 6, 3, 46}, {2, 9, 3, 3, 100}};

// Every tuning with every type of cache.
struct Variant {
  Tuning tuning;
  CacheType type;
};
constexpr Variant kVariants[] = {{Tuning::plain, CacheType::f32},  {Tuning::wide, CacheType::f32},
                                 {Tuning::plain, CacheType::f16},  {Tuning::wide, CacheType::f16},
                                 {Tuning::plain, CacheType::bf16}, {Tuning::wide, CacheType::bf16}};

TEST(Qk, EveryScoreWithinItsBound) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const auto& [S, start, H, Hkv, Dh] : kCases) {
    for (const auto& [tuning, type] : kVariants) {
      const int64_t T = start + S, per = H / Hkv;
      const std::vector<float> q = activations(random, S * H, Dh);
      const Cache cache(type, activations(random, T * Hkv, Dh));
      const std::vector<float>& k = cache.values();
      const float scale = static_cast<float>(1 / std::sqrt(static_cast<double>(Dh)));
      const DeviceArray<float> device_q(q);
      for (const Outcome& run : run_everywhere(static_cast<size_t>(S * H * T), [&](float* out) {
             return qk(nullptr, device_q.data(), cache.data(), type, S, start, H, Hkv, Dh, out, tuning);
           })) {
        const double chain = contract_value(run.attested.contract, "chain");
        EXPECT_EQ(chain, tuning == Tuning::plain ? (Dh + 15) / 16 + 4 : 32 + (Dh + 31) / 32);
        for (int64_t i = 0; i < S * H * T; ++i) {
          const int64_t t = i % T, h = i / T % H, s = i / T / H;
          const float got = run.out[static_cast<size_t>(i)];
          if (t > start + s) {
            ASSERT_EQ(got, -INFINITY) << "s=" << s << " t=" << t;
            continue;
          }
          double sum = 0, size = 0;
          for (int64_t d = 0; d < Dh; ++d) {
            const double product = static_cast<double>(q[static_cast<size_t>((s * H + h) * Dh + d)]) *
                                   k[static_cast<size_t>((t * Hkv + h / per) * Dh + d)];
            sum += product, size += std::abs(product);
          }
          const double bound = scale * gamma_n(chain + 1) * size;  // one more rounding for the scale
          ASSERT_LE(std::abs(got - scale * sum), bound)
              << run.attested.kernel << " s=" << s << " h=" << h << " t=" << t;
        }
      }
    }
  }
}

TEST(Pv, EveryOutputWithinItsBound) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const auto& [S, start, H, Hkv, Dh] : kCases) {
    for (const auto& [tuning, type] : kVariants) {
      const int64_t T = start + S, per = H / Hkv;
      std::vector<float> p(static_cast<size_t>(S * H * T));
      for (float& v : p) v = std::uniform_real_distribution<float>(0, 2.0f / static_cast<float>(T))(random);
      const Cache cache(type, activations(random, T * Hkv, Dh));
      const std::vector<float>& v = cache.values();
      const DeviceArray<float> device_p(p);
      std::vector<double> want(static_cast<size_t>(S * H * Dh)), size(want);
      for (int64_t i = 0; i < S * H * Dh; ++i) {
        const int64_t row = i / Dh, d = i % Dh, h = row % H;
        for (int64_t t = 0; t < T; ++t) {
          const double product = static_cast<double>(p[static_cast<size_t>(row * T + t)]) *
                                 v[static_cast<size_t>((t * Hkv + h / per) * Dh + d)];
          want[static_cast<size_t>(i)] += product, size[static_cast<size_t>(i)] += std::abs(product);
        }
      }
      for (const Outcome& run : run_everywhere(want.size(), [&](float* out) {
             return pv(nullptr, device_p.data(), cache.data(), type, S, T, H, Hkv, Dh, out, tuning);
           })) {
        const double chain = contract_value(run.attested.contract, "chain");
        EXPECT_EQ(chain, static_cast<double>(tuning == Tuning::plain ? T : 32 + (T + 31) / 32));
        std::vector<double> bound(size);
        for (double& b : bound) b *= gamma_n(chain);
        expect_within(run.out, want, bound,
                      run.attested.kernel + " T=" + std::to_string(T) + " Dh=" + std::to_string(Dh));
      }
    }
  }
}

void check_softmax(const std::vector<float>& scores, int64_t rows, int64_t columns) {
  const DeviceArray<float> device(scores);
  for (const Outcome& run : run_everywhere(
           scores.size(), [&](float* out) { return softmax(nullptr, device.data(), rows, columns, out); })) {
    const double chain = contract_value(run.attested.contract, "chain");
    const double exp_error = contract_value(run.attested.contract, "exp") * 2 * kUnit;
    EXPECT_EQ(chain, static_cast<double>((columns + 15) / 16 + 4));
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = scores.data() + row * columns;
      double largest = -HUGE_VAL, sum = 0;
      for (int64_t i = 0; i < columns; ++i) largest = std::max<double>(largest, from[i]);
      for (int64_t i = 0; i < columns; ++i) sum += std::exp(from[i] - largest);
      for (int64_t i = 0; i < columns; ++i) {
        const float got = run.out[static_cast<size_t>(row * columns + i)];
        const double difference = from[i] - largest, want = std::exp(difference) / sum;
        if (from[i] == -INFINITY) {
          ASSERT_EQ(got, 0.0f) << "a masked score";
          continue;
        }
        // The difference is rounded before exp; the sum carries the same errors and its chain; the quotient
        // one ulp.
        const double relative =
            std::abs(difference) * kUnit + 2 * exp_error + 40 * kUnit + gamma_n(chain) + 2 * kUnit;
        ASSERT_LE(std::abs(got - want), want * relative + 0x1p-148) << "row " << row << " column " << i;
      }
    }
  }
}

TEST(Softmax, RandomRowsWithMasksAndHugeScores) {
  SEEDED;
  std::mt19937_64 random = generator();
  std::normal_distribution<float> normal(0, 3);
  for (const auto& [rows, columns] :
       {std::pair<int64_t, int64_t>{1, 1}, {3, 15}, {4, 16}, {5, 17}, {11, 205}}) {
    std::vector<float> scores(static_cast<size_t>(rows * columns));
    for (int64_t i = 0; i < rows * columns; ++i) {
      const int64_t row = i / columns, column = i % columns;
      float& score = scores[static_cast<size_t>(i)];
      score = normal(random) +
              (row % 3 == 1 ? 3e4f : 0.0f);  // exp(3e4) overflows any f32 without the maximum subtracted
      if (row % 2 == 1 && column > row) score = -INFINITY;
      if (row % 5 == 2 && column % 7 == 3) score = -200;  // exp underflows
    }
    check_softmax(scores, rows, columns);
  }
}

TEST(Softmax, OneScoreAboveMinusInfinityTakesAll) {
  std::vector<float> scores(4 * 33, -INFINITY);
  for (int64_t row = 0; row < 4; ++row) scores[static_cast<size_t>(row * 33 + row * 8)] = -1e30f;
  const DeviceArray<float> device(scores);
  for (const Outcome& run : run_everywhere(
           scores.size(), [&](float* out) { return softmax(nullptr, device.data(), 4, 33, out); })) {
    for (size_t i = 0; i < scores.size(); ++i)
      EXPECT_EQ(run.out[i], scores[i] == -INFINITY ? 0.0f : 1.0f) << i;
  }
}

TEST(Attention, RefusesUnevenHeads) {
  float v = 0;
  EXPECT_THROW(qk(nullptr, &v, &v, CacheType::f32, 1, 0, 5, 2, 2, &v), LaunchError);
  EXPECT_THROW(pv(nullptr, &v, &v, CacheType::f32, 1, 1, 5, 2, 2, &v), LaunchError);
  EXPECT_THROW(softmax(nullptr, &v, 0, 1, &v), LaunchError);
}

}  // namespace
}  // namespace greta::kernels::test
