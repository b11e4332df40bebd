// The small kernels on a card: what they reach of the copy's or the read's speed in the same run, whether
// they are right there, and the ulp that their contracts claim of the card's own functions. A line each,
// tab-separated: name, value, unit, ceiling, share of it. Exit code 1 when a result or a claim is wrong.
//
//   nvcc -std=c++20 -arch=sm_90 -O3 -fmad=false --expt-relaxed-constexpr --extended-lambda -I. -x cu
//     kernels/card/elementwise_bench.cu kernels/launch.cpp
//     kernels/{add,argmax,rmsnorm,rope,softmax,swiglu}.hip kernels/{compare,checksum,pattern}.hip -o
//     elementwise_bench        (all on one line)
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "kernels/evidence.hpp"
#include "kernels/kernels.hpp"
#include "kernels/mix.hpp"

namespace {

using namespace greta::kernels;

int wrong = 0;

void must(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(2);
}

void line(const std::string& name, double value, const char* unit, double ceiling, double share) {
  std::printf("%s\t%.4g\t%s\t%.4g\t%.3f\n", name.c_str(), value, unit, ceiling, share);
}

// A claim: `value` is at most `limit`.
void claim(const std::string& name, double value, const char* unit, double limit) {
  line(name, value, unit, limit, value / limit);
  if (!(value <= limit)) ++wrong, std::printf("# WRONG: %s\n", name.c_str());
}

template <class T>
struct Device {
  explicit Device(size_t n) : count(n) { must(cudaMalloc(&data, n * sizeof(T)), "cudaMalloc"); }
  ~Device() { cudaFree(data); }
  Device(const Device&) = delete;
  std::vector<T> read(size_t first, size_t n) const {
    std::vector<T> values(n);
    must(cudaMemcpy(values.data(), data + first, n * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
    return values;
  }
  T* data = nullptr;
  size_t count;
};

// Normal, standard deviation 1 (Box and Muller 1958).
__global__ void fill_normal(float* x, int64_t count, uint64_t seed) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const uint64_t z = mix(seed, static_cast<uint64_t>(i));
    const float u = (static_cast<float>(z >> 40) + 1) * 0x1p-24f,
                v = static_cast<float>(z & 0xffffff) * 0x1p-24f;
    x[i] = sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
  }
}
void normal(Device<float>& x, uint64_t seed) {
  fill_normal<<<1056, 256>>>(x.data, static_cast<int64_t>(x.count), seed);
}

// b: a few ulp from a; bound: what one in a thousand is beyond.
__global__ void fill_near(const float* a, float* b, float* bound, int64_t count) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const float noise = static_cast<float>(mix(99, static_cast<uint64_t>(i)) >> 40) * 0x1p-24f - 0.5f;
    b[i] = a[i] + noise * 1e-6f;
    bound[i] = 4.995e-7f + fabsf(a[i]) * 1.2e-7f;
  }
}

__global__ void read_kernel(const float4* x, int64_t count, float* out) {
  float sum = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += 4 * step) {
    float4 v[4] = {};
    for (int j = 0; j < 4; ++j)
      if (i + j * step < count) v[j] = x[i + j * step];
    for (int j = 0; j < 4; ++j) sum += v[j].x + v[j].y + v[j].z + v[j].w;
  }
  if (sum == 1.2345678f) *out = sum;  // never, but the compiler does not know
}

