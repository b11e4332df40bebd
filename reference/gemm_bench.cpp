// The float64 product X[S, K] · W[N, K]ᵀ as matmul does it, beside the best that the machine's libraries
// reach in the same run, all on one thread. Counter `share`: our GFLOP/s over OpenBLAS's dgemm's, the best
// float64 peer (oneDNN has no float64 product); the rounds of the two alternate, so that a change of the
// clock meets both, and the time is the thread's own.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <vector>

#ifdef GRETA_HAS_DNNL
#include <dnnl.h>
#endif

#include "reference/dot.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;
using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Index kTile = 512;

struct Sizes {
  Index S, N, K;
  explicit Sizes(const benchmark::State& state) : S(state.range(0)), N(state.range(1)), K(state.range(2)) {}
  double flops() const {
    return 2.0 * static_cast<double>(S) * static_cast<double>(N) * static_cast<double>(K);
  }
};

Matrix random_matrix(Index rows, Index columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  return Matrix::NullaryExpr(rows, columns, [&] { return normal(random); });
}

void ours(const Matrix& x, const Matrix& w, Matrix& y) {
  for (Index begin = 0; begin < w.rows(); begin += kTile) {
    const Index count = std::min(kTile, w.rows() - begin);
    multiply(x, w.middleRows(begin, count), y.middleCols(begin, count));
  }
}

void openblas(const Matrix& x, const Matrix& w, Matrix& y) {
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(x.rows()), static_cast<int>(w.rows()),
              static_cast<int>(x.cols()), 1.0, x.data(), static_cast<int>(x.cols()), w.data(),
              static_cast<int>(w.cols()), 0.0, y.data(), static_cast<int>(y.cols()));
}

template <typename Run>
double seconds(const Run& run) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  run();
  return now() - begin;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void f64_product(benchmark::State& state) {
  openblas_set_num_threads(1);
  const Sizes sizes(state);
  const Matrix x = random_matrix(sizes.S, sizes.K, 1), w = random_matrix(sizes.N, sizes.K, 2);
  Matrix y(sizes.S, sizes.N), peer(sizes.S, sizes.N);
  std::vector<double> our_times, peer_times;
  for (auto _ : state) {
    our_times.push_back(seconds([&] { ours(x, w, y); }));
    peer_times.push_back(seconds([&] { openblas(x, w, peer); }));
    state.SetIterationTime(our_times.back());
  }
  if (!y.isApprox(peer, 1e-12)) state.SkipWithError("the two products differ");
  state.counters["GFLOP/s"] = sizes.flops() / median(our_times) * 1e-9;
  state.counters["dgemm_GFLOP/s"] = sizes.flops() / median(peer_times) * 1e-9;
  state.counters["share"] = median(peer_times) / median(our_times);
}

// The value with the sums that its bounds need: three products.
void f64_product_with_bounds(benchmark::State& state) {
  openblas_set_num_threads(1);
  const Sizes sizes(state);
  const DotOperand x(random_matrix(sizes.S, sizes.K, 1));
  const Matrix w = random_matrix(sizes.N, sizes.K, 2);
  auto errors = Errors::of_shape(sizes.S, sizes.N);
  for (auto _ : state) {
    for (Index begin = 0; begin < w.rows(); begin += kTile)
      dot_products(x, w.middleRows(begin, std::min(kTile, w.rows() - begin)), {.chain = 40}, errors, begin);
  }
  state.counters["GFLOP/s"] =
      benchmark::Counter(3 * sizes.flops() * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void f32_openblas(benchmark::State& state) {
  openblas_set_num_threads(1);
  const Sizes sizes(state);
  const FloatMatrix x = random_matrix(sizes.S, sizes.K, 1).cast<float>(),
                    w = random_matrix(sizes.N, sizes.K, 2).cast<float>();
  FloatMatrix y(sizes.S, sizes.N);
  for (auto _ : state)
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(sizes.S), static_cast<int>(sizes.N),
                static_cast<int>(sizes.K), 1.0f, x.data(), static_cast<int>(sizes.K), w.data(),
                static_cast<int>(sizes.K), 0.0f, y.data(), static_cast<int>(sizes.N));
  state.counters["GFLOP/s"] =
      benchmark::Counter(sizes.flops() * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

#ifdef GRETA_HAS_DNNL
// On as many threads as OMP_NUM_THREADS allows: set it to 1.
void f32_onednn(benchmark::State& state) {
  const Sizes sizes(state);
  const FloatMatrix x = random_matrix(sizes.S, sizes.K, 1).cast<float>(),
                    w = random_matrix(sizes.N, sizes.K, 2).cast<float>();
  FloatMatrix y(sizes.S, sizes.N);
  for (auto _ : state)
    dnnl_sgemm('N', 'T', sizes.S, sizes.N, sizes.K, 1.0f, x.data(), sizes.K, w.data(), sizes.K, 0.0f,
               y.data(), sizes.N);
  state.counters["GFLOP/s"] =
      benchmark::Counter(sizes.flops() * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(f32_onednn)
    ->ArgNames({"S", "N", "K"})
    ->Args({205, 768, 256})
    ->Args({512, 4096, 4096})
    ->Unit(benchmark::kMillisecond);
#endif

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"S", "N", "K"})->Unit(benchmark::kMillisecond);
  bench->Args({205, 768, 256})->Args({2665, 768, 256})->Args({512, 4096, 4096});
}
BENCHMARK(f64_product)->Apply(sizes)->UseManualTime();
BENCHMARK(f64_product_with_bounds)->Apply(sizes);
BENCHMARK(f32_openblas)->Apply(sizes);

}  // namespace
}  // namespace greta::reference
