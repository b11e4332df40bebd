// The matrix-core GEMM on a card beside cuBLAS in bf16: `gemm_bench [rows…]` prints a line a case,
// tab-separated: name, value, unit, ceiling (cuBLAS of the same shape), share. Every product is first held
// against sums in f64 made on the card; a case that fails has no speed, and the exit code is 1.
//
// Needs kernels/ alone: nvcc -x cu -std=c++20 -gencode arch=compute_90a,code=sm_90a -DGRETA_WAVE_GROUPS -O3
// -fmad=false --expt-relaxed-constexpr
// --extended-lambda -I. kernels/card/gemm_bench.cu kernels/launch.cpp kernels/matmul.cpp
// kernels/{gemm,matmul}_*.hip kernels/dequant.hip. cuBLAS is loaded when it runs: GRETA_CUBLAS names the
// library.
#include <dlfcn.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/hip/checked.hpp"
#include "kernels/hip/half.hpp"
#include "kernels/kernels.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

// Weights as random bits but for the scales, which make values of about ±1; activations normal-like with one
// channel in 37 thirty times as large.
__device__ uint32_t random_bits(uint64_t i, uint32_t seed) {
  uint64_t z = (i + seed * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>((z ^ z >> 31) >> 16);
}
__global__ void fill_bits(uint32_t* out, int64_t count, uint32_t seed) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * blockDim.x)
    out[i] = random_bits(i, seed);
}
__global__ void fill_activations(float* out, int64_t count, int64_t K, uint32_t seed) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < count;
       i += int64_t{gridDim.x} * blockDim.x) {
    float sum = 0;
    for (int j = 0; j < 4; ++j) sum += static_cast<float>(random_bits(4 * i + j, seed)) * 0x1p-32f - 0.5f;
    out[i] = sum * 1.7f * (i % K % 37 == 5 ? 30.0f : 1.0f);
  }
}
struct Scales {
  int count, at[2], exponent[2];
};
__global__ void set_scales(uint8_t* data, int64_t blocks, int bytes, Scales s, uint32_t seed) {
  const int64_t b = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (b >= blocks) return;
  for (int i = 0; i < s.count; ++i) {
    const uint32_t bits = (random_bits(2 * b + i, seed) & 0x87ff) + ((s.exponent[i] + 15) << 10);
    data[b * bytes + s.at[i]] = static_cast<uint8_t>(bits);
    data[b * bytes + s.at[i] + 1] = static_cast<uint8_t>(bits >> 8);
  }
}
__global__ void fill_values(void* data, int64_t count, int bytes, uint32_t seed) {  // f32, f16 or bf16
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= count) return;
  const float v = static_cast<float>(random_bits(i, seed)) * 0x1p-31f - 1.0f;
  if (bytes == 4) static_cast<float*>(data)[i] = v;
  if (bytes == 2) static_cast<half_bits*>(data)[i] = f32_to_f16_rn(v);
  if (bytes == 3) static_cast<half_bits*>(data)[i] = f32_to_bf16_rn(v);
}

DeviceBuffer<uint8_t> random_weight(WeightType type, int64_t N, int64_t K, uint32_t seed) {
  const Packing p = packing(type);
  const int64_t bytes = N * row_bytes(type, K);
  DeviceBuffer<uint8_t> data(static_cast<size_t>(bytes + 3) / 4 * 4);
  if (p.values == 1) {
    const int kind = type == WeightType::f32 ? 4 : type == WeightType::f16 ? 2 : 3;
    fill_values<<<static_cast<unsigned>((N * K + 255) / 256), 256>>>(data.data(), N * K, kind, seed);
    return data;
  }
  fill_bits<<<4096, 256>>>(reinterpret_cast<uint32_t*>(data.data()), (bytes + 3) / 4, seed);
  const int64_t blocks = N * K / p.values;
  const Scales s = type == WeightType::q8_0   ? Scales{1, {0, 0}, {-7, 0}}
                   : type == WeightType::q4_0 ? Scales{1, {0, 0}, {-4, 0}}
                   : type == WeightType::q6_K ? Scales{1, {208, 0}, {-11, 0}}
                                              : Scales{2, {0, 2}, {-9, -6}};
  set_scales<<<static_cast<unsigned>((blocks + 255) / 256), 256>>>(data.data(), blocks, p.bytes, s, seed + 1);
  return data;
}

// err[i] = |y − Σ x w| / Σ |x w| over operands rounded as the kernel says; a thread a result.
__global__ void errors(const float* x, const float* w, const float* y, int64_t rows, int64_t N, int64_t K,
                       bool bf16, double* err) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= rows * N) return;
  const float *a = x + i / N * K, *b = w + i % N * K;
  double sum = 0, size = 0;
  for (int64_t k = 0; k < K; ++k) {
    const double p = bf16 ? double{bf16_to_f32(f32_to_bf16_rn(a[k]))} * bf16_to_f32(f32_to_bf16_rn(b[k]))
                          : double{f16_to_f32(f32_to_f16_rn(a[k]))} * f16_to_f32(f32_to_f16_rn(b[k]));
    sum += p, size += fabs(p);
  }
  err[i] = fabs(y[i] - sum) / size;
}

