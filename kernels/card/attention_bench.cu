// Attention on a card: checks of sampled rows against f64, then times beside their ceilings (a copy; cuBLAS's
// bf16 product of large shapes where libcublas is found, GRETA_CUBLAS names it). Lines as in bench.hpp; a
// check's line is the worst error beside its bound. Exit 1 when a check fails. Words choose what is timed:
// decode, prefill, unfused.
//
//   nvcc -x cu -std=c++20 -gencode arch=compute_90a,code=sm_90a -DGRETA_WAVE_GROUPS -fmad=false
//     --expt-relaxed-constexpr --extended-lambda -I. -c kernels/…
//   (attention_bench.cu, attention_*.hip, qk.hip, pv.hip, kv_write.hip, fused_norm_products.hip, launch.cpp)
#include <dlfcn.h>

#include <cmath>
#include <cstring>
#include <random>

#include "kernels/cache_value.hpp"
#include "kernels/card/bench.hpp"

namespace greta::kernels::card {
namespace {

constexpr int64_t kH = 32, kHkv = 8, kDh = 128;

template <class T>
struct Random {
  DeviceBuffer<T> device;
  std::vector<float> host;  // what the device holds, in f32
};

__global__ void fill_normal(float* f32, half_bits* f16, size_t count, uint64_t seed, float size) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count;
       i += size_t{gridDim.x} * blockDim.x) {
    const float u = (static_cast<float>(mix(seed + 2 * i)) + 0.5f) * 0x1p-32f;
    const float v = static_cast<float>(mix(seed + 2 * i + 1)) * 0x1p-32f;
    const float x = size * sqrtf(-2 * logf(u)) * cospif(2 * v);
    if (f32 != nullptr) f32[i] = x;
    if (f16 != nullptr) f16[i] = f32_to_f16_rn(x);
  }
}
DeviceBuffer<float> normal_f32(int64_t count, uint64_t seed, float size = 1) {
  DeviceBuffer<float> x(static_cast<size_t>(count));
  fill_normal<<<1024, 256>>>(x.data(), nullptr, x.size(), seed, size);
  return x;
}
DeviceBuffer<half_bits> normal_f16(int64_t count, uint64_t seed) {
  DeviceBuffer<half_bits> x(static_cast<size_t>(count));
  fill_normal<<<1024, 256>>>(nullptr, x.data(), x.size(), seed, 1);
  return x;
}

bool failed = false;
void print_check(const std::string& name, double error, double bound) {
  failed |= !(error <= bound);
  print_line(name, error, error <= bound ? "of-bound:ok" : "of-bound:FAILED", bound);
}

// Of one row and head in f64: worst |got − want| over Σ p |v| of a dim.
struct Case {
  const std::vector<float>&q, &k, &v, &out;
  int64_t H, Hkv, Dh;
};
double worst_error(const Case& c, int64_t s, int64_t h, int64_t keys, bool round_q) {
  std::vector<double> score(static_cast<size_t>(keys));
  const int64_t kv = h / (c.H / c.Hkv);
  const auto q = [&](int64_t d) {
    const float x = c.q[static_cast<size_t>((s * c.H + h) * c.Dh + d)];
    return static_cast<double>(round_q ? f16_to_f32(f32_to_f16_rn(x)) : x);
  };
  double largest = -1e300, sum = 0;
  for (int64_t t = 0; t < keys; ++t) {
    double dot = 0;
    for (int64_t d = 0; d < c.Dh; ++d) dot += q(d) * c.k[static_cast<size_t>((t * c.Hkv + kv) * c.Dh + d)];
    score[static_cast<size_t>(t)] = dot / std::sqrt(static_cast<double>(c.Dh));
    largest = std::max(largest, score[static_cast<size_t>(t)]);
  }
  for (double& x : score) sum += x = std::exp(x - largest);
  double worst = 0;
  for (int64_t d = 0; d < c.Dh; ++d) {
    double want = 0, size = 0;
    for (int64_t t = 0; t < keys; ++t) {
      const double x = score[static_cast<size_t>(t)] * c.v[static_cast<size_t>((t * c.Hkv + kv) * c.Dh + d)];
      want += x, size += std::abs(x);
    }
    const double error = std::abs(c.out[static_cast<size_t>((s * c.H + h) * c.Dh + d)] - want / sum);
    worst = std::max(worst, std::isnan(error) ? 1e300 : error / (size / sum));
  }
  return worst;
}

