// add, swiglu, kv_write, rope, rmsnorm and argmax against plain loops in f64, as the host and as a card runs
// them.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

constexpr Tuning kTunings[] = {Tuning::plain, Tuning::wide};

// `values`, and where asked for not at the start of 16 bytes.
struct Placed {
  Placed(const std::vector<float>& values, bool shifted)
      : array([&] {
          std::vector<float> all(values);
          if (shifted) all.insert(all.begin(), 0.0f);
          return all;
        }()),
        at(array.data() + shifted) {}
  DeviceArray<float> array;
  const float* at;
};

TEST(Add, RoundsOnce) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const int64_t count : {1, 63, 64, 65, 1001, 1027, 2048}) {
    for (const auto& [tuning, shifted] :
         {std::pair{Tuning::plain, false}, {Tuning::wide, false}, {Tuning::wide, true}}) {
      const std::vector<float> a = activations(random, 1, count), b = activations(random, 1, count);
      const Placed device_a(a, shifted), device_b(b, false);
      for (const Outcome& run : run_everywhere(a.size(), [&](float* out) {
             return add(nullptr, device_a.at, device_b.at, count, out, tuning);
           })) {
        EXPECT_EQ(run.attested.contract, "op=add");
        EXPECT_EQ(run.attested.kernel,
                  tuning == Tuning::wide && !shifted ? "add<pack=4,block=256>" : "add<block=64>");
        for (size_t i = 0; i < a.size(); ++i) {
          ASSERT_EQ(run.out[i], static_cast<float>(static_cast<double>(a[i]) + b[i])) << i;
        }
      }
    }
  }
}

TEST(Swiglu, WithinFourRoundings) {
  SEEDED;
  std::mt19937_64 random = generator();
  const int64_t count = 1777;
  std::vector<float> gate = activations(random, 1, count), up = activations(random, 1, count);
  gate[0] = 0, gate[1] = -0.0f, gate[2] = 88, gate[3] = -88, gate[4] = -200, gate[5] = 200;
  const DeviceArray<float> device_gate(gate), device_up(up);
  std::vector<Outcome> runs;
  for (const Tuning tuning : kTunings) {
    for (Outcome& run : run_everywhere(gate.size(), [&](float* out) {
           return swiglu(nullptr, device_gate.data(), device_up.data(), count, out, tuning);
         }))
      runs.push_back(std::move(run));
  }
  for (const Outcome& run : runs) {
    EXPECT_EQ(run.out, runs[0].out);  // the same arithmetic, whatever a thread takes
    const double exp_error = contract_value(run.attested.contract, "exp") * 2 * kUnit;
    const double div_error = contract_value(run.attested.contract, "div") * 2 * kUnit;
    std::vector<double> want(gate.size()), bound(gate.size());
    for (size_t i = 0; i < gate.size(); ++i) {
      want[i] = gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i];
      bound[i] = std::abs(want[i]) * (exp_error + div_error + 3 * kUnit) + std::abs(up[i]) * 0x1p-120;
    }
    expect_within(run.out, want, bound, "swiglu");
  }
}

TEST(KvWrite, MovesTheRowsAndTouchesNothingElse) {
  const int64_t S = 3, width = 37, start = 5, total = 11;
  std::vector<float> rows(static_cast<size_t>(S * width));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i) + 0.25f;
  const DeviceArray<float> device(rows);
  const DeviceArray<float> cache(static_cast<size_t>(total * width));
  const Attested attested = kv_write(nullptr, device.data(), S, width, start, cache.data(), CacheType::f32);
  ok(hipDeviceSynchronize());
  EXPECT_EQ(attested.contract, "op=copy");
  const std::vector<float> got = cache.read();
  for (int64_t i = 0; i < total * width; ++i) {
    const int64_t from = i - start * width;
    const float value = got[static_cast<size_t>(i)];
    if (from >= 0 && from < S * width) {
      EXPECT_EQ(value, rows[static_cast<size_t>(from)]) << i;
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(value), 0xffffffffu) << i << " was not to be written";
    }
  }
}