// The worst of errors(), a NaN as it is.
double worst_error(const Weight& w, const float* x, const float* y, int64_t rows, Operand operand) {
  DeviceBuffer<float> values(static_cast<size_t>(w.rows * w.columns));
  dequant(nullptr, w, values.data());
  DeviceBuffer<double> err(static_cast<size_t>(rows * w.rows));
  errors<<<static_cast<unsigned>((rows * w.rows + 127) / 128), 128>>>(
      x, values.data(), y, rows, w.rows, w.columns, operand == Operand::bf16, err.data());
  double worst = 0;
  for (const double e : err.download()) {
    if (!(e <= worst)) worst = e;
  }
  return worst;
}

// Hopper's unit adds sixteen products and the sum so far at once, each cut at 2⁻²⁴ of the largest, and cuts
// the result at 2⁻²³ of itself (FACTS.md): 19 · 2⁻²⁴ of Σ|x w| a block of sixteen.
double allowed(int64_t K) { return static_cast<double>((K + 15) / 16 + 1) * 19 * 0x1p-24; }

// Microseconds of one call: the median of `batches`, each of calls in a row over rotating copies.
double microseconds(const std::function<void(int)>& call, int batches = 15, int in_a_row = 8) {
  hipEvent_t start, stop;
  hip_check(hipEventCreate(&start), "hipEventCreate"), hip_check(hipEventCreate(&stop), "hipEventCreate");
  for (int i = 0; i < in_a_row; ++i) call(i);
  std::vector<double> times;
  for (int b = 0; b < batches; ++b) {
    hip_check(hipEventRecord(start), "hipEventRecord");
    for (int i = 0; i < in_a_row; ++i) call(b * in_a_row + i);
    hip_check(hipEventRecord(stop), "hipEventRecord");
    hip_check(hipEventSynchronize(stop), "hipEventSynchronize");
    float milliseconds = 0;
    hip_check(hipEventElapsedTime(&milliseconds, start, stop), "hipEventElapsedTime");
    times.push_back(1e3 * milliseconds / in_a_row);
  }
  (void)hipEventDestroy(start), (void)hipEventDestroy(stop);
  std::nth_element(times.begin(), times.begin() + batches / 2, times.end());
  return times[batches / 2];
}

// y = x · Wᵀ in bf16 by cuBLAS, W [N, K] and x [rows, K] by rows.
class Cublas {
 public:
  Cublas() {
    std::vector<std::string> names = {
        "libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so.13",
        "/opt/torch/.venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13",
        "/opt/torch/.venv/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.13"};
    if (const char* named = std::getenv("GRETA_CUBLAS")) names.insert(names.begin(), named);
    for (const std::string& name : names) {
      if ((library_ = dlopen(name.c_str(), RTLD_NOW))) break;
    }
    if (!library_) return;
    const auto create = reinterpret_cast<int (*)(void**)>(dlsym(library_, "cublasCreate_v2"));
    gemm_ = reinterpret_cast<Gemm>(dlsym(library_, "cublasGemmEx"));
    if (!create || !gemm_ || create(&handle_) != 0) gemm_ = nullptr;
  }
  bool there() const { return gemm_ != nullptr; }
  void operator()(const void* w, const void* x, void* y, int rows, int N, int K) const {
    const float one = 1, zero = 0;
    constexpr int kTransposed = 1, kPlain = 0, kBf16 = 14, kCompute32f = 68, kDefault = -1;
    const int status = gemm_(handle_, kTransposed, kPlain, N, rows, K, &one, w, kBf16, K, x, kBf16, K, &zero,
                             y, kBf16, N, kCompute32f, kDefault);
    if (status != 0) throw LaunchError("cublasGemmEx returned " + std::to_string(status));
  }

 private:
  using Gemm = int (*)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int,
                       int, const void*, void*, int, int, int, int);
  void *library_ = nullptr, *handle_ = nullptr;
  Gemm gemm_ = nullptr;
};

struct Case {
  WeightType type;
  int64_t rows, N, K;
  Operand operand = Operand::f16;
};
using Product = std::function<Attested(const Weight&, const float* x, int64_t rows, Operand, float* y)>;

std::string name_of(const Case& c) {
  return std::string("gemm_") + packing(c.type).name + (c.operand == Operand::bf16 ? "_bf16" : "") + "/" +
         std::to_string(c.rows) + "x" + std::to_string(c.N) + "x" + std::to_string(c.K);
}