std::vector<float> widened(const std::vector<half_bits>& x) {
  std::vector<float> wide(x.size());
  for (size_t i = 0; i < x.size(); ++i) wide[i] = f16_to_f32(x[i]);
  return wide;
}

// p is rounded to f16 (2^-11 of itself), the truncating unit loses at most 2^-23 a product; scores of size
// under 30 move by as much each.
constexpr double kPrefillBound = 0x1p-11 + 1024 * 0x1p-23;
constexpr double kDecodeBound = 1024 * 0x1p-24;

void check_prefill(CacheType type, int64_t S, int64_t start, int64_t H, int64_t Hkv, int64_t Dh) {
  const int64_t T = start + S;
  const auto q = normal_f32(S * H * Dh, 1, 2);
  const auto k = normal_f16(T * Hkv * Dh, 2), v = normal_f16(T * Hkv * Dh, 3);
  const std::vector<float> hq = q.download(), hk = widened(k.download()), hv = widened(v.download());
  const DeviceBuffer<float> k32(hk), v32(hv);
  const bool wide = type == CacheType::f32;
  DeviceBuffer<float> out(static_cast<size_t>(S * H * Dh));
  const Attested ran = attention_prefill(
      nullptr, Tuning::wide, Operand::f16, q.data(), wide ? static_cast<const void*>(k32.data()) : k.data(),
      wide ? static_cast<const void*>(v32.data()) : v.data(), type, S, start, H, Hkv, Dh, out.data());
  const std::vector<float> got = out.download();
  double worst = 0;
  std::mt19937_64 random(static_cast<uint64_t>(S));
  for (int i = 0; i < 12; ++i) {
    const auto any = [&](int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); };
    const int64_t s = i == 0 ? 0 : i == 1 ? S - 1 : any(S), h = any(H);
    worst = std::max(worst, worst_error({hq, hk, hv, got, H, Hkv, Dh}, s, h, start + s + 1, true));
  }
  print_check("check_prefill S=" + std::to_string(S) + " start=" + std::to_string(start) + " " + ran.kernel,
              worst, kPrefillBound);
}

// A workspace as the engine keeps it: zeroed once, used by every launch of a shape.
DeviceBuffer<float> decode_workspace(int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh) {
  DeviceBuffer<float> work(static_cast<size_t>(attention_decode_workspace(capacity, H, Hkv, Dh)));
  hip_check(cudaMemset(work.data(), 0, work.bytes()), "memset");
  return work;
}

void check_decode(CacheType type, int64_t T, int64_t H, int64_t Hkv, int64_t Dh, Unit unit) {
  const auto q = normal_f32(H * Dh, 1, 2);
  const auto k = normal_f16(T * Hkv * Dh, 2), v = normal_f16(T * Hkv * Dh, 3);
  const std::vector<float> hq = q.download(), hk = widened(k.download()), hv = widened(v.download());
  const DeviceBuffer<float> k32(hk), v32(hv);
  const bool wide = type == CacheType::f32;
  const DeviceBuffer<int32_t> position(std::vector<int32_t>{static_cast<int32_t>(T - 1)});
  DeviceBuffer<float> out(static_cast<size_t>(H * Dh));
  const DeviceBuffer<float> work = decode_workspace(T + 1000, H, Hkv, Dh);
  Attested ran;
  std::vector<float> got;
  for (int launch = 0; launch < 20; ++launch) {  // one after another on one workspace: all alike
    hip_check(cudaMemset(out.data(), 0xff, out.bytes()), "memset");
    ran = attention_decode(nullptr, q.data(), wide ? static_cast<const void*>(k32.data()) : k.data(),
                           wide ? static_cast<const void*>(v32.data()) : v.data(), type, position.data(),
                           T + 1000, H, Hkv, Dh, work.data(), out.data(), unit);
    const std::vector<float> now = out.download();
    if (launch > 0 && std::memcmp(now.data(), got.data(), out.bytes()) != 0) {
      print_check("check_decode repeats its bits T=" + std::to_string(T), 1, 0);
    }
    got = now;
  }
  double worst = 0;
  for (int64_t h = 0; h < H; ++h) {
    worst = std::max(worst, worst_error({hq, hk, hv, got, H, Hkv, Dh}, 0, h, T, unit == Unit::mfma));
  }
  print_check("check_decode T=" + std::to_string(T) + " " + ran.kernel, worst,
              unit == Unit::mfma ? kPrefillBound : kDecodeBound);
}

