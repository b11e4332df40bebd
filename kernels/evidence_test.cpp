// Comparison, checksum and pattern against plain loops, on both waves and in several orders of lanes.
#include "kernels/evidence.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

// The same bits of `launch` on every machine: on either wave, in any order.
template <class T>
constexpr size_t kMeaning = sizeof(T);
template <>
constexpr size_t kMeaning<Comparison> = offsetof(Comparison, worst_bound) + sizeof(float);  // no padding
template <class T>
T on_every_machine(const std::function<void(T*)>& launch) {
  const host::Settings before = host::settings();
  std::vector<T> results;
  for (const int wave : {64, 32}) {
    for (const uint64_t order : {uint64_t{0}, uint64_t{1}, test_seed() | 2}) {
      host::Settings settings = before;
      settings.wave = wave, settings.order_seed = order;
      host::configure(settings);
      const DeviceArray<T> out(1);
      launch(out.data());
      EXPECT_EQ(hipDeviceSynchronize(), hipSuccess) << host::last_error();
      results.push_back(out.read()[0]);
    }
  }
  host::configure(before);
  for (const T& result : results)
    EXPECT_EQ(std::memcmp(&result, &results[0], kMeaning<T>), 0) << "not one result";
  return results[0];
}

Comparison compared(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& bound,
                    size_t shift = 0) {
  std::vector<float> shifted_a(shift, kNan);
  shifted_a.insert(shifted_a.end(), a.begin(), a.end());
  const DeviceArray<float> device_a(shifted_a), device_b(b), device_bound(bound);
  const auto count = static_cast<int64_t>(a.size());
  const DeviceArray<Comparison> workspace(static_cast<size_t>(comparison_workspace(count)));
  return on_every_machine<Comparison>([&](Comparison* out) {
    compare(nullptr, device_a.data() + shift, device_b.data(), bound.empty() ? nullptr : device_bound.data(),
            count, workspace.data(), out);
  });
}

// One element after the other, as the header defines it.
Comparison in_words(const std::vector<float>& a, const std::vector<float>& b,
                    const std::vector<float>& bounds) {
  Comparison c{.count = static_cast<int64_t>(a.size()), .worst = -1};
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i], size = std::abs(x - y), bound = bounds.empty() ? 0 : bounds[i];
    c.nan_count += std::isnan(x);
    c.inf_count += std::isinf(x);
    double ratio = 0;
    if (std::isfinite(x) && std::isfinite(y)) {
      ++c.finite;
      c.out_of_bound += !(size <= bound);
      c.max_abs = std::max(c.max_abs, size);
      if (y != 0) c.max_rel = std::max(c.max_rel, size / std::abs(y));
      c.error += x - y, c.magnitude += size, c.square += size * size;
      c.a_square += x * x, c.b_square += y * y, c.product += x * y;
      float from = std::min(a[i], b[i]);
      int64_t ulps = 0;
      while (from < std::max(a[i], b[i]) && ulps < 100) from = std::nextafter(from, kInf), ++ulps;
      c.max_ulp = std::max(c.max_ulp, ulps);
      ratio = size == 0 && bound >= 0 ? 0 : bound > 0 ? size / bound : kInf;
    } else {
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      ++c.non_finite_mismatch, ++c.out_of_bound;
      c.max_abs = ratio = kInf;
    }
    if (ratio > c.ratio || c.worst < 0) c.ratio = ratio, c.worst = static_cast<int64_t>(i);
  }
  if (c.worst >= 0) {
    const auto at = static_cast<size_t>(c.worst);
    c.worst_a = a[at], c.worst_b = b[at], c.worst_bound = bounds.empty() ? 0 : bounds[at];
  }
  return c;
}