// Seconds of one launch: `batch` launches as a captured graph, so that the host's speed does not count; the
// median of 15 runs of the graph, after one that is not counted.
using Launch = std::function<void(hipStream_t, int)>;
double seconds(int batch, const Launch& launch) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t run;
  cudaEvent_t begin, end;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaEventCreate(&begin), cudaEventCreate(&end);
  must(cudaDeviceSynchronize(), "what was launched before");
  must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
  for (int i = 0; i < batch; ++i) launch(stream, i);
  must(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  must(cudaGraphInstantiate(&run, graph, 0), "cudaGraphInstantiate");
  std::vector<double> times;
  for (int b = 0; b < 16; ++b) {
    cudaEventRecord(begin, stream);
    must(cudaGraphLaunch(run, stream), "cudaGraphLaunch");
    cudaEventRecord(end, stream);
    must(cudaEventSynchronize(end), "a kernel");
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    if (b > 0) times.push_back(ms * 1e-3 / batch);
  }
  cudaGraphExecDestroy(run), cudaGraphDestroy(graph);
  cudaEventDestroy(begin), cudaEventDestroy(end), cudaStreamDestroy(stream);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// Seconds of one large launch, the median of 15.
double alone(const std::function<void()>& launch) {
  cudaEvent_t begin, end;
  cudaEventCreate(&begin), cudaEventCreate(&end);
  std::vector<double> times;
  for (int b = 0; b < 16; ++b) {
    cudaEventRecord(begin);
    launch();
    cudaEventRecord(end);
    must(cudaEventSynchronize(end), "a kernel");
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    if (b > 0) times.push_back(ms * 1e-3);
  }
  cudaEventDestroy(begin), cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

struct Ceilings {
  double copy, read;  // bytes a second
};

constexpr size_t kPool = size_t{384} << 20;  // floats of a pool: 1.5 GiB, far beyond the L2

struct Bench {
  Device<float> a{kPool}, b{kPool}, c{kPool};
  Ceilings ceiling{};

  Bench() {
    normal(a, 1), normal(b, 2), normal(c, 3);
    const double bytes = 4.0 * kPool;
    // A copy in a graph may be left to a copy engine, which is slower: here it is none.
    ceiling.copy =
        2 * bytes / alone([&] { cudaMemcpyAsync(c.data, a.data, kPool * 4, cudaMemcpyDeviceToDevice); });
    ceiling.read = bytes / alone([&] {
                     read_kernel<<<1056, 256>>>(reinterpret_cast<const float4*>(a.data), kPool / 4, c.data);
                   });
    line("copy of 1.5 GiB", ceiling.copy * 1e-12, "TB/s", ceiling.copy * 1e-12, 1);
    line("read of 1.5 GiB", ceiling.read * 1e-12, "TB/s", ceiling.read * 1e-12, 1);
  }

  // `bytes` of one launch on `count` floats a tensor; the tensors move through the pools.
  void rate(const std::string& name, size_t count, double bytes, double of,
            const std::function<void(hipStream_t, size_t)>& launch) const {
    const size_t sets = std::max<size_t>(1, kPool / count);
    const int batch = static_cast<int>(std::clamp<size_t>(2 * sets, 4, 64));
    const double time = seconds(
        batch, [&](hipStream_t stream, int i) { launch(stream, static_cast<size_t>(i) % sets * count); });
    const double speed = bytes / time;
    line(name, speed * 1e-12, "TB/s", of * 1e-12, speed / of);
  }
};

void rows(Bench& bench, int64_t S, int64_t N) {
  const size_t count = static_cast<size_t>(S * N);
  const std::string size = std::to_string(S) + "x" + std::to_string(N);
  const Device<float> weight(static_cast<size_t>(N));
  fill_normal<<<64, 256>>>(weight.data, N, 7);
  normal(bench.a, 11);
  const Attested norm = rmsnorm(nullptr, bench.a.data, weight.data, S, N, 1e-5f, bench.c.data);
  const Attested soft = softmax(nullptr, bench.a.data, S, N, bench.b.data);
  const double chain = std::atof(norm.contract.c_str() + norm.contract.find("chain=") + 6);
  const double u = 0x1p-24;
  double worst_norm = 0, worst_soft = 0;
  const auto w = weight.read(0, static_cast<size_t>(N));
  for (const int64_t row : {int64_t{0}, S / 2, S - 1}) {
    const auto n = static_cast<size_t>(N), first = static_cast<size_t>(row) * n;
    const auto x = bench.a.read(first, n), got = bench.c.read(first, n), share = bench.b.read(first, n);
    double squares = 0, sum = 0;
    const double largest = *std::max_element(x.begin(), x.end());
    for (const float v : x) squares += double(v) * v, sum += std::exp(v - largest);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(N) + 1e-5f);
    for (size_t i = 0; i < n; ++i) {
      const double want = x[i] * scale * w[i], p = std::exp(x[i] - largest) / sum;
      worst_norm =
          std::max(worst_norm, std::abs(got[i] - want) / (std::abs(want) * ((chain + 2) / 2 + 6) * u));
      // exp twice (2 ulp each, and the rounding of x - largest), the sum, the division
      worst_soft = std::max(worst_soft,
                            std::abs(share[i] - p) / (p * (chain + 11 + std::abs(x[i] - largest) * 2) * u));
    }
  }
  claim("error of rmsnorm " + size + " in bounds", worst_norm, "", 1);
  claim("error of softmax " + size + " in bounds", worst_soft, "", 1);
  bench.rate("rmsnorm " + size + " " + norm.kernel, count, 8.0 * count, bench.ceiling.copy,
             [&](hipStream_t stream, size_t at) {
               rmsnorm(stream, bench.a.data + at, weight.data, S, N, 1e-5f, bench.c.data + at);
             });
  bench.rate(
      "softmax " + size + " " + soft.kernel, count, 8.0 * count, bench.ceiling.copy,
      [&](hipStream_t stream, size_t at) { softmax(stream, bench.a.data + at, S, N, bench.c.data + at); });
}

void maps(Bench& bench, int64_t S, int64_t N) {
  const size_t count = static_cast<size_t>(S * N);
  const auto n = static_cast<int64_t>(count);
  const std::string size = std::to_string(S) + "x" + std::to_string(N);
  normal(bench.a, 21), normal(bench.b, 22);
  swiglu(nullptr, bench.a.data, bench.b.data, n, bench.c.data);
  const auto gate = bench.a.read(0, 100000), up = bench.b.read(0, 100000), got = bench.c.read(0, 100000);
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double want = gate[i] / (1 + std::exp(-double(gate[i]))) * up[i];
    worst = std::max(worst, std::abs(got[i] - want) / (std::abs(want) * 9 * 0x1p-24 + 1e-36));
  }
  claim("error of swiglu in bounds", worst, "", 1);
  bench.rate("copy " + size, count, 8.0 * count, bench.ceiling.copy, [&](hipStream_t stream, size_t at) {
    cudaMemcpyAsync(bench.c.data + at, bench.a.data + at, 4 * count, cudaMemcpyDeviceToDevice, stream);
  });
  bench.rate("add " + size, count, 12.0 * count, bench.ceiling.copy, [&](hipStream_t stream, size_t at) {
    add(stream, bench.a.data + at, bench.b.data + at, n, bench.c.data + at);
  });
  bench.rate("swiglu " + size, count, 12.0 * count, bench.ceiling.copy, [&](hipStream_t stream, size_t at) {
    swiglu(stream, bench.a.data + at, bench.b.data + at, n, bench.c.data + at);
  });
}

