// Speed of the kernels on this machine: matmul by route, type and size (flops: 2 a multiplication and
// addition that the result needs), attention, norms.
#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "kernels/test_blocks.hpp"

namespace greta::kernels {
namespace {

template <class T>
struct Array {
  explicit Array(size_t count) { hipMalloc(&data, count * sizeof(T)); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    hipMemcpy(data, values.data(), values.size() * sizeof(T), hipMemcpyHostToDevice);
  }
  ~Array() { hipFree(data); }
  T* data = nullptr;
};

std::vector<float> normal(size_t count) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> distribution;
  std::vector<float> x(count);
  for (float& v : x) v = distribution(random);
  return x;
}

void matmul_bench(benchmark::State& state, Route route, WeightType type, int64_t rows, int64_t N, int64_t K) {
  std::mt19937_64 random(1);
  host::configure({.threads = 1});
  const Array<uint8_t> bytes(test::random_weight(type, N, K, random));
  const Array<float> x(normal(static_cast<size_t>(rows * K))), y(static_cast<size_t>(rows * N));
  for (auto _ : state) {
    state.SetLabel(matmul(nullptr, route, {bytes.data, type, N, K}, x.data, rows, y.data).kernel);
    if (hipDeviceSynchronize() != hipSuccess) state.SkipWithError(host::last_error().c_str());
  }
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * static_cast<double>(rows * N * K),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void attention_bench(benchmark::State& state) {
  const int64_t S = state.range(0), T = state.range(1), H = 8, Hkv = 2, Dh = 32;
  host::configure({.threads = 1});
  const Array<float> q(normal(static_cast<size_t>(S * H * Dh))), k(normal(static_cast<size_t>(T * Hkv * Dh)));
  const Array<float> scores(static_cast<size_t>(S * H * T)), p(static_cast<size_t>(S * H * T));
  const Array<float> out(static_cast<size_t>(S * H * Dh));
  for (auto _ : state) {
    qk(nullptr, q.data, k.data, CacheType::f32, S, T - S, H, Hkv, Dh, scores.data);
    softmax(nullptr, scores.data, S * H, T, p.data);
    pv(nullptr, p.data, k.data, CacheType::f32, S, T, H, Hkv, Dh, out.data);
    if (hipDeviceSynchronize() != hipSuccess) state.SkipWithError(host::last_error().c_str());
  }
}
BENCHMARK(attention_bench)
    ->Args({1, 200})
    ->Args({200, 200})
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMicrosecond);

template <int kWhat>
void row_bench(benchmark::State& state) {
  const int64_t rows = state.range(0), columns = state.range(1);
  host::configure({.threads = 1});
  const Array<float> x(normal(static_cast<size_t>(rows * columns))), out(static_cast<size_t>(rows * columns));
  const Array<int32_t> index(1);
  for (auto _ : state) {
    if (kWhat == 0) rmsnorm(nullptr, x.data, x.data, rows, columns, 1e-5f, out.data);
    if (kWhat == 1) softmax(nullptr, x.data, rows, columns, out.data);
    if (kWhat == 2) swiglu(nullptr, x.data, x.data, rows * columns, out.data);
    if (kWhat == 3) argmax(nullptr, x.data, rows * columns, index.data);
    if (hipDeviceSynchronize() != hipSuccess) state.SkipWithError(host::last_error().c_str());
  }
  state.counters["ns/value"] =
      benchmark::Counter(1e-9 * static_cast<double>(rows * columns),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(row_bench<0>)->Name("rmsnorm")->Args({1, 256})->Args({200, 256})->MeasureProcessCPUTime();
BENCHMARK(row_bench<1>)->Name("softmax")->Args({8, 200})->Args({1600, 200})->MeasureProcessCPUTime();
BENCHMARK(row_bench<2>)->Name("swiglu")->Args({1, 768})->Args({200, 768})->MeasureProcessCPUTime();
BENCHMARK(row_bench<3>)->Name("argmax")->Args({1, 1003})->MeasureProcessCPUTime();

const bool registered = [] {
  struct Size {
    int64_t rows, N, K;
  };
  const auto add = [](const char* name, Route route, WeightType type, Size size) {
    const std::string full = std::string(name) + "/" + test::type_name(type) + "/" +
                             std::to_string(size.rows) + "x" + std::to_string(size.N) + "x" +
                             std::to_string(size.K);
    benchmark::RegisterBenchmark(full.c_str(), matmul_bench, route, type, size.rows, size.N, size.K)
        ->MeasureProcessCPUTime();
  };
  using enum WeightType;
  for (const WeightType type : test::kAllTypes)
    add("valu_gemv", {Unit::valu, Shape::gemv}, type, {1, 1024, 1024});
  for (const WeightType type : test::kAllTypes)
    add("mfma_gemv", {Unit::mfma, Shape::gemv}, type, {1, 256, 1024});
  for (const WeightType type : {f32, q4_K, q6_K}) {
    add("valu_gemv", {Unit::valu, Shape::gemv}, type, {1, 256, 256});
    add("valu_gemm", {Unit::valu, Shape::gemm}, type, {1, 256, 256});
    add("valu_gemm", {Unit::valu, Shape::gemm}, type, {200, 768, 256});
    add("valu_gemm", {Unit::valu, Shape::gemm}, type, {256, 256, 1024});
    add("mfma_gemm", {Unit::mfma, Shape::gemm}, type, {1, 256, 256});
    add("mfma_gemm", {Unit::mfma, Shape::gemm}, type, {200, 768, 256});
    add("mfma_gemm", {Unit::mfma, Shape::gemm}, type, {256, 256, 1024});
  }
  return true;
}();

}  // namespace
}  // namespace greta::kernels