// Unfused against f64, and their times at the size of a tapped run.
void unfused(cudaStream_t stream) {
  constexpr int64_t S = 200;
  const auto q = normal_f32(S * kH * kDh, 1, 2), k = normal_f32(S * kHkv * kDh, 2),
             v = normal_f32(S * kHkv * kDh, 3);
  DeviceBuffer<float> scores(S * kH * S), out(S * kH * kDh);
  for (const Tuning tuning : {Tuning::plain, Tuning::wide}) {
    const char* const name = tuning == Tuning::wide ? "wide" : "plain";
    const double qk_s = graph_seconds(stream, 21, [&](cudaStream_t on) {
      for (int i = 0; i < 8; ++i)
        qk(on, q.data(), k.data(), CacheType::f32, S, 0, kH, kHkv, kDh, scores.data(), tuning);
    });
    const double pv_s = graph_seconds(stream, 21, [&](cudaStream_t on) {
      for (int i = 0; i < 8; ++i)
        pv(on, scores.data(), v.data(), CacheType::f32, S, S, kH, kHkv, kDh, out.data(), tuning);
    });
    print_line(std::string("qk_") + name + "_200", qk_s / 8 * 1e6, "us", 50);
    print_line(std::string("pv_") + name + "_200", pv_s / 8 * 1e6, "us", 50);
  }
}

// As in an engine's layer: behind the products that make q, k and v, less the products' own time, and RoPE
// and the newest row included. Also alone, where each launch waits for the one before it. Each launch has
// caches, and products weights, of their own, together beyond L2.
void time_decode(cudaStream_t stream, CacheType type, int64_t T, Unit unit, double copy) {
  constexpr int64_t kEmbedding = kH * kDh, kRow = kHkv * kDh;
  constexpr int kWeights = 8;
  const int64_t bytes_each = type == CacheType::f32 ? 4 : 2, values = T * kRow;
  const int copies = static_cast<int>(std::max<int64_t>(4, 512'000'000 / (2 * values * bytes_each)));
  const auto x = normal_f32(kEmbedding, 1), norm = normal_f32(kEmbedding, 2),
             frequency = normal_f32(kDh / 2, 4);
  const DeviceBuffer<float> q(kEmbedding), k(kRow), v(kRow), out(kEmbedding),
      work = decode_workspace(T, kH, kHkv, kDh);
  const DeviceBuffer<int32_t> position(std::vector<int32_t>{static_cast<int32_t>(T - 1)});
  std::vector<DeviceBuffer<uint8_t>> weights;
  for (int i = 0; i < kWeights; ++i)
    weights.push_back(random_matrix(WeightType::q4_K, kEmbedding + 2 * kRow, kEmbedding, 5 + i));
  std::vector<DeviceBuffer<float>> wide;
  std::vector<DeviceBuffer<half_bits>> narrow;
  for (int i = 0; i < 2 * copies; ++i) {
    if (type == CacheType::f32) {
      wide.push_back(normal_f32(values, 10 + i));
    } else {
      narrow.push_back(normal_f16(values, 10 + i));
    }
  }
  const auto cache = [&](int i) {
    return type == CacheType::f32 ? static_cast<void*>(wide[i].data()) : narrow[i].data();
  };
  const auto multiply = [&](cudaStream_t on, int i) {
    const int64_t bytes = row_bytes(WeightType::q4_K, kEmbedding);
    const uint8_t* const of_q = weights[static_cast<size_t>(i % kWeights)].data();
    const uint8_t *const of_k = of_q + kEmbedding * bytes, *const of_v = of_k + kRow * bytes;
    const Projection projections[] = {{{of_q, WeightType::q4_K, kEmbedding, kEmbedding}, q.data()},
                                      {{of_k, WeightType::q4_K, kRow, kEmbedding}, k.data()},
                                      {{of_v, WeightType::q4_K, kRow, kEmbedding}, v.data()}};
    norm_products(on, x.data(), norm.data(), kEmbedding, 1e-5f, projections, nullptr, Unit::mfma);
  };
  const auto seconds = [&](bool products, bool attention) {
    return graph_seconds(stream, 15,
                         [&](cudaStream_t on) {
                           for (int i = 0; i < copies; ++i) {
                             if (products) multiply(on, i);
                             if (attention) {
                               rope_attention_decode(on, q.data(), k.data(), v.data(), frequency.data(),
                                                     position.data(), kDh, nullptr, nullptr, cache(2 * i),
                                                     cache(2 * i + 1), type, T, kH, kHkv, kDh, work.data(),
                                                     out.data(), unit);
                             }
                           }
                         }) /
           copies;
  };
  const double products = seconds(true, false), both = seconds(true, true), alone = seconds(false, true);
  const std::string name = std::string(unit == Unit::valu ? "decode_lanes_" : "decode_") + cache_name(type) +
                           "_" + std::to_string(T);
  const auto bytes = static_cast<double>(2 * values * bytes_each);
  print_line(name, bytes / (both - products), "B/s", copy);
  print_line(name + "_time", (both - products) * 1e6, "us", bytes / copy * 1e6);
  print_line(name + "_alone_time", alone * 1e6, "us", bytes / copy * 1e6);
}