// Whether the product is right, outputs poisoned before.
bool correct(const Product& product, const Case& c, uint32_t seed) {
  const DeviceBuffer<uint8_t> data = random_weight(c.type, c.N, c.K, seed);
  DeviceBuffer<float> x(static_cast<size_t>(c.rows * c.K)), y(static_cast<size_t>(c.rows * c.N));
  fill_activations<<<4096, 256>>>(x.data(), c.rows * c.K, c.K, seed + 7);
  hip_check(hipMemset(y.data(), 0xff, y.bytes()), "hipMemset");
  const Weight w{data.data(), c.type, c.N, c.K};
  const Attested ran = product(w, x.data(), c.rows, c.operand, y.data());
  const double worst = worst_error(w, x.data(), y.data(), c.rows, c.operand);
  const bool good = worst <= allowed(c.K);
  std::printf("# %s %s: worst |error| / sum |x w| %.3g, allowed %.3g%s\n", name_of(c).c_str(),
              ran.kernel.c_str(), worst, allowed(c.K), good ? "" : " WRONG");
  return good;
}

double cublas_tflops(const Cublas& cublas, int64_t rows, int64_t N, int64_t K) {
  constexpr int kCopies = 3;
  std::vector<DeviceBuffer<half_bits>> w, x;
  for (uint32_t i = 0; i < kCopies; ++i) {
    w.emplace_back(static_cast<size_t>(N * K)), x.emplace_back(static_cast<size_t>(rows * K));
    fill_values<<<static_cast<unsigned>((N * K + 255) / 256), 256>>>(w[i].data(), N * K, 3, i);
    fill_values<<<static_cast<unsigned>((rows * K + 255) / 256), 256>>>(x[i].data(), rows * K, 3, i + 9);
  }
  DeviceBuffer<half_bits> y(static_cast<size_t>(rows * N));
  const double us = microseconds([&](int i) {
    cublas(w[i % kCopies].data(), x[i % kCopies].data(), y.data(), static_cast<int>(rows),
           static_cast<int>(N), static_cast<int>(K));
  });
  return 2e-6 * static_cast<double>(rows * N * K) / us;
}

double our_tflops(const Product& product, const Case& c) {
  const int copies = static_cast<int>(std::max<int64_t>(2, (128 << 20) / (c.N * row_bytes(c.type, c.K)) + 1));
  std::vector<DeviceBuffer<uint8_t>> w;
  for (int i = 0; i < copies; ++i) w.push_back(random_weight(c.type, c.N, c.K, static_cast<uint32_t>(i)));
  DeviceBuffer<float> x(static_cast<size_t>(c.rows * c.K)), y(static_cast<size_t>(c.rows * c.N));
  fill_activations<<<4096, 256>>>(x.data(), c.rows * c.K, c.K, 7);
  const double us = microseconds([&](int i) {
    product({w[static_cast<size_t>(i % copies)].data(), c.type, c.N, c.K}, x.data(), c.rows, c.operand,
            y.data());
  });
  return 2e-6 * static_cast<double>(c.rows * c.N * c.K) / us;
}

void print(const std::string& name, double value, double ceiling) {
  std::printf("%s\t%.1f\tTFLOP/s\t%.1f\t%.3f\n", name.c_str(), value, ceiling,
              ceiling > 0 ? value / ceiling : 0.0);
}

int bench(const std::vector<int64_t>& rows) {
  const Product product = [](const Weight& w, const float* x, int64_t r, Operand operand, float* y) {
    return matmul(nullptr, {Unit::mfma, Shape::gemm, Tuning::wide, operand}, w, x, r, y);
  };
  const Cublas cublas;
  if (!cublas.there()) std::printf("# no cuBLAS (GRETA_CUBLAS names it): no ceiling\n");
  const uint32_t seed = std::random_device{}();
  std::printf("# seed %u\n", seed);
  bool good = true;
  for (const Operand operand : {Operand::f16, Operand::bf16}) {
    for (const WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16, WeightType::q8_0,
                                  WeightType::q4_0, WeightType::q4_K, WeightType::q5_K, WeightType::q6_K}) {
      const int64_t K = packing(type).values == 1 ? 1001 : packing(type).values == 32 ? 992 : 1792;
      good &= correct(product, {type, 333, 777, K, operand}, seed);
      good &= correct(product, {type, 40, 520, 2048, operand}, seed + 1);
      good &= correct(product, {type, 2048, 2048, 1024, operand}, seed + 2);
    }
  }
  if (!good) return 1;
  for (const int64_t r : rows) {
    for (const auto& [N, K] : {std::pair<int64_t, int64_t>{4096, 4096}, {14336, 4096}, {4096, 14336}}) {
      const double ceiling = cublas.there() ? cublas_tflops(cublas, r, N, K) : 0;
      for (const WeightType type : {WeightType::q4_K, WeightType::q6_K, WeightType::q8_0, WeightType::f16}) {
        const Case c{type, r, N, K};
        print(name_of(c), our_tflops(product, c), ceiling);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace greta::kernels::inline GRETA_MACHINE

#ifndef GRETA_GEMM_VARIANTS
int main(int argc, char** argv) try {
  std::vector<int64_t> rows;
  for (int i = 1; i < argc; ++i) rows.push_back(std::atoll(argv[i]));
  if (rows.empty()) rows = {512, 2048};
  return greta::kernels::bench(rows);
} catch (const std::exception& e) {
  std::fprintf(stderr, "gemm_bench: %s\n", e.what());
  return 1;
}
#endif
