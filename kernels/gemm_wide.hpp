// y[s, n] = Σ_k x[s, k] · W[n, k] through the matrix unit, for a card: the kernel that gemm_wide_*.hip
// instantiate. Private to kernels/.
//
// A block makes kM rows of x by kN rows of W. The rows of x come as operands (gemm_x.hip), in tiles of 64
// along K; the rows of W come packed, in steps of LaneWeights<T>::kStep, and are unpacked by the lane that
// feeds them to the matrix unit, so W crosses shared memory once and packed. Both are copied ahead through
// rings of X_STAGES and W_STAGES. A wave makes 16·M_TILES rows of x by 32 rows of W: each operand that it
// unpacks serves M_TILES products. Costs of a tile of 64 a wave: one barrier, 4·M_TILES fragments of x read,
// 8·M_TILES products (of 16x16x16).
#pragma once

#include "kernels/gemm_call.hpp"
#include "kernels/gemm_weights.hpp"
#include "kernels/hip/async_copy.hpp"
#include "kernels/hip/operand_tile.hpp"
#include "kernels/hip/scratch.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kWaveFragments = 2;                        // of 16 rows of W, a wave
inline constexpr int kWaveN = kWaveFragments * kTile;           // rows of W, a wave
inline constexpr int kLaneRows = kWaveFragments * kMaxColumns;  // rows of W, a lane, at most

// What the kernel is told of one product.
struct GemmArguments {
  const uint8_t* w;
  int64_t N, row_bytes;  // of W, packed
  const half_bits* x;    // [rows in whole tiles, tiles · 64] in the order of LaneWeights<T>::k_of
  int64_t rows;
  int tiles;  // of 64 along K; whole steps
  float* y;
};

// out[row, :] = x[row, :] rounded, in the order of LaneWeights<type>::k_of (gemm_x.hip); zeros for rows up to
// `made_rows` and k up to 64·tiles.
void operands_of_x(hipStream_t, WeightType type, Operand, const float* x, int64_t rows, int64_t made_rows,
                   int K, int tiles, half_bits* out);

template <WeightType T, bool ALIGNED, int M_TILES, int WAVES_M, int WAVES_N, int X_STAGES, int W_STAGES>
struct GemmPlan {
  using Lane = LaneWeights<T>;
  static constexpr WeightType kType = T;
  static constexpr bool kAligned = ALIGNED;  // every row's step begins at a multiple of 16 bytes
  static constexpr int kMTiles = M_TILES, kWavesN = WAVES_N, kWaves = WAVES_M * WAVES_N;
  static constexpr int kWaveM = M_TILES * kTile, kM = kWaveM * WAVES_M, kN = kWaveN * WAVES_N;
  static constexpr int kXStages = X_STAGES, kWStages = W_STAGES;
  static constexpr int kParts = Lane::kStep / kTileK;  // tiles of x in a step of W

  // A row of a step in shared memory keeps the place in 16 bytes that it has in device memory. An odd number
  // of chunks spreads the rows over the banks.
  static constexpr int kStepBytes = Lane::kStep / packing(T).values * packing(T).bytes;
  static constexpr int kChunks = (kStepBytes + (ALIGNED ? 0 : 16 - Lane::kAlign) + 15) / 16;
  static constexpr int kStride = 16 * (kChunks | 1);

  // Rows are whole steps: no chunk lies beyond one.
  static constexpr bool kWhole = ALIGNED && packing(T).values == Lane::kStep;

  static constexpr int kXBytes = kM * kTileRowBytes, kWBytes = kN * kStride;
  static constexpr int kSharedBytes = X_STAGES * kXBytes + W_STAGES * kWBytes;
  // Step t of W is in the group of tile (t − W_STAGES + 1)·kParts + X_STAGES − 1 of x, and needed with tile
  // t·kParts.
  static_assert(X_STAGES - 1 <= (W_STAGES - 1) * kParts, "a step of W would be waited for too late");

#if defined(GRETA_HIP_HOST)
  static constexpr int kThreads = 0;  // wave_size() is a setting there
#else
  static constexpr int kThreads = kWaves * wave_size();
#endif
};

// A thread's part in copying the block's tiles of x: it copies chunk threadIdx % 8 of some rows.
template <class PLAN>
struct XTiles {
  const half_bits* from;
  int stride;  // of a row
  int to;