// Each launch has buffers of its own among kSets, together beyond L2.
void time_prefill(cudaStream_t stream, CacheType type, int64_t S, double flops) {
  constexpr int kSets = 4, kTimes = 8;
  const bool wide = type == CacheType::f32;
  std::vector<DeviceBuffer<float>> q, out, k32, v32;
  std::vector<DeviceBuffer<half_bits>> k, v;
  for (int i = 0; i < kSets; ++i) {
    q.push_back(normal_f32(S * kH * kDh, 10 * i + 1, 2));
    out.emplace_back(static_cast<size_t>(S * kH * kDh));
    if (wide) {
      k32.push_back(normal_f32(S * kHkv * kDh, 10 * i + 2)),
          v32.push_back(normal_f32(S * kHkv * kDh, 10 * i + 3));
    } else {
      k.push_back(normal_f16(S * kHkv * kDh, 10 * i + 2)),
          v.push_back(normal_f16(S * kHkv * kDh, 10 * i + 3));
    }
  }
  const double s = graph_seconds(stream, 11, [&](cudaStream_t on) {
    for (int launch = 0; launch < kTimes; ++launch) {
      const int i = launch % kSets;
      attention_prefill(on, Tuning::wide, Operand::f16, q[i].data(),
                        wide ? static_cast<const void*>(k32[i].data()) : k[i].data(),
                        wide ? static_cast<const void*>(v32[i].data()) : v[i].data(), type, S, 0, kH, kHkv,
                        kDh, out[i].data());
    }
  });
  const double work = 2.0 * static_cast<double>(S) * static_cast<double>(S + 1) * kDh * kH;
  print_line(std::string("prefill_") + cache_name(type) + "_" + std::to_string(S), work / (s / kTimes),
             "FLOP/s", flops);
}

