// The host machine's own costs: a lane at a barrier, at a wave collective, alone in a plain loop; a launch;
// the check of all red zones; and two matrix products, of tiles in shared memory and of matrix fragments.
// Items are lanes (barriers, shuffles) or floating-point operations.
#include <benchmark/benchmark.h>

#include "kernels/hip/checked.hpp"
#include "kernels/hip/fragment.hpp"

namespace greta::kernels {
namespace {

void one_thread(int wave = 64) { host::configure({.wave = wave, .threads = 1}); }

__global__ void barriers(int rounds) {
  for (int i = 0; i < rounds; ++i) __syncthreads();
}

void per_lane_and_round(benchmark::State& state, void (*kernel)(int), int lanes) {
  constexpr int kRounds = 1000;
  for (auto _ : state) {
    hipLaunchKernelGGL(kernel, 1, lanes, 0, nullptr, kRounds);
    hip_check(hipDeviceSynchronize(), "hipDeviceSynchronize");
  }
  using benchmark::Counter;
  state.counters["per_lane"] =
      Counter(static_cast<double>(state.iterations()) * kRounds * lanes, Counter::kIsRate | Counter::kInvert);
}

void barrier(benchmark::State& state) {
  one_thread();
  per_lane_and_round(state, barriers, static_cast<int>(state.range(0)));
}
BENCHMARK(barrier)->Arg(64)->Arg(256)->Arg(1024)->UseRealTime();

__global__ void shuffles(int rounds) {
  float v = static_cast<float>(threadIdx.x);
  for (int i = 0; i < rounds; ++i) v += wave_shuffle_xor(v, 1);
  benchmark::DoNotOptimize(v);
}
void shuffle(benchmark::State& state) {
  one_thread(static_cast<int>(state.range(0)));
  per_lane_and_round(state, shuffles, 256);
}
BENCHMARK(shuffle)->Arg(64)->Arg(32)->UseRealTime();

__global__ void nothing(int) { benchmark::ClobberMemory(); }
void plain_lane(benchmark::State& state) {
  one_thread();
  constexpr int kBlocks = 1000, kLanes = 256;
  for (auto _ : state) {
    hipLaunchKernelGGL(nothing, kBlocks, kLanes, 0, nullptr, 0);
    hip_check(hipDeviceSynchronize(), "hipDeviceSynchronize");
  }
  using benchmark::Counter;
  state.counters["per_lane"] = Counter(static_cast<double>(state.iterations()) * kBlocks * kLanes,
                                       Counter::kIsRate | Counter::kInvert);
}
BENCHMARK(plain_lane)->UseRealTime();

// Launches queued behind one another, with so many live allocations to check after each.
void launch(benchmark::State& state) {
  one_thread();
  std::vector<DeviceBuffer<float>> live;
  for (int i = 0; i < state.range(0); ++i) live.emplace_back(size_t{4096});
  constexpr int kLaunches = 200;
  for (auto _ : state) {
    for (int i = 0; i < kLaunches; ++i) hipLaunchKernelGGL(nothing, 1, 1, 0, nullptr, 0);
    hip_check(hipDeviceSynchronize(), "hipDeviceSynchronize");
  }
  using benchmark::Counter;
  state.counters["per_launch"] =
      Counter(static_cast<double>(state.iterations()) * kLaunches, Counter::kIsRate | Counter::kInvert);
}
BENCHMARK(launch)->Arg(0)->Arg(300)->UseRealTime();

// C = A·Bᵀ, row-major, n by n: 64x64 tiles in shared memory, 256 lanes, each with 4x4 sums in registers.
constexpr int kTileSide = 64, kTileDepth = 16;
__global__ void tiled_gemm(const float* a, const float* b, float* c, int n) {
  GRETA_SHARED(float, tile_a, kTileDepth* kTileSide);  // by k
  GRETA_SHARED(float, tile_b, kTileDepth* kTileSide);
  const int lane = static_cast<int>(threadIdx.x), row0 = static_cast<int>(blockIdx.y) * kTileSide,
            column0 = static_cast<int>(blockIdx.x) * kTileSide, row = lane / 16 * 4, column = lane % 16 * 4;
  float sum[4][4] = {};
  for (int k0 = 0; k0 < n; k0 += kTileDepth) {
    for (int i = lane; i < kTileDepth * kTileSide; i += 256) {
      const int r = i / kTileDepth, k = i % kTileDepth;
      tile_a[k * kTileSide + r] = a[(row0 + r) * n + k0 + k];
      tile_b[k * kTileSide + r] = b[(column0 + r) * n + k0 + k];
    }
    __syncthreads();
    for (int k = 0; k < kTileDepth; ++k) {
      const float* const at = tile_a + k * kTileSide + row;
      const float* const bt = tile_b + k * kTileSide + column;
      for (int i = 0; i < 4; ++i) {
        for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(at[i], bt[j], sum[i][j]);
      }
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) c[(row0 + row + i) * n + column0 + column + j] = sum[i][j];
  }
}

// The same by fragments: one wave a 16x16 tile of C.
__global__ void fragment_gemm(const float* a, const float* b, float* c, int n) {
  const int row0 = static_cast<int>(blockIdx.y) * kTile, column0 = static_cast<int>(blockIdx.x) * kTile;
  FragmentAcc acc;
  acc.fill(0.0f);
  for (int k0 = 0; k0 < n; k0 += kTile) {
    FragmentA fa;
    FragmentB fb;
    for (int r = 0; r < fragment_elements(); ++r) {
      const FragmentCell in_a = a_cell(lane_id(), r), in_b = b_cell(lane_id(), r);
      fa.x[r] = f32_to_f16_rn(a[(row0 + in_a.row) * n + k0 + in_a.column]);
      fb.x[r] = f32_to_f16_rn(b[(column0 + in_b.column) * n + k0 + in_b.row]);
    }
    mma(acc, fa, fb);
  }
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell at = acc_cell(lane_id(), r);
    c[(row0 + at.row) * n + column0 + at.column] = acc.x[r];
  }
}

void gemm(benchmark::State& state, void (*kernel)(const float*, const float*, float*, int), int side,
          int lanes) {
  constexpr int kN = 256;
  std::vector<float> values(kN * kN);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 2654435761u % 1000) / 1000;
  DeviceBuffer<float> a(values), b(values), c(kN * kN);
  for (auto _ : state) {
    hipLaunchKernelGGL(kernel, dim3(kN / side, kN / side), lanes, 0, nullptr, a.data(), b.data(), c.data(),
                       kN);
    hip_check(hipDeviceSynchronize(), "hipDeviceSynchronize");
  }
  state.counters["flop"] = benchmark::Counter(2.0 * kN * kN * kN * static_cast<double>(state.iterations()),
                                              benchmark::Counter::kIsRate);
}
void gemm_valu(benchmark::State& state) {
  one_thread();
  gemm(state, tiled_gemm, kTileSide, 256);
}
BENCHMARK(gemm_valu)->UseRealTime();
void gemm_mma(benchmark::State& state) {
  one_thread(static_cast<int>(state.range(0)));
  gemm(state, fragment_gemm, kTile, static_cast<int>(state.range(0)));
}
BENCHMARK(gemm_mma)->Arg(64)->Arg(32)->UseRealTime();

// The product alone, operands in registers.
__global__ void mma_only(int rounds) {
  FragmentA a{};
  FragmentB b{};
  FragmentAcc c{};
  for (int i = 0; i < rounds; ++i) mma(c, a, b);
}
void mma_alone(benchmark::State& state) {
  const int wave = static_cast<int>(state.range(0));
  one_thread(wave);
  constexpr int kRounds = 1000;
  for (auto _ : state) {
    hipLaunchKernelGGL(mma_only, 1, wave, 0, nullptr, kRounds);
    hip_check(hipDeviceSynchronize(), "hipDeviceSynchronize");
  }
  state.counters["flop"] =
      benchmark::Counter(2.0 * kTile * kTile * kTile * kRounds * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate);
}
BENCHMARK(mma_alone)->Arg(64)->Arg(32)->UseRealTime();

}  // namespace
}  // namespace greta::kernels