void expect_same(const Comparison& got, const Comparison& want) {
  EXPECT_EQ(got.count, want.count);
  EXPECT_EQ(got.finite, want.finite);
  EXPECT_EQ(got.out_of_bound, want.out_of_bound);
  EXPECT_EQ(got.nan_count, want.nan_count);
  EXPECT_EQ(got.inf_count, want.inf_count);
  EXPECT_EQ(got.non_finite_mismatch, want.non_finite_mismatch);
  EXPECT_EQ(got.worst, want.worst);
  EXPECT_EQ(got.ratio, want.ratio);
  EXPECT_EQ(got.max_abs, want.max_abs);
  EXPECT_EQ(got.max_rel, want.max_rel);
  if (want.max_ulp < 100) {
    EXPECT_EQ(got.max_ulp, want.max_ulp);
  }
  EXPECT_EQ(std::bit_cast<uint32_t>(got.worst_a), std::bit_cast<uint32_t>(want.worst_a));
  EXPECT_EQ(std::bit_cast<uint32_t>(got.worst_b), std::bit_cast<uint32_t>(want.worst_b));
  EXPECT_EQ(std::bit_cast<uint32_t>(got.worst_bound), std::bit_cast<uint32_t>(want.worst_bound));
  // Two orders of one sum of n terms: each is off by γₙ of the terms' sizes at most.
  const double gamma = 2 * static_cast<double>(want.count) * 0x1p-53;
  EXPECT_NEAR(got.error, want.error, gamma * want.magnitude);
  EXPECT_NEAR(got.magnitude, want.magnitude, gamma * want.magnitude);
  EXPECT_NEAR(got.square, want.square, 2 * gamma * want.square);
  EXPECT_NEAR(got.a_square, want.a_square, gamma * want.a_square);
  EXPECT_NEAR(got.b_square, want.b_square, gamma * want.b_square);
  EXPECT_NEAR(got.product, want.product, gamma * std::sqrt(want.a_square * want.b_square));
}

struct Case {
  std::vector<float> a, b, bound;
};
// A few ulp apart; bounds that most errors are within.
Case close_case(std::mt19937_64& random, int64_t count) {
  Case c{activations(random, 1, count), {}, {}};
  for (const float x : c.a) {
    float y = x;
    for (int steps = static_cast<int>(random() % 6); steps > 0; --steps)
      y = std::nextafter(y, random() % 2 ? kInf : -kInf);
    c.b.push_back(y);
    c.bound.push_back(std::abs(y) * 4e-7f * static_cast<float>(1 + random() % 3));
  }
  return c;
}

TEST(CompareOnDevice, SaysWhatALoopSays) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const int64_t count : {1, 2, 255, 1023, 2049, 5003}) {
    SCOPED_TRACE(count);
    const Case c = close_case(random, count);
    expect_same(compared(c.a, c.b, c.bound), in_words(c.a, c.b, c.bound));
    expect_same(compared(c.a, c.b, {}), in_words(c.a, c.b, {}));
    expect_same(compared(c.a, c.b, c.bound, 1), in_words(c.a, c.b, c.bound));
    expect_same(compared(c.a, c.a, {}), in_words(c.a, c.a, {}));
  }
}

TEST(CompareOnDevice, SeesOneElementAnywhere) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Case clean = close_case(random, 3001);
  for (int trial = 0; trial < 8; ++trial) {
    Case c = clean;
    const size_t at = trial == 0 ? 0 : trial == 1 ? c.a.size() - 1 : random() % c.a.size();
    c.a[at] += 1000;
    const Comparison got = compared(c.a, c.b, c.bound);
    EXPECT_EQ(got.worst, static_cast<int64_t>(at));
    EXPECT_EQ(got.out_of_bound, in_words(clean.a, clean.b, clean.bound).out_of_bound +
                                    !(std::abs(clean.a[at] - clean.b[at]) > clean.bound[at]));
    EXPECT_NE(got.square, compared(clean.a, clean.b, clean.bound).square);
  }
}

TEST(CompareOnDevice, NamesTheFirstOfEqualRatios) {
  const std::vector<float> b(3000, 1.0f), bound(3000, 0.5f);
  std::vector<float> a = b;
  a[2990] = a[1503] = a[1502] = a[2047] = 1.75f;
  EXPECT_EQ(compared(a, b, bound).worst, 1502);
  EXPECT_EQ(compared(a, b, {}).worst, 1502);
}

TEST(CompareOnDevice, NonFiniteValues) {
  SEEDED;
  std::mt19937_64 random = generator();
  Case c = close_case(random, 1500);
  c.a[3] = c.b[3] = kInf;
  c.a[7] = c.b[7] = -kInf;
  c.a[1100] = c.b[1100] = kNan;
  Comparison got = compared(c.a, c.b, c.bound);
  expect_same(got, in_words(c.a, c.b, c.bound));
  EXPECT_EQ(got.non_finite_mismatch, 0);
  EXPECT_EQ(got.finite, 1497);
  c.a[900] = kNan, c.b[901] = kNan, c.a[902] = kInf, c.b[903] = -kInf, c.a[904] = kInf, c.b[904] = -kInf;
  got = compared(c.a, c.b, c.bound);
  expect_same(got, in_words(c.a, c.b, c.bound));
  EXPECT_EQ(got.non_finite_mismatch, 5);
  EXPECT_EQ(got.worst, 900);
  EXPECT_EQ(got.max_abs, kInf);
  const std::vector<float> all_nan(100, kNan);
  got = compared(all_nan, all_nan, {});
  EXPECT_EQ(got.worst, -1);
  EXPECT_EQ(got.finite, 0);
}