// FLOP/s of cuBLAS, bf16 into bf16 with f32 sums, 14336 x 2048 x 4096; 0 where there is no libcublas.
double cublas_ceiling(cudaStream_t stream) {
  const char* const named = std::getenv("GRETA_CUBLAS");
  void* library = nullptr;
  for (const char* name : {named != nullptr ? named : "libcublas.so.13", "libcublas.so.13",
                           "/usr/local/cuda/lib64/libcublas.so.13",
                           "/opt/torch/.venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13"}) {
    if (library == nullptr) library = dlopen(name, RTLD_NOW);
  }
  if (library == nullptr) return 0;
  using Create = int (*)(void**);
  using SetStream = int (*)(void*, cudaStream_t);
  using Gemm = int (*)(void*, int, int, int, int, int, const void*, const void*, int, int, const void*, int,
                       int, const void*, void*, int, int, int, int);
  const auto create = reinterpret_cast<Create>(dlsym(library, "cublasCreate_v2"));
  const auto set_stream = reinterpret_cast<SetStream>(dlsym(library, "cublasSetStream_v2"));
  const auto gemm = reinterpret_cast<Gemm>(dlsym(library, "cublasGemmEx"));
  void* handle = nullptr;
  if (create == nullptr || gemm == nullptr || set_stream == nullptr || create(&handle) != 0) return 0;
  constexpr int kM = 14336, kN = 2048, kK = 4096, kBf16 = 14, kF32 = 68;
  const auto a = normal_f16(int64_t{kM} * kK, 7), b = normal_f16(int64_t{kN} * kK, 8);
  DeviceBuffer<half_bits> c(size_t{kM} * kN);
  const float one = 1, zero = 0;
  const auto run = [&](cudaStream_t on) {
    set_stream(handle, on);
    if (gemm(handle, 1, 0, kM, kN, kK, &one, a.data(), kBf16, kK, b.data(), kBf16, kK, &zero, c.data(), kBf16,
             kM, kF32, -1) != 0) {
      std::exit(70);
    }
  };
  run(stream);
  hip_check(cudaStreamSynchronize(stream), "cublas");
  const double s = graph_seconds(stream, 11, [&](cudaStream_t on) {
    for (int i = 0; i < 4; ++i) run(on);
  });
  return 2.0 * kM * kN * kK / (s / 4);
}

int main_(const std::vector<std::string>& only) {
  const auto wanted = [&](const char* what) {
    return only.empty() || std::find(only.begin(), only.end(), what) != only.end();
  };
  cudaStream_t stream;
  hip_check(cudaStreamCreate(&stream), "stream");
  const double copy = copy_ceiling(stream);
  double flops = cublas_ceiling(stream);
  if (flops == 0) {
    std::printf("# no libcublas: prefill is set beside 790e12 FLOP/s, an earlier measurement\n");
    flops = 790e12;
  }
  print_line("copy", copy, "B/s", copy);
  print_line("cublas_bf16", flops, "FLOP/s", flops);

  check_prefill(CacheType::f16, 300, 0, 8, 2, 128);
  check_prefill(CacheType::f16, 65, 77, 4, 4, 64);
  check_prefill(CacheType::f16, 129, 1000, 4, 1, 112);
  check_prefill(CacheType::f32, 300, 3, 8, 2, 128);
  check_prefill(CacheType::f32, 100, 30, 4, 2, 256);
  check_prefill(CacheType::f16, 2048, 0, 32, 8, 128);
  for (const Unit unit : {Unit::valu, Unit::mfma}) {
    check_decode(CacheType::f16, 1, 8, 2, 128, unit);
    check_decode(CacheType::f16, 1000, 8, 2, 64, unit);
    check_decode(CacheType::f16, 8192, 32, 8, 128, unit);
    check_decode(CacheType::f16, 65, 8, 8, 64, unit);
    check_decode(CacheType::f16, 3333, 12, 1, 128, unit);
  }
  check_decode(CacheType::f32, 8192, 8, 2, 128, Unit::valu);
  check_decode(CacheType::f16, 777, 6, 2, 256, Unit::valu);
  if (failed) return 1;

  if (wanted("decode")) {
    for (const int64_t T : {128, 512, 2048, 8192, 32768}) {
      for (const Unit unit : {Unit::mfma, Unit::valu}) time_decode(stream, CacheType::f16, T, unit, copy);
    }
    for (const int64_t T : {8192, 32768}) time_decode(stream, CacheType::f32, T, Unit::valu, copy);
  }
  if (wanted("prefill")) {
    for (const int64_t S : {512, 2048, 4096, 8192}) time_prefill(stream, CacheType::f16, S, flops);
    time_prefill(stream, CacheType::f32, 2048, flops);
  }
  if (wanted("unfused")) unfused(stream);
  return 0;
}

}  // namespace
}  // namespace greta::kernels::card

int main(int count, char** words) {
  try {
    return greta::kernels::card::main_({words + 1, words + count});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "attention_bench: %s\n", e.what());
    return 70;
  }
}