  __device__ __forceinline__ XTiles(const GemmArguments& g, int64_t m0) {
    const int row = static_cast<int>(threadIdx.x) / kTileChunks,
              chunk = static_cast<int>(threadIdx.x) % kTileChunks;
    stride = g.tiles * kTileK;
    from = g.x + (m0 + row) * stride + chunk * 8;
    to = tile_offset(row, chunk);
  }
  __device__ __forceinline__ void copy(AsyncCopies& copies, int tile, uint8_t* ring) const {
    const int rows = PLAN::kWaves * wave_size() / kTileChunks;  // at a time; a multiple of 8
    const half_bits* const at = from + tile * kTileK;
#pragma unroll
    for (int first = 0; first < PLAN::kM; first += rows) {
      copies.copy16(ring + tile % PLAN::kXStages * PLAN::kXBytes + to + first * kTileRowBytes,
                    at + static_cast<int64_t>(first * stride), 16);
    }
  }
};

// Likewise of steps of W: chunks are dealt out to threads in order. Rows beyond the last repeat it (they are
// made and not stored); bytes beyond a row are zeros.
template <class PLAN>
struct WSteps {
  const uint8_t* rows;
  int row_bytes, last;
  uint32_t first_byte;  // of `rows`: its place in 16 bytes

  __device__ __forceinline__ WSteps(const GemmArguments& g, int64_t n0)
      : rows(g.w + n0 * g.row_bytes),
        row_bytes(static_cast<int>(g.row_bytes)),
        last(static_cast<int>(g.N - n0 < PLAN::kN ? g.N - n0 : PLAN::kN) - 1),
        first_byte(static_cast<uint32_t>(n0 * g.row_bytes)) {}
  __device__ __forceinline__ int row(int r) const { return r < last ? r : last; }
  // Bytes by which the step of this row begins behind its first chunk.
  __device__ __forceinline__ int shift(int r, int step) const {
    if constexpr (PLAN::kAligned) return 0;
    return static_cast<int>((first_byte + static_cast<uint32_t>(row(r) * row_bytes) +
                             static_cast<uint32_t>(step * PLAN::kStepBytes)) &
                            15);
  }
  __device__ __forceinline__ void copy(AsyncCopies& copies, int step, uint8_t* ring) const {
    uint8_t* const to = ring + step % PLAN::kWStages * PLAN::kWBytes;
#pragma unroll
    for (int first = 0; first < PLAN::kN * PLAN::kChunks; first += PLAN::kWaves * wave_size()) {
      const int id = first + static_cast<int>(threadIdx.x), r = id / PLAN::kChunks,
                chunk = id % PLAN::kChunks;
      if (id >= PLAN::kN * PLAN::kChunks) break;
      const int begin = row(r) * row_bytes;
      const int from = begin + step * PLAN::kStepBytes - shift(r, step) + 16 * chunk;
      int bytes = 16;
      if constexpr (!PLAN::kWhole) {
        const int left = begin + row_bytes - from;
        bytes = left >= 16 ? 16 : left > 0 ? left : 0;
      }
      copies.copy16(to + r * PLAN::kStride + 16 * chunk, rows + (bytes > 0 ? from : 0), bytes);
    }
  }
};

