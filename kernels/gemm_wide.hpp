// y[s, n] = Σ_k x[s, k] · W[n, k] through the matrix unit, for a card: the kernel that gemm_wide_*.hip
// instantiate. Private to kernels/.
//
// The rows of W are the product's rows and come packed: the lane that feeds them to the matrix unit unpacks
// them (gemm_weights.hpp), so W crosses shared memory once and packed. The rows of x are its columns and come
// as operands (gemm_x.hip). Both are copied ahead through rings. Costs a tile of 64 along K: one barrier; a
// wave of X_TILES x W_TILES unpacks 64·W_TILES fragments' worth of 4 values a lane and makes
// 4·X_TILES·W_TILES products of 16x16x16. Of a group, the unit makes a tile's products while the waves unpack
// the next tile's weights.
#pragma once

#include "kernels/gemm_call.hpp"
#include "kernels/gemm_copies.hpp"
#include "kernels/hip/scratch.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

// out[row, :] = x[row, :] rounded, in the order of LaneWeights<type>::k_of (gemm_x.hip); zeros for rows up to
// `made_rows` and k up to 64·tiles.
void operands_of_x(hipStream_t, WeightType type, Operand, const float* x, int64_t rows, int64_t made_rows,
                   int K, int tiles, half_bits* out);

inline constexpr int kTileProducts = kPanel / kTile;

// One wave's rows of W: W_TILES fragments, each of lane_columns() rows a lane.
template <class PLAN, Operand O>
struct WaveWeights {
  using Lane = typename PLAN::Lane;
  static constexpr int kMost = PLAN::kWTiles * kMaxColumns;
  int group;
  int rows[kMost];
  Lane lanes[kMost];

  __device__ __forceinline__ WaveWeights() : group(group_of_k(a_cell(lane_id(), 0).column)) {
    GRETA_UNROLL
    for (int c = 0; c < PLAN::kWTiles * lane_columns(); ++c)
      rows[c] = wave_id() * PLAN::kWaveN + c / lane_columns() * kTile +
                a_cell(lane_id(), c % lane_columns() * 2).row;
  }
  // Makes tile t's weights ready for fragment().
  __device__ __forceinline__ void load(const WSteps<PLAN>& w, int t) {
    const int step = t / PLAN::kParts, part = t % PLAN::kParts;
    GRETA_UNROLL
    for (int c = 0; c < PLAN::kWTiles * lane_columns(); ++c) {
      const uint8_t* const row = w.step(step) + rows[c] * PLAN::kStride + w.shift(rows[c], step);
      if (part == 0) lanes[c].begin(row, group);
      lanes[c].template load<PLAN::kAligned ? 16 : Lane::kAlign>(row, group, part);
    }
  }
  // A of product i of the tile, fragment f: of a wave of 32 its two rows' first pairs of k, then their
  // second.
  __device__ __forceinline__ PairsA fragment(int f, int i) const {
    PairsA a;
    GRETA_UNROLL
    for (int c = 0; c < lane_columns(); ++c) {
      const uint2 pairs = lanes[f * lane_columns() + c].template operands<O>(i);
      a.x[c] = pairs.x, a.x[c + lane_columns()] = pairs.y;
    }
    return a;
  }
};

template <class PLAN>
using WaveSums = FragmentAcc[PLAN::kWTiles][PLAN::kXTiles];

// The wave by itself.
template <class PLAN, Operand O>
__device__ __forceinline__ void multiply_alone(const GemmArguments& g, const XTiles<PLAN>& x,
                                               const WSteps<PLAN>& w, WaveSums<PLAN>& sums) {
  AsyncCopies copies;
  const int steps = g.tiles / PLAN::kParts;
  for (int step = 0; step < PLAN::kWStages - 1; ++step) {
    if (step < steps) w.copy(copies, step);
  }
  for (int t = 0; t < PLAN::kAhead; ++t) {
    if (t < g.tiles) x.copy(copies, t);
    copies.commit();
  }
  WaveWeights<PLAN, O> weights;
  for (int t = 0; t < g.tiles; ++t) {
    copies.wait<PLAN::kAhead - 1>();
    __syncthreads();  // this tile is there, and the last one has been read by all
    const int next_step = t / PLAN::kParts + PLAN::kWStages - 1;
    if (t % PLAN::kParts == 0 && next_step < steps) w.copy(copies, next_step);
    if (t + PLAN::kAhead < g.tiles) x.copy(copies, t + PLAN::kAhead);
    copies.commit();

    const half_bits* const tile = reinterpret_cast<const half_bits*>(x.tile(t));
    weights.load(w, t);
    GRETA_UNROLL
    for (int i = 0; i < kTileProducts; ++i) {
      FragmentA a[PLAN::kWTiles];
      GRETA_UNROLL
      for (int f = 0; f < PLAN::kWTiles; ++f) a[f] = fragment_of(weights.fragment(f, i));
      GRETA_UNROLL
      for (int m = 0; m < PLAN::kXTiles; ++m) {
        const FragmentB b = fragment_by_rows(tile, PLAN::kM, m * kTile, i * kTile);
        GRETA_UNROLL
        for (int f = 0; f < PLAN::kWTiles; ++f) mma<O>(sums[f][m], a[f], b);
      }
    }
  }
}

