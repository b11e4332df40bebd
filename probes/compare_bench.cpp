// The one-pass comparison beside the speed at which this core reads the same bytes (their sum), turn by turn
// in one run.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <random>
#include <vector>

#include "probes/compare.hpp"

namespace {

using namespace greta::probes;
using Clock = std::chrono::steady_clock;

struct Buffers {
  std::vector<float> actual, other, tolerance;
  std::vector<double> reference, expected, certain;

  explicit Buffers(size_t count) {
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    for (size_t i = 0; i < count; ++i) {
      const double r = i < 65536 ? normal(random) : reference[i - 65536];
      const double bound = 1e-6 * (1 + r * r);
      reference.push_back(r);
      expected.push_back(bound);
      certain.push_back(10 * bound);
      actual.push_back(static_cast<float>(r + 0.3 * bound * std::sin(static_cast<double>(i))));
      other.push_back(static_cast<float>(r));
      tolerance.push_back(static_cast<float>(bound));
    }
  }
};

template <typename T>
double sum(const std::vector<T>& values) {
  T lanes[64] = {};
  for (size_t i = 0; i + 64 <= values.size(); i += 64)
    for (size_t lane = 0; lane < 64; ++lane) lanes[lane] += values[i + lane];
  double total = 0;
  for (const T lane : lanes) total += static_cast<double>(lane);
  return total;
}

template <typename Work>
double seconds(Work&& work) {
  const auto start = Clock::now();
  work();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <typename Compare, typename Read>
void measure(benchmark::State& state, double bytes, Compare&& compare_all, Read&& read_all) {
  double compare_best = 1e9, read_best = 1e9;
  for (auto _ : state) {
    read_best = std::min(read_best, seconds(read_all));
    const double now = seconds(compare_all);
    compare_best = std::min(compare_best, now);
    state.SetIterationTime(now);
  }
  state.SetBytesProcessed(static_cast<int64_t>(bytes) * state.iterations());
  state.counters["best_GB/s"] = bytes / compare_best * 1e-9;
  state.counters["read_GB/s"] = bytes / read_best * 1e-9;
  state.counters["share_of_reading"] = read_best / compare_best;
}

void BM_CompareReference(benchmark::State& state) {
  const Buffers b(static_cast<size_t>(state.range(0)));
  measure(
      state, static_cast<double>(b.actual.size()) * 28,
      [&] { benchmark::DoNotOptimize(compare(b.actual, b.reference, b.expected, b.certain)); },
      [&] { benchmark::DoNotOptimize(sum(b.actual) + sum(b.reference) + sum(b.expected) + sum(b.certain)); });
}

void BM_CompareEngines(benchmark::State& state) {
  const Buffers b(static_cast<size_t>(state.range(0)));
  measure(
      state, static_cast<double>(b.actual.size()) * 12,
      [&] { benchmark::DoNotOptimize(compare(b.actual, b.other, b.tolerance)); },
      [&] { benchmark::DoNotOptimize(sum(b.actual) + sum(b.other) + sum(b.tolerance)); });
}

// In the second-level cache, and far beyond the last.
BENCHMARK(BM_CompareReference)
    ->ArgName("elements")
    ->Arg(16 << 10)
    ->Arg(16 << 20)
    ->UseManualTime()
    ->MinTime(0.5);
BENCHMARK(BM_CompareEngines)
    ->ArgName("elements")
    ->Arg(32 << 10)
    ->Arg(32 << 20)
    ->UseManualTime()
    ->MinTime(0.5);

}  // namespace