template <class PLAN, Operand O>
__global__ void __launch_bounds__(PLAN::kThreads) gemm_wide_kernel(GemmArguments g) {
  using Lane = typename PLAN::Lane;
  GRETA_DYNAMIC_SHARED(uint8_t, x_ring);
  uint8_t* const w_ring = x_ring + PLAN::kXStages * PLAN::kXBytes;
  const int64_t blocks_m = ceil_div(g.rows, PLAN::kM);
  const int64_t m0 = blockIdx.x % blocks_m * PLAN::kM, n0 = blockIdx.x / blocks_m * PLAN::kN;
  const int wave_m = wave_id() / PLAN::kWavesN * PLAN::kWaveM;
  const int wave_n = wave_id() % PLAN::kWavesN * kWaveN;
  const int steps = g.tiles / PLAN::kParts;

  // This lane's rows of W, `columns` a fragment, and its group.
  const int columns = lane_columns(), group = group_of_k(a_cell(lane_id(), 0).column);
  int rows[kLaneRows];
#pragma unroll
  for (int c = 0; c < kWaveFragments * columns; ++c)
    rows[c] = wave_n + c / columns * kTile + b_cell(lane_id(), c % columns * 4).column;

  AsyncCopies copies;
  const XTiles<PLAN> x_tiles(g, m0);
  const WSteps<PLAN> w_steps(g, n0);
  for (int step = 0; step < PLAN::kWStages - 1; ++step) {
    if (step < steps) w_steps.copy(copies, step, w_ring);
  }
  for (int tile = 0; tile < PLAN::kXStages - 1; ++tile) {
    if (tile < g.tiles) x_tiles.copy(copies, tile, x_ring);
    copies.commit();
  }

  FragmentAcc sums[PLAN::kMTiles][kWaveFragments];
#pragma unroll
  for (int m = 0; m < PLAN::kMTiles; ++m) {
    for (int f = 0; f < kWaveFragments; ++f) sums[m][f].fill(0);
  }
  Lane lanes[kLaneRows];
  for (int tile = 0; tile < g.tiles; ++tile) {
    const int step = tile / PLAN::kParts, part = tile % PLAN::kParts;
    copies.wait<PLAN::kXStages - 2>();
    __syncthreads();  // this tile is there, and the last one has been read by all
    if (part == 0 && step + PLAN::kWStages - 1 < steps)
      w_steps.copy(copies, step + PLAN::kWStages - 1, w_ring);
    if (tile + PLAN::kXStages - 1 < g.tiles) x_tiles.copy(copies, tile + PLAN::kXStages - 1, x_ring);
    copies.commit();

    const uint8_t* const x = x_ring + tile % PLAN::kXStages * PLAN::kXBytes;
    const uint8_t* const w = w_ring + step % PLAN::kWStages * PLAN::kWBytes;
#pragma unroll
    for (int c = 0; c < kWaveFragments * columns; ++c) {
      const uint8_t* const row = w + rows[c] * PLAN::kStride + w_steps.shift(rows[c], step);
      if (part == 0) lanes[c].begin(row, group);
      lanes[c].template load<PLAN::kAligned ? 16 : Lane::kAlign>(row, group, part);
    }
#pragma unroll
    for (int i = 0; i < kTileProducts; ++i) {
      FragmentB b[kWaveFragments];
#pragma unroll
      for (int c = 0; c < kWaveFragments * columns; ++c) {
        const uint2 pairs = lanes[c].template operands<O>(i);
        half_bits* const at = b[c / columns].x + c % columns * 4;
        at[0] = static_cast<half_bits>(pairs.x), at[1] = static_cast<half_bits>(pairs.x >> 16);
        at[2] = static_cast<half_bits>(pairs.y), at[3] = static_cast<half_bits>(pairs.y >> 16);
      }
#pragma unroll
      for (int m = 0; m < PLAN::kMTiles; ++m) {
        const FragmentA a = load_a(x, wave_m + m * kTile, i);
#pragma unroll
        for (int f = 0; f < kWaveFragments; ++f) mma<O>(sums[m][f], a, b[f]);
      }
    }
  }

  const bool pairs = wave_size() == 32 && g.N % 2 == 0;  // elements r, r + 1 are neighbours in n there
#pragma unroll
  for (int m = 0; m < PLAN::kMTiles; ++m) {
#pragma unroll
    for (int f = 0; f < kWaveFragments; ++f) {
#pragma unroll
      for (int r = 0; r < fragment_elements(); ++r) {
        const FragmentCell cell = acc_cell(lane_id(), r);
        const int64_t s = m0 + wave_m + m * kTile + cell.row;
        const int64_t n = n0 + wave_n + f * kTile + cell.column;
        if (s >= g.rows || n >= g.N) continue;
        float* const at = g.y + s * g.N + n;
        if (!pairs) {
          *at = sums[m][f].x[r];
        } else if (r % 2 == 0) {
          *reinterpret_cast<float2*>(at) = make_float2(sums[m][f].x[r], sums[m][f].x[r + 1]);
        }
      }
    }
  }
}

// The plans that a machine has for a type. NVIDIA: 128 x 128, and for the types of large models 128 x 256;
// others have 64 KiB of shared memory a block.
#if defined(GRETA_HIP_NVIDIA)
template <WeightType T, bool ALIGNED>
using LargePlan = GemmPlan<T, ALIGNED, 8, 1, 8, 4, LaneWeights<T>::kStep == kTileK ? 4 : 2>;
template <WeightType T, bool ALIGNED>
using SmallPlan = GemmPlan<T, ALIGNED, 4, 2, 4, 4, LaneWeights<T>::kStep == kTileK ? 4 : 2>;
template <WeightType T, bool ALIGNED>
constexpr bool has_large_plan() {
  return T == WeightType::q4_K || T == WeightType::q6_K || T == WeightType::q8_0 ||
         (T == WeightType::f16 && ALIGNED);
}
#else
template <WeightType T, bool ALIGNED>
using SmallPlan = GemmPlan<T, ALIGNED, 4, 1, T == WeightType::q4_K || T == WeightType::q5_K ? 4 : 2, 2, 2>;
template <WeightType T, bool ALIGNED>
constexpr bool has_large_plan() {
  return false;
}
#endif

