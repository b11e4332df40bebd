// y[s, n] = Σ_k x[s, k] · W[n, k], each row of x alone, W read straight from its packed form.
//
// A block of 64 threads makes 8·R rows of W: 8 lanes a row, each lane the chunks of 32 at lane, lane + 8, …,
// of R rows (x's chunk is loaded once for them). The lanes' sums meet in shared memory behind one barrier.
// Costs: 16 + 64 registers' worth of values a lane; 64·R floats of shared memory. R is 8 where N is large
// enough to fill the machine so, else 1.
#include "kernels/launch.hpp"
#include "kernels/matmul.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kLanes = 8;                 // of one row of W
constexpr int kGroups = kBlock / kLanes;  // rows at a time
constexpr int kSums = 16;                 // independent sums a lane and row

template <WeightType T, int R>
__global__ void gemv_kernel(const uint8_t* w, int64_t N, int64_t K, const float* x, float* y) {
  GRETA_SHARED(float, partial, kGroups* R* kLanes);
  const int64_t blocks_a_row = ceil_div(N, kGroups * R);
  const int64_t s = blockIdx.x / blocks_a_row;
  const int64_t first = blockIdx.x % blocks_a_row * (kGroups * R);
  const int group = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t stride = K / packing(T).values * packing(T).bytes;
  const float* xs = x + s * K;

  for (int r = 0; r < R; ++r) {
    const int64_t n = first + group * R + r;
    float sums[kSums] = {};
    if (n < N) {
      for (int64_t k = lane * kChunk; k < K; k += kLanes * kChunk) {
        float weights[kChunk];
        unpack_chunk<T>(w + n * stride, k, K - k, weights);
        if (K - k >= kChunk) {
          for (int half = 0; half < kChunk; half += kSums) {
            for (int i = 0; i < kSums; ++i) sums[i] = fmaf(weights[half + i], xs[k + half + i], sums[i]);
          }
        } else {
          for (int i = 0; i < kChunk; ++i) {
            if (i < K - k) sums[i % kSums] = fmaf(weights[i], xs[k + i], sums[i % kSums]);
          }
        }
      }
    }
    for (int width = kSums / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
    }
    partial[(group * R + r) * kLanes + lane] = sums[0];
  }
  __syncthreads();
  for (int row = static_cast<int>(threadIdx.x); row < kGroups * R; row += kBlock) {
    if (first + row >= N) continue;
    float sums[kLanes];
    for (int i = 0; i < kLanes; ++i) sums[i] = partial[row * kLanes + i];
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) sums[i] += sums[i + width];
    }
    y[s * N + first + row] = sums[0];
  }
}

template <WeightType T, int R>
std::string launch(hipStream_t stream, const Weight& w, const float* x, int64_t rows, float* y) {
  const std::string name = std::string("matmul_valu_gemv_") + packing(T).name + "<rows=" + std::to_string(R) +
                           ",lanes=" + std::to_string(kLanes) + ",block=" + std::to_string(kBlock) + ">";
  const unsigned grid = grid_for(rows * ceil_div(w.rows, kGroups * R), 1, "matmul");
  hipLaunchKernelGGL(HIP_KERNEL_NAME(gemv_kernel<T, R>), dim3(grid), dim3(kBlock), 0, stream,
                     static_cast<const uint8_t*>(w.data), w.rows, w.columns, x, y);
  check_launched(name);
  return name;
}

// Rows of W that a grid must have before a block takes 64 of them: below it the machine would stand idle.
constexpr int64_t kManyRows = 128;

}  // namespace

Attested matmul_valu_gemv(hipStream_t stream, const Weight& w, const float* x, int64_t rows, float* y) {
  const int64_t steps = ceil_div(w.columns, kLanes * kChunk);  // chunks of the busiest lane
  const int64_t chain = steps * (kChunk / kSums) + tree_depth(kSums) + tree_depth(kLanes);
  const std::string name = with_weight_type(w.type, [&]<WeightType T>() {
    return rows * w.rows >= kManyRows ? launch<T, 8>(stream, w, x, rows, y)
                                      : launch<T, 1>(stream, w, x, rows, y);
  });
  return {name, sum_contract("matmul", "f32", chain)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
