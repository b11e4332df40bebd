// What the bench programs of this folder share: the copy ceiling of the run, cold buffers, medians, one line
// a case: name, value, unit, ceiling, share of it, separated by tabs.
//
// Standalone programs, linked with the kernels that they run, on a machine with a card and nvcc:
//   nvcc -x cu -std=c++20 -arch=sm_90 -O3 -fmad=false --expt-relaxed-constexpr --extended-lambda -I. -c FILE
// of kernels/card/NAME.cu, kernels/launch.cpp and the .hip files it needs (gemv_bench: matmul*, gemv_wide,
// fused_*).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "kernels/hip/checked.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::card {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Seconds of one `work(stream)`: a captured graph, replayed; the median of `repeats`.
inline double graph_seconds(cudaStream_t stream, int repeats, const std::function<void(cudaStream_t)>& work) {
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  hip_check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin capture");
  work(stream);
  hip_check(cudaStreamEndCapture(stream, &graph), "end capture");
  hip_check(cudaGraphInstantiate(&ready, graph, 0), "instantiate");
  cudaEvent_t from, to;
  hip_check(cudaEventCreate(&from), "event");
  hip_check(cudaEventCreate(&to), "event");
  std::vector<double> seconds;
  for (int i = 0; i < repeats + 2; ++i) {
    hip_check(cudaEventRecord(from, stream), "record");
    hip_check(cudaGraphLaunch(ready, stream), "graph launch");
    hip_check(cudaEventRecord(to, stream), "record");
    hip_check(cudaEventSynchronize(to), "synchronise");
    float ms = 0;
    hip_check(cudaEventElapsedTime(&ms, from, to), "elapsed");
    if (i >= 2) seconds.push_back(ms * 1e-3);  // the first two warm up
  }
  cudaEventDestroy(from), cudaEventDestroy(to);
  cudaGraphExecDestroy(ready), cudaGraphDestroy(graph);
  return median(seconds);
}

__global__ void copy_words(const uint4* from, uint4* to, size_t count) {
  const size_t step = size_t{gridDim.x} * blockDim.x;
  size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x;
  for (; i + 3 * step < count; i += 4 * step) {
    const uint4 a = from[i], b = from[i + step], c = from[i + 2 * step], d = from[i + 3 * step];
    to[i] = a, to[i + step] = b, to[i + 2 * step] = c, to[i + 3 * step] = d;
  }
  for (; i < count; i += step) to[i] = from[i];
}

// Bytes a second, read and written, of a copy of 2 GiB: the faster of the runtime's and a kernel's.
inline double copy_ceiling(cudaStream_t stream) {
  const size_t bytes = size_t{2} << 30;
  DeviceBuffer<uint8_t> from(bytes), to(bytes);
  hip_check(cudaMemset(from.data(), 1, bytes), "memset");
  cudaEvent_t begin, end;
  hip_check(cudaEventCreate(&begin), "event");
  hip_check(cudaEventCreate(&end), "event");
  double best = 0;
  for (int way = 0; way < 3; ++way) {
    std::vector<double> seconds;
    for (int i = 0; i < 11; ++i) {
      hip_check(cudaEventRecord(begin, stream), "record");
      if (way == 0) {
        hip_check(cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice, stream), "copy");
      } else {
        copy_words<<<way == 1 ? 132 * 4 : 132 * 32, 512, 0, stream>>>(
            reinterpret_cast<const uint4*>(from.data()), reinterpret_cast<uint4*>(to.data()), bytes / 16);
      }
      hip_check(cudaEventRecord(end, stream), "record");
      hip_check(cudaEventSynchronize(end), "synchronise");
      float ms = 0;
      hip_check(cudaEventElapsedTime(&ms, begin, end), "elapsed");
      if (i >= 2) seconds.push_back(ms * 1e-3);
    }
    best = std::max(best, 2.0 * static_cast<double>(bytes) / median(seconds));
    if (std::getenv("GRETA_BENCH_VERBOSE"))
      std::fprintf(stderr, "copy way %d: %.4g\n", way, 2.0 * static_cast<double>(bytes) / median(seconds));
  }
  cudaEventDestroy(begin), cudaEventDestroy(end);
  return best;
}

inline void print_line(const std::string& name, double value, const char* unit, double ceiling) {
  std::printf("%s\t%.4g\t%s\t%.4g\t%.3f\n", name.c_str(), value, unit, ceiling, value / ceiling);
  std::fflush(stdout);
}

__device__ inline uint32_t mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>(x >> 32);
}

__global__ void fill_words(uint32_t* out, size_t count, uint64_t seed) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count;
       i += size_t{gridDim.x} * blockDim.x)
    out[i] = mix(seed + i);
}
__global__ void fill_activations(float* out, size_t count, uint64_t seed) {
  for (size_t i = blockIdx.x * size_t{blockDim.x} + threadIdx.x; i < count;
       i += size_t{gridDim.x} * blockDim.x)
    out[i] = (static_cast<float>(mix(seed + i)) * 0x1p-31f - 1.0f) * (i % 37 == 5 ? 30.0f : 1.0f);
}
// Every f16 scale of the packed blocks becomes finite, about 2^-8.
__global__ void mend_scales(uint8_t* data, size_t blocks, int block_bytes, int at, int scales) {
  for (size_t b = blockIdx.x * size_t{blockDim.x} + threadIdx.x; b < blocks;
       b += size_t{gridDim.x} * blockDim.x) {
    for (int i = 0; i < scales; ++i) {
      uint8_t* high = data + b * block_bytes + at + 2 * i + 1;
      *high = static_cast<uint8_t>((*high & 0x87) | 0x18);
    }
  }
}

// A packed matrix of random weights.
inline DeviceBuffer<uint8_t> random_matrix(WeightType type, int64_t rows, int64_t columns, uint64_t seed) {
  const size_t bytes = static_cast<size_t>(rows * row_bytes(type, columns));
  DeviceBuffer<uint8_t> data((bytes + 15) / 16 * 16);
  fill_words<<<1024, 256>>>(reinterpret_cast<uint32_t*>(data.data()), data.size() / 4, seed);
  const int block = packing(type).bytes;
  const size_t blocks = bytes / static_cast<size_t>(block);
  const int at = type == WeightType::q6_K ? 208 : type == WeightType::f32 ? 2 : 0;
  const int scales = type == WeightType::q4_K || type == WeightType::q5_K ? 2 : 1;
  mend_scales<<<1024, 256>>>(data.data(), blocks, block, at, scales);
  hip_check(cudaDeviceSynchronize(), "fill");
  return data;
}

}  // namespace greta::kernels::card
