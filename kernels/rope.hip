// Interleaved pairs (2i, 2i+1) of each head, i < rope_dims/2, turned by positions[s] · frequency[i]; the
// other dims are copied (Su et al. 2021).
//   plain  a thread a pair, blocks of 64; one sincosf a pair
//   wide   a thread 16 bytes (two pairs) of kHeads heads, blocks of 256; two sincosf serve all of them
#include "kernels/rope_turn.hpp"
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kHeads = 4;  // of a thread of the wide kernel

__global__ void rope_kernel(const float* x, const float* frequency, const int32_t* positions, int64_t pairs,
                            int64_t heads, int64_t half_dim, int64_t half_rope, float* out) {
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (pair >= pairs) return;
  const int64_t i = pair % half_dim, s = pair / half_dim / heads;
  const float a = x[2 * pair], b = x[2 * pair + 1];
  if (i >= half_rope) {
    out[2 * pair] = a;
    out[2 * pair + 1] = b;
    return;
  }
  apply(turn_by(positions[s], frequency[i]), a, b, out + 2 * pair);
}

// Thread (column, head) of a block: the pack at 4·column of heads head, head + rows, …; grid: tokens x groups
// of kHeads · rows heads, rows = 256 / (head_dim / 4). Threads beyond the last whole row are idle.
__global__ void __launch_bounds__(kWideBlock)
    rope_wide_kernel(const float* x, const float* frequency, const int32_t* positions, int heads, int columns,
                     int half_rope, float* out) {
  const int rows = kWideBlock / columns, thread = static_cast<int>(threadIdx.x);
  const int column = thread % columns, row = thread / columns;
  if (row >= rows) return;
  const int64_t s = blockIdx.x;
  const int first = static_cast<int>(blockIdx.y) * rows * kHeads + row;
  const int64_t at = (s * heads + first) * columns + column, step = int64_t{4} * rows * columns;
  const float* from = x + 4 * at;
  float* to = out + 4 * at;
  Pack<4> kept[kHeads];
  GRETA_UNROLL
  for (int h = 0; h < kHeads; ++h) {
    if (first + h * rows < heads) kept[h] = load_pack<4>(from + h * step);
  }
  const int32_t position = positions[s];
  Turn turns[2] = {};
  GRETA_UNROLL
  for (int j = 0; j < 2; ++j) {
    if (2 * column + j < half_rope) turns[j] = turn_by(position, frequency[2 * column + j]);
  }
  GRETA_UNROLL
  for (int h = 0; h < kHeads; ++h) {
    if (first + h * rows >= heads) break;
    GRETA_UNROLL
    for (int j = 0; j < 2; ++j) {
      if (2 * column + j < half_rope)
        apply(turns[j], kept[h].v[2 * j], kept[h].v[2 * j + 1], kept[h].v + 2 * j);
    }
    store_pack<4>(to + h * step, kept[h]);
  }
}

}  // namespace

Attested rope(hipStream_t stream, const float* x, const float* frequency, const int32_t* positions, int64_t S,
              int64_t heads, int64_t head_dim, int64_t rope_dims, float* out, Tuning tuning) {
  require(x != nullptr && frequency != nullptr && positions != nullptr && out != nullptr, "rope",
          "a pointer is null");
  require(S > 0 && heads > 0 && head_dim > 0, "rope", "S, heads and head_dim are at least 1");
  require_rope(head_dim, rope_dims, "rope");
  const bool wide =
      tuning == Tuning::wide && head_dim % 4 == 0 && head_dim / 4 <= kWideBlock && aligned_for_packs(x, out);
  if (wide) {
    const int columns = static_cast<int>(head_dim / 4), rows = kWideBlock / columns;
    const dim3 grid(grid_for(S, 1, "rope"), grid_for(heads, int64_t{rows} * kHeads, "rope"));
    hipLaunchKernelGGL(rope_wide_kernel, grid, dim3(kWideBlock), 0, stream, x, frequency, positions,
                       static_cast<int>(heads), columns, static_cast<int>(rope_dims / 2), out);
  } else {
    const int64_t pairs = S * heads * head_dim / 2;
    hipLaunchKernelGGL(rope_kernel, dim3(grid_for(pairs, kBlock, "rope")), dim3(kBlock), 0, stream, x,
                       frequency, positions, pairs, heads, head_dim / 2, rope_dims / 2, out);
  }
  check_launched("rope");
  const std::string tile =
      wide ? "pack=4,heads=" + std::to_string(kHeads) + ",block=" + std::to_string(kWideBlock)
           : "block=" + std::to_string(kBlock);
  return {"rope_interleaved<" + tile + ">", kRopeContract};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