// Four waves as one: turn t asks for tile t's products, waits for tile t − 1's, and unpacks tile t + 1.
template <class PLAN, Operand O>
struct GroupTurn {
  int tiles;
  XTiles<PLAN> x;  // by value: what a reference is kept to would lie in memory
  WSteps<PLAN> w;
  AsyncCopies copies = {};
  WaveWeights<PLAN, O> weights = {};

  __device__ __forceinline__ void unpack(int t, PairsA (&a)[kTileProducts]) {
    weights.load(w, t);
    GRETA_UNROLL
    for (int i = 0; i < kTileProducts; ++i) a[i] = weights.fragment(0, i);
  }
  __device__ __forceinline__ void start(PairsA (&a)[kTileProducts]) {
    const int steps = tiles / PLAN::kParts;
    for (int step = 0; step < PLAN::kWStages; ++step) {
      if (step < steps) w.copy(copies, step);
    }
    for (int t = 0; t < PLAN::kAhead; ++t) {
      if (t < tiles) x.copy(copies, t);
      copies.commit();
    }
    copies.wait<PLAN::kAhead - 1>();
    __syncthreads();
    unpack(0, a);
  }
  __device__ __forceinline__ void operator()(int t, PairsA (&now)[kTileProducts],
                                             PairsA (&next)[kTileProducts],
                                             FragmentAcc (&sums)[PLAN::kXTiles]) {
    copies.wait<PLAN::kAhead - 2>();
    shared_written();
    // Tile t of x and the weights of t + 1 are there; of all waves, t − 2's products are made and t's weights
    // unpacked, so that their places are free.
    __syncthreads();
    const half_bits* const tile = reinterpret_cast<const half_bits*>(x.tile(t));
    group_hold(sums), group_hold(now);
    group_begin();
    GRETA_UNROLL
    for (int i = 0; i < kTileProducts; ++i) {
      GRETA_UNROLL
      for (int m = 0; m < PLAN::kXTiles; m += PLAN::kGroupX)
        group_product_wide<O, PLAN::kGroupX>(sums + m, now[i], tile, PLAN::kM, m * kTile, i * kTile);
    }
    group_commit();
    if ((t + 1) % PLAN::kParts == 0) {
      const int step = (t + 1) / PLAN::kParts + PLAN::kWStages - 1;
      if (step * PLAN::kParts < tiles) w.copy(copies, step);
    }
    if (t + PLAN::kAhead < tiles) x.copy(copies, t + PLAN::kAhead);
    copies.commit();
    group_wait<1>();
    if (t + 1 < tiles) unpack(t + 1, next);
  }
};

template <class PLAN, Operand O>
__device__ __forceinline__ void multiply_grouped(const GemmArguments& g, const XTiles<PLAN>& x,
                                                 const WSteps<PLAN>& w, WaveSums<PLAN>& sums) {
  GroupTurn<PLAN, O> turn{g.tiles, x, w};
  PairsA even[kTileProducts], odd[kTileProducts];
  turn.start(even);
  for (int t = 0; t < g.tiles; t += 2) {
    turn(t, even, odd, sums[0]);
    turn(t + 1, odd, even, sums[0]);
  }
  group_wait<0>();
  group_hold(sums[0]);
}

