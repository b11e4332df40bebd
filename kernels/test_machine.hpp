// For tests: device arrays with sentinels, and one launch repeated on every machine there is (wave 64 and 32,
// several orders of lanes).
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace greta::kernels::test {

// A fresh seed each run; GRETA_TEST_SEED repeats one. It is printed with each failure by SEEDED.
inline uint64_t test_seed() {
  static const uint64_t seed = [] {
    const char* fixed = std::getenv("GRETA_TEST_SEED");
    return fixed ? std::strtoull(fixed, nullptr, 10)
                 : (uint64_t{std::random_device{}()} << 32 | std::random_device{}());
  }();
  return seed;
}

// A generator of its own for each test, so that one test can be rerun alone.
inline std::mt19937_64 generator() {
  std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
  return std::mt19937_64(test_seed() ^ std::hash<std::string>{}(name));
}

#define SEEDED SCOPED_TRACE("GRETA_TEST_SEED=" + std::to_string(::greta::kernels::test::test_seed()))

inline void ok(hipError_t error) { ASSERT_EQ(error, hipSuccess) << hipGetErrorString(error); }

// `count` values between two bands of sentinels; filled with a signalling pattern until something is written.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    ok(hipMalloc(&base_, bytes()));
    clear();
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    ok(hipMemcpy(data(), values.data(), values.size() * sizeof(T), hipMemcpyHostToDevice));
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { EXPECT_EQ(hipFree(base_), hipSuccess) << "a red zone was written"; }

  T* data() const { return base_ + kBand; }
  void clear() {  // 0xff bytes: NaN as f32, -1 as an integer
    const std::vector<uint8_t> fill(bytes(), 0xff);
    ok(hipMemcpy(base_, fill.data(), fill.size(), hipMemcpyHostToDevice));
  }
  // The values; fails where a sentinel was written.
  std::vector<T> read() const {
    std::vector<T> all(count_ + 2 * kBand);
    ok(hipMemcpy(all.data(), base_, bytes(), hipMemcpyDeviceToHost));
    const uint8_t* raw = reinterpret_cast<const uint8_t*>(all.data());
    for (size_t i = 0; i < kBand * sizeof(T); ++i) {
      EXPECT_EQ(raw[i], 0xff) << "written before the array";
      EXPECT_EQ(raw[bytes() - 1 - i], 0xff) << "written behind the array";
    }
    return {all.begin() + kBand, all.end() - kBand};
  }

 private:
  static constexpr size_t kBand = 64;
  size_t bytes() const { return (count_ + 2 * kBand) * sizeof(T); }
  size_t count_;
  T* base_ = nullptr;
};

struct Outcome {
  int wave = 0;
  Attested attested;
  std::vector<float> out;
};

// `launch(out)` with `count` outputs: for each wave size natural, reversed and shuffled lanes must give the
// same bits, with nothing left unwritten (an unwritten element keeps its 0xff bytes; a kernel's own NaN has
// other bits).
inline std::vector<Outcome> run_everywhere(size_t count, const std::function<Attested(float*)>& launch) {
  const host::Settings before = host::settings();
  std::vector<Outcome> runs;
  for (const int wave : {64, 32}) {
    Outcome run;
    run.wave = wave;
    for (const uint64_t order : {uint64_t{0}, uint64_t{1}, test_seed() | 2}) {
      host::Settings settings = before;
      settings.wave = wave;
      settings.order_seed = order;
      host::configure(settings);
      DeviceArray<float> out(count);
      run.attested = launch(out.data());
      EXPECT_EQ(hipDeviceSynchronize(), hipSuccess) << host::last_error();
      const std::vector<float> got = out.read();
      size_t unwritten = 0, different = 0;
      for (size_t i = 0; i < count; ++i) {
        unwritten += std::bit_cast<uint32_t>(got[i]) == 0xffffffffu;
        different += order != 0 && std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(run.out[i]);
      }
      EXPECT_EQ(unwritten, 0u) << run.attested.kernel << " left outputs unwritten, wave " << wave;
      EXPECT_EQ(different, 0u) << run.attested.kernel << " depends on the order of lanes, wave " << wave;
      if (order == 0) run.out = got;
    }
    runs.push_back(std::move(run));
  }
  host::configure(before);
  return runs;
}

// The number behind `key=` in a contract; fails when it is not there.
inline double contract_value(const std::string& contract, const std::string& key) {
  const size_t at = (" " + contract).find(" " + key + "=");
  EXPECT_NE(at, std::string::npos) << key << " is missing in: " << contract;
  return at == std::string::npos ? std::nan("")
                                 : std::strtod(contract.c_str() + at + key.size() + 1, nullptr);
}

inline constexpr double kUnit = 0x1p-24;  // half an ulp of f32 at 1

// γₙ = n·u / (1 − n·u) (Higham 2002, section 3.1).
inline double gamma_n(double n) { return n * kUnit / (1 - n * kUnit); }

// Like a network's activations: normal, with one channel in 37 thirty times as large.
inline std::vector<float> activations(std::mt19937_64& random, int64_t rows, int64_t columns) {
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = normal(random) * (static_cast<int64_t>(i) % columns % 37 == 5 ? 30.0f : 1.0f);
  }
  return x;
}

// |got − want| ≤ bound for each element, and not by far too wide a bound: fails on NaN.
inline void expect_within(const std::vector<float>& got, const std::vector<double>& want,
                          const std::vector<double>& bound, const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  double worst = 0;
  size_t at = 0, out = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double ratio = std::abs(got[i] - want[i]) / bound[i];
    if (!(ratio <= worst)) worst = ratio, at = i;
    out += !(ratio <= 1) && got[i] != want[i];
  }
  EXPECT_EQ(out, 0u) << what << ": worst at " << at << ": " << got[at] << " for " << want[at] << ", bound "
                     << bound[at];
}

}  // namespace greta::kernels::test