TEST(KvWrite, RoundsToNearestEven) {
  // Ties of both types to the even side, the largest f16 and what is beyond it, a subnormal, NaN.
  const std::vector<float> rows = {1 + 0x1p-11f, 1 + 0x3p-11f, 65504,       65520,    -0x1p-25f,
                                   0x1.8p-24f,   1 + 0x1p-8f,  1 + 0x3p-8f, -INFINITY};
  const auto written = [&](CacheType type) {
    const DeviceArray<float> device(rows);
    const DeviceArray<half_bits> cache(rows.size() + 2);
    const Attested attested =
        kv_write(nullptr, device.data(), 1, static_cast<int64_t>(rows.size()), 0, cache.data(), type);
    ok(hipDeviceSynchronize());
    EXPECT_EQ(attested.contract, type == CacheType::f16 ? "op=copy out=f16" : "op=copy out=bf16");
    const std::vector<half_bits> got = cache.read();
    EXPECT_EQ(got[rows.size()], 0xffff) << "was not to be written";
    return std::vector<half_bits>(got.begin(), got.end() - 2);
  };
  EXPECT_EQ(written(CacheType::f16),
            (std::vector<half_bits>{0x3c00, 0x3c02, 0x7bff, 0x7c00, 0x8000, 0x0002, 0x3c04, 0x3c0c, 0xfc00}));
  EXPECT_EQ(written(CacheType::bf16),
            (std::vector<half_bits>{0x3f80, 0x3f80, 0x4780, 0x4780, 0xb300, 0x33c0, 0x3f80, 0x3f82, 0xff80}));
}

TEST(Rope, TurnsInterleavedPairs) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const auto& [S, heads, head_dim, rope_dims] : {std::array<int64_t, 4>{1, 1, 2, 2},
                                                      {3, 5, 34, 34},
                                                      {4, 2, 48, 32},
                                                      {2, 3, 10, 0},
                                                      {2, 37, 128, 128},
                                                      {3, 2, 12, 6}}) {
    const std::vector<float> x = activations(random, S * heads, head_dim);
    std::vector<float> frequency(static_cast<size_t>(rope_dims / 2) + 1);
    for (size_t i = 0; i < frequency.size(); ++i) {
      frequency[i] = static_cast<float>(
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)));
    }
    std::vector<int32_t> positions(static_cast<size_t>(S));
    for (int32_t& p : positions) p = static_cast<int32_t>(random() % 8192);
    positions[0] = 0;
    const DeviceArray<float> device_x(x), device_frequency(frequency);
    const DeviceArray<int32_t> device_positions(positions);
    std::vector<double> want(x.size()), bound(x.size());
    for (size_t i = 0; i < x.size(); i += 2) {
      const int64_t pair = static_cast<int64_t>(i) % head_dim / 2;
      const size_t s = i / static_cast<size_t>(heads * head_dim);
      if (pair >= rope_dims / 2) {
        want[i] = x[i], want[i + 1] = x[i + 1];
        continue;
      }
      // The angle is defined in f32: one product, rounded.
      const double angle = static_cast<float>(positions[s]) * frequency[static_cast<size_t>(pair)];
      want[i] = x[i] * std::cos(angle) - x[i + 1] * std::sin(angle);
      want[i + 1] = x[i] * std::sin(angle) + x[i + 1] * std::cos(angle);
      bound[i] = bound[i + 1] = (std::abs(x[i]) + std::abs(x[i + 1])) * (2 * 2 + 2) * kUnit;
    }
    for (const Tuning tuning : kTunings) {
      for (const Outcome& run : run_everywhere(x.size(), [&](float* out) {
             return rope(nullptr, device_x.data(), device_frequency.data(), device_positions.data(), S, heads,
                         head_dim, rope_dims, out, tuning);
           })) {
        EXPECT_EQ(run.attested.contract, "op=rope freq=f64 trig=2");
        EXPECT_EQ(run.attested.kernel.find("heads=") != std::string::npos,
                  tuning == Tuning::wide && head_dim % 4 == 0);
        expect_within(run.out, want, bound, "rope");
      }
    }
  }
  float v = 0;
  int32_t p = 0;
  EXPECT_THROW(rope(nullptr, &v, &v, &p, 1, 1, 3, 2, &v), LaunchError);
  EXPECT_THROW(rope(nullptr, &v, &v, &p, 1, 1, 4, 6, &v), LaunchError);
}