template <class PLAN, Operand O>
void launch_gemm(hipStream_t stream, const GemmArguments& g, const std::string& name) {
  const auto kernel = gemm_wide_kernel<PLAN, O>;
  const unsigned grid = grid_for(ceil_div(g.rows, PLAN::kM) * ceil_div(g.N, PLAN::kN), 1, "matmul");
  hip_check(hipFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                hipFuncAttributeMaxDynamicSharedMemorySize, PLAN::kSharedBytes),
            name);
  hipLaunchKernelGGL(kernel, dim3(grid), dim3(PLAN::kWaves * wave_size()), PLAN::kSharedBytes, stream, g);
  check_launched(name);
}

template <class PLAN>
std::string run_gemm(const GemmCall& call) {
  constexpr WeightType kType = PLAN::kType;
  const std::string name = std::string("matmul_mfma_gemm_") + packing(kType).name +
                           "<wide,tile=" + std::to_string(PLAN::kM) + "x" + std::to_string(PLAN::kN) + "x" +
                           std::to_string(kTileK) + ",stages=" + std::to_string(PLAN::kXStages) + "x" +
                           std::to_string(PLAN::kWStages) + ",waves=" + std::to_string(PLAN::kWaves) +
                           ",wave=" + std::to_string(wave_size()) + ">";
  const int64_t columns = call.w.columns, bytes = row_bytes(kType, columns);
  const int64_t tiles = ceil_div(columns, PLAN::Lane::kStep) * PLAN::kParts;
  require(bytes * PLAN::kN < INT32_MAX && tiles * kTileK * PLAN::kM < INT32_MAX, "matmul",
          std::to_string(columns) + " columns are too many for " + name);
  const int64_t made_rows = ceil_div(call.rows, PLAN::kM) * PLAN::kM;
  const Scratch<half_bits> x(call.stream, static_cast<size_t>(made_rows * tiles * kTileK));
  operands_of_x(call.stream, kType, call.operand, call.x, call.rows, made_rows, static_cast<int>(columns),
                static_cast<int>(tiles), x.data());
  const GemmArguments g{static_cast<const uint8_t*>(call.w.data),
                        call.w.rows,
                        bytes,
                        x.data(),
                        call.rows,
                        static_cast<int>(tiles),
                        call.y};
  if (call.operand == Operand::f16) {
    launch_gemm<PLAN, Operand::f16>(call.stream, g, name);
  } else {
    launch_gemm<PLAN, Operand::bf16>(call.stream, g, name);
  }
  return name;
}

// Blocks run in rounds of as many as there are multiprocessors; a large one takes less than two small ones.
template <class LARGE, class SMALL>
bool large_is_faster(const GemmCall& call) {
  int device = 0, processors = 1;
  hip_check(hipGetDevice(&device), "hipGetDevice");
  hip_check(hipDeviceGetAttribute(&processors, hipDeviceAttributeMultiprocessorCount, device),
            "hipDeviceGetAttribute");
  const auto rounds = [&](int m, int n) {
    return ceil_div(ceil_div(call.rows, m) * ceil_div(call.w.rows, n), processors);
  };
  return rounds(LARGE::kM, LARGE::kN) * 19 <= rounds(SMALL::kM, SMALL::kN) * 10;
}

template <WeightType T, bool ALIGNED>
std::string run_best_gemm(const GemmCall& call) {
  using Small = SmallPlan<T, ALIGNED>;
  if constexpr (has_large_plan<T, ALIGNED>()) {
    using Large = LargePlan<T, ALIGNED>;
    return large_is_faster<Large, Small>(call) ? run_gemm<Large>(call) : run_gemm<Small>(call);
  } else {
    return run_gemm<Small>(call);
  }
}

template <WeightType T>
std::string gemm_wide(const GemmCall& call) {
  if constexpr (LaneWeights<T>::kAlign == 16) {
    return run_best_gemm<T, true>(call);
  } else if constexpr (T ==
                       WeightType::f16) {  // the one type whose rows may be either, and that must be fast
    return row_bytes(T, call.w.columns) % 16 == 0 ? run_best_gemm<T, true>(call)
                                                  : run_best_gemm<T, false>(call);
  } else {
    return run_best_gemm<T, false>(call);
  }
}

}  // namespace greta::kernels::inline GRETA_MACHINE