void ropes(Bench& bench, int64_t S, int64_t H) {
  const int64_t Dh = 128;
  const size_t count = static_cast<size_t>(S * H * Dh);
  std::vector<float> frequency(Dh / 2);
  std::vector<int32_t> positions(static_cast<size_t>(S));
  for (size_t i = 0; i < frequency.size(); ++i)
    frequency[i] = static_cast<float>(std::pow(500000.0, -double(i) / 64));
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i);
  const Device<float> f(frequency.size());
  const Device<int32_t> p(positions.size());
  cudaMemcpy(f.data, frequency.data(), 4 * frequency.size(), cudaMemcpyHostToDevice);
  cudaMemcpy(p.data, positions.data(), 4 * positions.size(), cudaMemcpyHostToDevice);
  normal(bench.a, 31);
  const Attested ran = rope(nullptr, bench.a.data, f.data, p.data, S, H, Dh, Dh, bench.c.data);
  const size_t row = static_cast<size_t>(H * Dh), first = (static_cast<size_t>(S) - 1) * row;
  const auto x = bench.a.read(first, row), got = bench.c.read(first, row);
  double worst = 0;
  for (size_t i = 0; i < row; i += 2) {
    const double angle = static_cast<float>(S - 1) * frequency[i % Dh / 2], s = std::sin(angle),
                 c = std::cos(angle);
    const double bound = (std::abs(x[i]) + std::abs(x[i + 1])) * 6 * 0x1p-24;
    worst = std::max({worst, std::abs(got[i] - (x[i] * c - x[i + 1] * s)) / bound,
                      std::abs(got[i + 1] - (x[i] * s + x[i + 1] * c)) / bound});
  }
  claim("error of rope in bounds", worst, "", 1);
  const std::string size = std::to_string(S) + "x" + std::to_string(H) + "x" + std::to_string(Dh);
  bench.rate("rope " + size + " " + ran.kernel, count, 8.0 * count, bench.ceiling.copy,
             [&](hipStream_t stream, size_t at) {
               rope(stream, bench.a.data + at, f.data, p.data, S, H, Dh, Dh, bench.c.data + at);
             });
}