TEST(Rmsnorm, WithinItsBound) {
  SEEDED;
  std::mt19937_64 random = generator();
  // The wide kernel keeps 1, 2, 4, 8 and 16 packs of a row, or none of it.
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1},
                                      {3, 63},
                                      {2, 64},
                                      {5, 257},
                                      {2, 1000},
                                      {2, 1028},
                                      {1, 4096},
                                      {1, 4097},
                                      {2, 5000},
                                      {1, 14336},
                                      {1, 16388}}) {
    std::vector<float> x = activations(random, rows, columns);
    for (int64_t i = 0; i < columns; ++i) x[static_cast<size_t>(i)] *= 1e-4f;  // there eps counts
    const std::vector<float> weight = activations(random, 1, columns);
    const DeviceArray<float> device_x(x), device_weight(weight);
    const float eps = 1e-5f;
    std::vector<Outcome> runs;
    for (const Tuning tuning : kTunings) {
      for (Outcome& run : run_everywhere(x.size(), [&](float* out) {
             return rmsnorm(nullptr, device_x.data(), device_weight.data(), rows, columns, eps, out, tuning);
           })) {
        const int64_t width = columns % 4 == 0 ? 4 : 1, packs = (columns + 256 * width - 1) / (256 * width);
        const int64_t kept = packs > 16 ? packs : static_cast<int64_t>(std::bit_ceil(uint64_t(packs)));
        EXPECT_EQ(contract_value(run.attested.contract, "chain"),
                  static_cast<double>(tuning == Tuning::wide ? kept + (width == 4 ? 2 : 0) + 8
                                                             : (columns + 63) / 64 + 8 + 3));
        runs.push_back(std::move(run));
      }
    }
    for (const Outcome& run : runs) {
      const double chain = contract_value(run.attested.contract, "chain");
      const double sqrt_error = contract_value(run.attested.contract, "sqrt") * 2 * kUnit;
      std::vector<double> want(x.size()), bound(x.size());
      for (int64_t row = 0; row < rows; ++row) {
        double squares = 0;
        for (int64_t i = 0; i < columns; ++i) {
          const double v = x[static_cast<size_t>(row * columns + i)];
          squares += v * v;
        }
        const double scale = 1 / std::sqrt(squares / static_cast<double>(columns) + eps);
        for (int64_t i = 0; i < columns; ++i) {
          const size_t at = static_cast<size_t>(row * columns + i);
          want[at] = x[at] * scale * weight[static_cast<size_t>(i)];
          // Under the root an error counts half: the sum, the division by the count, the addition of eps.
          // Then root and two products.
          bound[at] = std::abs(want[at]) * 1.0001 * (gamma_n(chain + 2) / 2 + sqrt_error + 2 * kUnit);
        }
      }
      expect_within(run.out, want, bound, "rmsnorm columns=" + std::to_string(columns));
    }
  }
}

int32_t argmax_of(const std::vector<float>& x) {
  int32_t result = -1;
  const DeviceArray<uint64_t> workspace(kArgmaxBlocks);
  struct How {
    Tuning tuning;
    bool shifted;
    uint64_t* workspace;
  };
  for (const How& how : {How{Tuning::plain, false, nullptr},
                         {Tuning::wide, false, nullptr},
                         {Tuning::wide, true, nullptr},
                         {Tuning::wide, false, workspace.data()},
                         {Tuning::wide, true, workspace.data()}}) {
    const Placed device(x, how.shifted);
    for (const Outcome& run : run_everywhere(1, [&](float* out) {
           return argmax(nullptr, device.at, static_cast<int64_t>(x.size()), reinterpret_cast<int32_t*>(out),
                         how.tuning, how.workspace);
         })) {
      const auto got = std::bit_cast<int32_t>(run.out[0]);
      if (result == -1) result = got;
      EXPECT_EQ(got, result) << run.attested.kernel;
    }
  }
  return result;
}

TEST(Argmax, SmallestIndexOfTheLargest) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const int64_t count : {1, 255, 256, 257, 1003, 4111, 20001}) {
    std::vector<float> x = activations(random, 1, count);
    EXPECT_EQ(argmax_of(x), std::max_element(x.begin(), x.end()) - x.begin()) << count;
    x.back() = 1e9f;
    EXPECT_EQ(argmax_of(x), count - 1);
  }
  std::vector<float> ties(600, -3.0f);
  EXPECT_EQ(argmax_of(ties), 0);
  ties[300] = ties[301] = ties[556] = ties[44] = 5;
  EXPECT_EQ(argmax_of(ties), 44);
  ties[44] = NAN;
  EXPECT_EQ(argmax_of(ties), 300);
  ties[20] = 5;
  EXPECT_EQ(argmax_of(ties), 20);
  std::fill(ties.begin(), ties.end(), -1.0f);
  ties[30] = -0.0f, ties[40] = 0.0f;  // equal
  EXPECT_EQ(argmax_of(ties), 30);
  std::fill(ties.begin(), ties.end(), -INFINITY);
  EXPECT_EQ(argmax_of(ties), 0);
  ties[0] = NAN;
  EXPECT_EQ(argmax_of(ties), 1);
}

}  // namespace
}  // namespace greta::kernels::test