TEST(CompareOnDevice, NothingMeetsANegativeOrNanBound) {
  std::vector<float> a(600, 2.0f), bound(600, 1.0f);
  bound[400] = -1, bound[500] = kNan;
  const Comparison got = compared(a, a, bound);
  EXPECT_EQ(got.out_of_bound, 2);
  EXPECT_EQ(got.worst, 400);
  EXPECT_EQ(got.ratio, kInf);
  expect_same(got, in_words(a, a, bound));
}

// ---- checksum and pattern

uint64_t mixed(uint64_t word, uint64_t index) {  // from the header's words
  unsigned __int128 z = word + (unsigned __int128)(0x9e3779b97f4a7c15u) * (index + 1);
  auto low = static_cast<uint64_t>(z);
  low = (low ^ (low >> 30)) * 0xbf58476d1ce4e5b9u;
  low = (low ^ (low >> 27)) * 0x94d049bb133111ebu;
  return low ^ (low >> 31);
}
uint64_t sum_in_words(const std::vector<uint8_t>& bytes) {
  uint64_t sum = mixed(bytes.size(), std::numeric_limits<uint64_t>::max());
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    for (size_t j = 0; j < 8 && i + j < bytes.size(); ++j) word += uint64_t{bytes[i + j]} << (8 * j);
    sum += mixed(word, i / 8);
  }
  return sum;
}
std::vector<uint8_t> random_bytes(std::mt19937_64& random, size_t count) {
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}
uint64_t sum_on_device(const std::vector<uint8_t>& bytes, size_t shift = 0) {
  std::vector<uint8_t> shifted(shift, 0xaa);
  shifted.insert(shifted.end(), bytes.begin(), bytes.end());
  const DeviceArray<uint8_t> device(shifted);
  return on_every_machine<uint64_t>([&](uint64_t* out) {
    checksum(nullptr, device.data() + shift, static_cast<int64_t>(bytes.size()), out);
  });
}

TEST(ChecksumOnDevice, IsItsDefinitionAtAnyLengthAndAddress) {
  SEEDED;
  std::mt19937_64 random = generator();
  for (const size_t count : {1, 7, 8, 9, 16, 23, 4095, 4096, 40007}) {
    const auto bytes = random_bytes(random, count);
    EXPECT_EQ(sum_on_device(bytes), sum_in_words(bytes)) << count;
    for (const size_t shift : {1, 4, 8}) EXPECT_EQ(sum_on_device(bytes, shift), sum_in_words(bytes)) << count;
  }
}

TEST(ChecksumOnDevice, SeesAByteAnExchangeAndAMissingEnd) {
  SEEDED;
  std::mt19937_64 random = generator();
  const auto bytes = random_bytes(random, 2001);
  const uint64_t sum = sum_on_device(bytes);
  for (int trial = 0; trial < 20; ++trial) {
    auto changed = bytes;
    changed[random() % changed.size()] ^= static_cast<uint8_t>(1 << random() % 8);
    EXPECT_NE(sum_on_device(changed), sum);
  }
  auto exchanged = bytes;
  std::swap_ranges(exchanged.begin(), exchanged.begin() + 8, exchanged.begin() + 800);
  EXPECT_NE(sum_on_device(exchanged), sum);
  auto longer = bytes;
  longer.push_back(0);  // the last word stays the same
  EXPECT_NE(sum_on_device(longer), sum);
  EXPECT_NE(sum_on_device({bytes.begin(), bytes.end() - 1}), sum);
}

TEST(Pattern, IsWordsOfIndexAndSeed) {
  for (const size_t count : {1, 8, 13, 4099}) {
    for (const size_t shift : {0, 4}) {
      const DeviceArray<uint8_t> device(count + shift);
      fill_pattern(nullptr, 42, device.data() + shift, static_cast<int64_t>(count));
      ok(hipDeviceSynchronize());
      const auto got = device.read();
      for (size_t i = 0; i < shift; ++i) EXPECT_EQ(got[i], 0xff) << "was not to be written";
      for (size_t i = 0; i < count; ++i)
        ASSERT_EQ(got[shift + i], static_cast<uint8_t>(mixed(42, i / 8) >> (8 * (i % 8)))) << i;
    }
  }
}

}  // namespace
}  // namespace greta::kernels::test