void argmaxes(Bench& bench) {
  const int64_t V = 128256;
  const Device<int32_t> index(1);
  normal(bench.a, 41);
  argmax(nullptr, bench.a.data, V, index.data);
  const auto x = bench.a.read(0, V);
  claim("argmax is the first largest",
        std::abs(double(index.read(0, 1)[0] - (std::max_element(x.begin(), x.end()) - x.begin()))), "places",
        0.5);
  const Device<uint64_t> workspace(kArgmaxBlocks);
  argmax(nullptr, bench.a.data, V, index.data, Tuning::wide, workspace.data);
  claim("argmax over many blocks is the first largest",
        std::abs(double(index.read(0, 1)[0] - (std::max_element(x.begin(), x.end()) - x.begin()))), "places",
        0.5);
  const auto time = [&](const char* name, Tuning tuning, uint64_t* scratch, size_t places) {
    const double each = seconds(50, [&](hipStream_t stream, int i) {
      argmax(stream, bench.a.data + size_t(i) % places * 128256, V, index.data, tuning, scratch);
    });
    line(std::string("argmax 128256 ") + name, each * 1e6, "us", 0, 0);
  };
  time("many blocks", Tuning::wide, workspace.data, 2000);
  time("many blocks, in the L2", Tuning::wide, workspace.data, 1);
  time("one block", Tuning::wide, nullptr, 2000);
  time("one block, in the L2", Tuning::wide, nullptr, 1);
  time("plain", Tuning::plain, nullptr, 2000);
  const Device<float> weight(4096);
  normal(const_cast<Device<float>&>(weight), 5);
  const double norm = seconds(50, [&](hipStream_t stream, int i) {
    rmsnorm(stream, bench.a.data + size_t(i) % 2000 * 4096, weight.data, 1, 4096, 1e-5f, bench.c.data);
  });
  line("rmsnorm 1x4096", norm * 1e6, "us", 0, 0);
}

void evidence(Bench& bench, size_t count) {
  const auto n = static_cast<int64_t>(count);
  normal(bench.a, 51);
  fill_near<<<1056, 256>>>(bench.a.data, bench.b.data, bench.c.data, static_cast<int64_t>(kPool));
  const Device<Comparison> parts(static_cast<size_t>(comparison_workspace(n))), out(1);
  compare(nullptr, bench.a.data, bench.b.data, bench.c.data, n, parts.data, out.data);
  const Comparison got = out.read(0, 1)[0];
  const auto x = bench.a.read(0, count), y = bench.b.read(0, count), z = bench.c.read(0, count);
  double square = 0, part = 0, largest = 0;
  int64_t beyond = 0, worst = 0;
  for (size_t i = 0; i < count; ++i) {
    const double e = std::abs(double(x[i]) - y[i]);
    part += e * e, beyond += e > z[i];
    if (i % 4096 == 4095 || i + 1 == count) square += part, part = 0;  // so that the order costs no digits
    if (e / z[i] > largest) largest = e / z[i], worst = static_cast<int64_t>(i);
  }
  claim("compare: sum of squares, relative error", std::abs(got.square - square) / square, "", 1e-12);
  claim("compare: elements out of bound, difference", std::abs(double(got.out_of_bound - beyond)), "", 0.5);
  claim("compare: place of the worst, difference", std::abs(double(got.worst - worst)), "", 0.5);
  const std::string size = std::to_string(count * 4 >> 20) + " MiB";
  bench.rate("compare with bounds " + size, count, 12.0 * count, bench.ceiling.read,
             [&](hipStream_t stream, size_t at) {
               compare(stream, bench.a.data + at, bench.b.data + at, bench.c.data + at, n, parts.data,
                       out.data);
             });
  bench.rate("compare without " + size, count, 8.0 * count, bench.ceiling.read,
             [&](hipStream_t stream, size_t at) {
               compare(stream, bench.a.data + at, bench.b.data + at, nullptr, n, parts.data, out.data);
             });
  const Device<uint64_t> sum(1);
  checksum(nullptr, bench.a.data, 4 * n - 3, sum.data);  // a last word that is not whole
  uint64_t want = mix(4 * count - 3, ~uint64_t{0});
  for (size_t i = 0; 8 * i < 4 * count - 3; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, reinterpret_cast<const char*>(x.data()) + 8 * i,
                std::min<size_t>(8, 4 * count - 3 - 8 * i));
    want += mix(word, i);
  }
  claim("checksum equals the host's", sum.read(0, 1)[0] == want ? 0 : 1, "", 0.5);
  bench.rate("checksum " + size, count, 4.0 * count, bench.ceiling.read,
             [&](hipStream_t stream, size_t at) { checksum(stream, bench.a.data + at, 4 * n, sum.data); });
}