// The cell of a lane's register is that of its first register and that of lane 0's together
// (fragment_layout.hpp: bits), so that all offsets are constants but for N.
template <class PLAN>
__device__ __forceinline__ void store_sums(const GemmArguments& g, int64_t m0, int64_t n0,
                                           const WaveSums<PLAN>& sums) {
  const FragmentCell first = acc_cell(lane_id(), 0);
  const int64_t s = m0 + first.column, n = n0 + first.row;
  const int s_left = static_cast<int>(g.rows - s < PLAN::kM ? g.rows - s : PLAN::kM);
  const int n_left = static_cast<int>(g.N - n < PLAN::kN ? g.N - n : PLAN::kN);
  float* const y = g.y + s * g.N + n;
  GRETA_UNROLL
  for (int f = 0; f < PLAN::kWTiles; ++f) {
    GRETA_UNROLL
    for (int m = 0; m < PLAN::kXTiles; ++m) {
      GRETA_UNROLL
      for (int r = 0; r < fragment_elements(); ++r) {
        const FragmentCell cell = acc_cell(0, r);
        const int ds = m * kTile + cell.column, dn = f * kTile + cell.row;
        if (ds < s_left && dn < n_left) y[ds * g.N + dn] = sums[f][m].x[r];
      }
    }
  }
}

template <class PLAN, Operand O>
__global__ void __launch_bounds__(PLAN::kThreads, PLAN::kBlocks) gemm_wide_kernel(GemmArguments g) {
  GRETA_DYNAMIC_SHARED(uint8_t, shared);
  const int64_t blocks_m = ceil_div(g.rows, PLAN::kM);
  const int64_t m0 = blockIdx.x % blocks_m * PLAN::kM, n0 = blockIdx.x / blocks_m * PLAN::kN;
  const XTiles<PLAN> x(g, m0, shared);
  const WSteps<PLAN> w(g, n0, shared + PLAN::kXStages * PLAN::kXBytes);
  WaveSums<PLAN> sums;
  GRETA_UNROLL
  for (int f = 0; f < PLAN::kWTiles; ++f) {
    GRETA_UNROLL
    for (int m = 0; m < PLAN::kXTiles; ++m) sums[f][m].fill(0);
  }
  if constexpr (PLAN::kGrouped) {
    multiply_grouped<PLAN, O>(g, x, w, sums);
  } else {
    multiply_alone<PLAN, O>(g, x, w, sums);
  }
  store_sums<PLAN>(g, m0, n0 + wave_id() * PLAN::kWaveN, sums);
}

// The plans that a machine has for a type. NVIDIA with wave groups: 256 x 128 a block, and 128 x 128 where
// that fills the card better; others have 64 KiB of shared memory a block.
#if defined(GRETA_HIP_NVIDIA)
template <WeightType T, bool ALIGNED>
using LargePlan = GemmPlan<T, ALIGNED, true, 16, 1, 8, T == WeightType::q8_0 ? 4 : 5,
                           LaneWeights<T>::kStep == kPanel ? 3 : 2>;
template <WeightType T, bool ALIGNED>
using SmallPlan =
    std::conditional_t<kWaveGroups,
                       GemmPlan<T, ALIGNED, true, 8, 1, 8, 5, LaneWeights<T>::kStep == kPanel ? 3 : 2>,
                       GemmPlan<T, ALIGNED, false, 8, 2, 4, 4, LaneWeights<T>::kStep == kPanel ? 4 : 2>>;
template <WeightType T, bool ALIGNED>
constexpr bool has_large_plan() {
  return kWaveGroups && (T == WeightType::q4_K || T == WeightType::q6_K || T == WeightType::q8_0 ||
                         (T == WeightType::f16 && ALIGNED));
}
#else
template <WeightType T, bool ALIGNED>
using SmallPlan =
    GemmPlan<T, ALIGNED, false, 4, 2, T == WeightType::q4_K || T == WeightType::q5_K ? 4 : 2, 2, 2>;
template <WeightType T, bool ALIGNED>
using LargePlan = SmallPlan<T, ALIGNED>;
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
                           (PLAN::kGrouped && kWaveGroups ? "<wide,grouped,tile=" : "<wide,tile=") +
                           std::to_string(PLAN::kM) + "x" + std::to_string(PLAN::kN) + "x" +
                           std::to_string(kPanel) + ",stages=" + std::to_string(PLAN::kXStages) + "x" +
                           std::to_string(PLAN::kWStages) + ",waves=" + std::to_string(PLAN::kWaves) +
                           ",wave=" + std::to_string(wave_size()) + ">";
  const int64_t columns = call.w.columns, bytes = row_bytes(kType, columns);
  const int64_t tiles = ceil_div(ceil_div(columns, PLAN::Lane::kStep) * PLAN::kParts, 2) * 2;
  require(bytes * PLAN::kN < INT32_MAX && tiles * kPanel * PLAN::kM < INT32_MAX, "matmul",
          std::to_string(columns) + " columns are too many for " + name);
  const int64_t made_rows = ceil_div(call.rows, PLAN::kM) * PLAN::kM;
  const Scratch<half_bits> x(call.stream, static_cast<size_t>(made_rows * tiles * kPanel));
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
