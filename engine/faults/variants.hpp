// The kernels of the fault catalogue: wrong computations, made precisely (in f64, rounded once) so that what
// is left of the difference is the fault alone. One thread an element; nothing here is launched by an engine
// without faults.
#pragma once

#include <cstdint>

#include "kernels/hip/hip.hpp"
#include "kernels/kernels.hpp"

namespace greta::engine::inline GRETA_MACHINE::variants {

struct Norm {
  bool subtract_mean = false, eps_outside = false;
  float eps = 0;
};
void norm(hipStream_t, const Norm&, const float* x, const float* weight, int64_t rows, int64_t columns,
          float* out);
// A block of 256 a row: the shipping kernel's reduction without its barrier, and some of its waves late.
void norm_without_barrier(hipStream_t, const float* x, const float* weight, int64_t rows, int64_t columns,
                          float eps, float* out);

struct Rope {
  bool halves = false;
  int shift = 0;
  int turns = 1;  // 0, 1, 2; negative: backwards
  bool operator==(const Rope&) const = default;
};
void rope(hipStream_t, const Rope&, const float* x, const float* frequency, const int32_t* positions,
          int64_t S, int64_t heads, int64_t head_dim, int64_t rope_dims, float* out);

struct Scores {
  int scale_power = 1;  // of 1/sqrt(Dh): 0, 1, 2
  bool head_modulo = false;
  int mask_shift = 0;  // sees t <= position + shift
  bool mask = true;
  int64_t window = 0;  // 0: all positions
  bool operator==(const Scores&) const = default;
};
void scores(hipStream_t, const Scores&, const float* q, const float* keys, int64_t S, int64_t start,
            int64_t H, int64_t Hkv, int64_t Dh, float* out);

struct Softmax {
  bool base_two = false, keep_max = false, one_short = false;
  bool operator==(const Softmax&) const = default;
};
void softmax(hipStream_t, const Softmax&, const float* x, int64_t rows, int64_t columns, float* out);

struct Values {
  bool head_modulo = false;
  int64_t window = 0;
  bool operator==(const Values&) const = default;
};
void values(hipStream_t, const Values&, const float* p, const float* values, int64_t S, int64_t T, int64_t H,
            int64_t Hkv, int64_t Dh, float* out);

enum class Activation { silu, gelu, gelu_tanh };
void gate(hipStream_t, Activation, const float* gate, const float* up, int64_t count, float* out);

// out = stream_times · stream + branch_times · branch.
void add(hipStream_t, double stream_times, const float* stream, double branch_times, const float* branch,
         int64_t count, float* out);

// y = x · Wᵀ with the first half of each sum in f16, operands rounded to f16 first if `f16_operands`.
void half_sum(hipStream_t, const float* w, int64_t N, int64_t K, const float* x, int64_t rows,
              bool f16_operands, float* y);

// to[r, c] = from[r, c] where keep(c) else as it is; columns [first, first + width).
void copy_columns(hipStream_t, const float* from, int64_t rows, int64_t columns, int64_t first, int64_t width,
                  float* to);
// In place: each full 16×16 tile of y [rows, columns] transposed.
void transpose_tiles(hipStream_t, float* y, int64_t rows, int64_t columns);
// In place: head h of y [rows, heads, width] times 1 + h/8.
void scale_heads(hipStream_t, float* y, int64_t rows, int64_t heads, int64_t width);
// to[n·K + k] = from[k·N + n].
void read_by_column(hipStream_t, const float* from, int64_t N, int64_t K, float* to);
// In place: columns from `first` on of w [rows, columns] set to 0.
void zero_columns(hipStream_t, float* w, int64_t rows, int64_t columns, int64_t first);
// to[i] = (from[i] + by) mod `modulo`.
void shift(hipStream_t, const int32_t* from, int64_t count, int32_t by, int32_t modulo, int32_t* to);
// to[i] = a·from[i] + b (from may be null with a = 0).
void affine(hipStream_t, double a, const float* from, double b, int64_t count, float* to);

}  // namespace greta::engine::inline GRETA_MACHINE::variants