// Largest error in ulp of expf, or of sincosf, over all floats of a range of bits.
template <bool kTrig>
__global__ void ulp_kernel(uint32_t first, uint32_t last, unsigned long long* worst) {
  double own = 0;
  for (uint64_t bits = first + uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; bits <= last;
       bits += uint64_t{gridDim.x} * blockDim.x) {
    const float x = __uint_as_float(static_cast<uint32_t>(bits));
    const auto error = [](float got, double want) {
      int exponent;
      frexp(want, &exponent);
      return fabs(got - want) / ldexp(1.0, max(exponent - 24, -149));
    };
    if constexpr (kTrig) {
      float s, c;
      sincosf(x, &s, &c);
      own = fmax(own, fmax(error(s, sin(double(x))), error(c, cos(double(x)))));
    } else {
      own = fmax(own, error(expf(x), exp(double(x))));
    }
  }
  atomicMax(worst, static_cast<unsigned long long>(own * 1e6));
}

__global__ void rounding_kernel(uint64_t seed, unsigned long long* different) {
  for (int i = 0; i < 2000; ++i) {
    const uint64_t z = mix(seed, (uint64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 2000 + i);
    // Exponents from 2^-60 to 2^67: quotients stay normal, where rounding twice (f64, then f32) equals once.
    const float a = __uint_as_float(static_cast<uint32_t>(z) % 0x40000000 + 0x21800000);
    const float b = __uint_as_float(static_cast<uint32_t>(z >> 32) % 0x40000000 + 0x21800000);
    const bool same =
        a / b == static_cast<float>(double(a) / b) && sqrtf(a) == static_cast<float>(sqrt(double(a)));
    if (!same) atomicAdd(different, 1ull);
  }
}

void functions() {
  const Device<unsigned long long> worst(1);
  const auto measured = [&](const char* name, double limit, const std::function<void()>& run, double unit) {
    cudaMemset(worst.data, 0, 8);
    run();
    must(cudaDeviceSynchronize(), name);
    claim(name, double(worst.read(0, 1)[0]) * unit, "ulp", limit);
  };
  measured(
      "expf, every float of [-104, -0]", 2,
      [&] { ulp_kernel<false><<<2112, 256>>>(0x80000000u, 0xc2d00000u, worst.data); }, 1e-6);
  measured(
      "expf, every float of [0, 88.7]", 2,
      [&] { ulp_kernel<false><<<2112, 256>>>(0, 0x42b16666u, worst.data); }, 1e-6);
  measured(
      "sincosf, every float of [0, 262144]", 2,
      [&] { ulp_kernel<true><<<2112, 256>>>(0, 0x48800000u, worst.data); }, 1e-6);
  measured(
      "quotients and roots that are not correctly rounded", 0.5,
      [&] { rounding_kernel<<<1056, 256>>>(1, worst.data); }, 1);
}

}  // namespace

// Arguments: the groups to run; none: all of them.
int main(int argc, char** argv) {
  const auto chosen = [&](const char* group) {
    return argc == 1 ||
           std::any_of(argv + 1, argv + argc, [&](const char* name) { return !std::strcmp(name, group); });
  };
  Bench bench;
  if (chosen("functions")) functions();
  if (chosen("rows")) {
    rows(bench, 2048, 4096);
    rows(bench, 8192, 14336);
    rows(bench, 8192, 20000);
    rows(bench, 65536, 2048);
    rows(bench, 65600, 205);
  }
  if (chosen("maps")) {
    maps(bench, 2048, 4096);
    maps(bench, 8192, 14336);
  }
  if (chosen("rope")) {
    ropes(bench, 2048, 32);
    ropes(bench, 16384, 32);
  }
  if (chosen("argmax")) argmaxes(bench);
  if (chosen("evidence")) {
    evidence(bench, size_t{2048} * 4096);
    evidence(bench, size_t{8192} * 14336);
  }
  return wrong ? 1 : 0;
}
