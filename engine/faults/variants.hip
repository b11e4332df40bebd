#include "engine/faults/variants.hpp"

#include <atomic>
#include <cmath>
#include <random>

#include "kernels/hip/checked.hpp"

namespace greta::engine::inline GRETA_MACHINE::variants {
namespace {

constexpr int kBlock = 64;

__device__ int64_t own_index() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

dim3 grid_for(int64_t count) { return dim3(static_cast<unsigned>((count + kBlock - 1) / kBlock)); }

#define GRETA_LAUNCH(kernel, count, stream, ...)                                            \
  hipLaunchKernelGGL(kernel, grid_for(count), dim3(kBlock), 0, stream, __VA_ARGS__, count); \
  kernels::hip_check_launch(#kernel)

__global__ void norm_kernel(Norm how, const float* x, const float* weight, int64_t columns, float* out,
                            int64_t rows) {
  const int64_t r = own_index();
  if (r >= rows) return;
  const float* row = x + r * columns;
  const auto n = static_cast<double>(columns);
  double mean = 0;
  if (how.subtract_mean)
    for (int64_t i = 0; i < columns; ++i) mean += row[i] / n;
  double squares = 0;
  for (int64_t i = 0; i < columns; ++i) squares += (row[i] - mean) * (row[i] - mean);
  const double root = how.eps_outside ? sqrt(squares / n) + how.eps : sqrt(squares / n + how.eps);
  for (int64_t i = 0; i < columns; ++i)
    out[r * columns + i] = static_cast<float>((row[i] - mean) / root * weight[i]);
}

constexpr int kNormBlock = 256;
constexpr unsigned kNormSums = 8;

// On a card waves that happen to run side by side would hide what is missing: those of `late` (a bit a wave)
// add up their share 32 times. volatile: a race is undefined to the compiler, and without it runs on an H200
// ended in an illegal access; so the race is the memory's alone.
__global__ void norm_without_barrier_kernel(const float* x, const float* weight, int64_t columns, float eps,
                                            uint32_t late, float* out) {
  GRETA_SHARED(float, shared, kNormBlock);
  volatile float* const squares = shared;
  const int thread = static_cast<int>(threadIdx.x);
  const volatile float* row = x + static_cast<int64_t>(blockIdx.x) * columns;
  float own = 0;
  for (int turn = late >> kernels::wave_id() & 1 ? 32 : 1; turn > 0; --turn) {
    own = 0;
    for (int64_t i = thread; i < columns; i += kNormBlock) own = fmaf(row[i], row[i], own);
  }
  squares[thread] = own;
  // Here the barrier is missing.
  float sums[kNormSums] = {};
  for (unsigned i = 0; i < blockDim.x; i += kNormSums) {  // not unrolled: 256 volatile reads would spill
    for (unsigned j = 0; j < kNormSums; ++j) sums[j] += squares[i + j];
  }
  float sum = 0;
  for (const float part : sums) sum += part;
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(columns) + eps);
  for (int64_t i = thread; i < columns; i += kNormBlock)
    out[static_cast<int64_t>(blockIdx.x) * columns + i] = row[i] * scale * weight[i];
}

__global__ void rope_kernel(Rope how, const float* x, const float* frequency, const int32_t* positions,
                            int64_t heads, int64_t half_dim, int64_t half_rope, float* out, int64_t pairs) {
  const int64_t pair = own_index();
  if (pair >= pairs) return;
  const int64_t i = pair % half_dim, head = pair / half_dim, s = head / heads;
  const int64_t base = head * 2 * half_dim;
  const bool turned = i < half_rope;
  const int64_t first = base + (how.halves && turned ? i : 2 * i);
  const int64_t second = how.halves && turned ? first + half_rope : first + 1;
  const double a = x[first], b = x[second];
  // The angle as the kernel's contract has it: one product in f32.
  const double angle = turned ? static_cast<float>(positions[s] + how.shift) * frequency[i] : 0.0f;
  const double sine = sin(how.turns * angle), cosine = cos(how.turns * angle);
  out[first] = static_cast<float>(a * cosine - b * sine);
  out[second] = static_cast<float>(a * sine + b * cosine);
}

__global__ void scores_kernel(Scores how, const float* q, const float* keys, int64_t start, int64_t T,
                              int64_t H, int64_t Hkv, int64_t Dh, double scale, float* out, int64_t count) {
  const int64_t i = own_index();
  if (i >= count) return;
  const int64_t t = i % T, h = i / T % H, s = i / T / H;
  const int64_t head = how.head_modulo ? h % Hkv : h / (H / Hkv);
  const bool seen = (!how.mask || t <= start + s + how.mask_shift) && (how.window == 0 || t < how.window);
  double sum = 0;
  if (seen)
    for (int64_t d = 0; d < Dh; ++d)
      sum += static_cast<double>(q[(s * H + h) * Dh + d]) * keys[(t * Hkv + head) * Dh + d];
  out[i] = seen ? static_cast<float>(scale * sum) : -INFINITY;
}

__global__ void softmax_kernel(Softmax how, const float* x, int64_t columns, float* out, int64_t rows) {
  const int64_t r = own_index();
  if (r >= rows) return;
  const float* row = x + r * columns;
  double largest = -INFINITY, sum = 0;
  for (int64_t t = 0; t < columns; ++t)  // a NaN stays
    if (largest == largest && !(row[t] <= largest)) largest = row[t];
  // Without the maximum the range is f32's own: e^89 is infinite there.
  const auto term = [&](int64_t t) -> double {
    if (how.keep_max) return how.base_two ? exp2f(row[t]) : expf(row[t]);
    return how.base_two ? exp2(row[t] - largest) : exp(row[t] - largest);
  };
  for (int64_t t = 0; t < columns - (how.one_short ? 1 : 0); ++t) sum += term(t);
  const double total = how.keep_max ? static_cast<float>(sum) : sum;
  for (int64_t t = 0; t < columns; ++t) out[r * columns + t] = static_cast<float>(term(t) / total);
}

__global__ void values_kernel(Values how, const float* p, const float* values, int64_t T, int64_t H,
                              int64_t Hkv, int64_t Dh, float* out, int64_t count) {
  const int64_t i = own_index();
  if (i >= count) return;
  const int64_t d = i % Dh, h = i / Dh % H, s = i / Dh / H;
  const int64_t head = how.head_modulo ? h % Hkv : h / (H / Hkv);
  const int64_t end = how.window > 0 && how.window < T ? how.window : T;
  double sum = 0;
  for (int64_t t = 0; t < end; ++t)
    sum += static_cast<double>(p[(s * H + h) * T + t]) * values[(t * Hkv + head) * Dh + d];
  out[i] = static_cast<float>(sum);
}

__global__ void gate_kernel(Activation activation, const float* gate, const float* up, float* out,
                            int64_t count) {
  const int64_t i = own_index();
  if (i >= count) return;
  const double g = gate[i];
  double y = 0;
  if (activation == Activation::silu) y = g / (1 + exp(-g));
  if (activation == Activation::gelu) y = 0.5 * g * erfc(-g * M_SQRT1_2);
  if (activation == Activation::gelu_tanh)
    y = 0.5 * g * (1 + tanh(sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
  out[i] = static_cast<float>(y * up[i]);
}

__global__ void add_kernel(double stream_times, const float* stream, double branch_times, const float* branch,
                           float* out, int64_t count) {
  const int64_t i = own_index();
  if (i < count) out[i] = static_cast<float>(stream_times * stream[i] + branch_times * branch[i]);
}

__global__ void half_sum_kernel(const float* w, int64_t N, int64_t K, const float* x, bool f16_operands,
                                float* y, int64_t count) {
  const int64_t i = own_index();
  if (i >= count) return;
  const float* left = x + i / N * K;
  const float* right = w + i % N * K;
  const auto operand = [&](float value) {
    return f16_operands ? kernels::f16_to_f32(kernels::f32_to_f16_rn(value)) : value;
  };
  float half = 0;
  for (int64_t k = 0; k < K / 2; ++k)
    half = kernels::f16_to_f32(kernels::f32_to_f16_rn(fmaf(operand(right[k]), operand(left[k]), half)));
  double sum = half;
  for (int64_t k = K / 2; k < K; ++k) sum += static_cast<double>(operand(right[k])) * operand(left[k]);
  y[i] = static_cast<float>(sum);
}

__global__ void copy_columns_kernel(const float* from, int64_t columns, int64_t first, int64_t width,
                                    float* to, int64_t count) {
  const int64_t i = own_index();
  if (i >= count) return;
  const int64_t at = i / width * columns + first + i % width;
  to[at] = from[at];
}

__global__ void transpose_tiles_kernel(float* y, int64_t columns, int64_t tiles_across, int64_t count) {
  const int64_t i = own_index();
  if (i >= count) return;
  const int64_t tile = i / 256, r = i / 16 % 16, c = i % 16;
  if (r >= c) return;
  float* corner = y + tile / tiles_across * 16 * columns + tile % tiles_across * 16;
  const float upper = corner[r * columns + c];
  corner[r * columns + c] = corner[c * columns + r];
  corner[c * columns + r] = upper;
}

__global__ void scale_heads_kernel(float* y, int64_t heads, int64_t width, int64_t count) {
  const int64_t i = own_index();
  if (i < count) y[i] *= 1.0f + static_cast<float>(i / width % heads) / 8.0f;
}

__global__ void read_by_column_kernel(const float* from, int64_t N, int64_t K, float* to, int64_t count) {
  const int64_t i = own_index();
  if (i < count) to[i] = from[i % K * N + i / K];
}

__global__ void zero_columns_kernel(float* w, int64_t columns, int64_t first, int64_t count) {
  const int64_t i = own_index();
  if (i < count && i % columns >= first) w[i] = 0;
}

__global__ void shift_kernel(const int32_t* from, int32_t by, int32_t modulo, int32_t* to, int64_t count) {
  const int64_t i = own_index();
  if (i < count) to[i] = (from[i] + by) % modulo;
}

__global__ void affine_kernel(double a, const float* from, double b, float* to, int64_t count) {
  const int64_t i = own_index();
  if (i < count) to[i] = static_cast<float>((from ? a * from[i] : 0.0) + b);
}

}  // namespace

void norm(hipStream_t stream, const Norm& how, const float* x, const float* weight, int64_t rows,
          int64_t columns, float* out) {
  GRETA_LAUNCH(norm_kernel, rows, stream, how, x, weight, columns, out);
}
void norm_without_barrier(hipStream_t stream, const float* x, const float* weight, int64_t rows,
                          int64_t columns, float eps, float* out) {
  // Other waves each time, neither none nor all: the same call again meets another race.
  static std::atomic<uint32_t> launches;
  std::minstd_rand random(launches++ + 1);
  random.discard(2);
  const uint32_t all = (1u << kNormBlock / kernels::wave_size()) - 1;
  const uint32_t late = 1 + static_cast<uint32_t>(random()) % (all - 1);
  hipLaunchKernelGGL(norm_without_barrier_kernel, dim3(static_cast<unsigned>(rows)), dim3(kNormBlock), 0,
                     stream, x, weight, columns, eps, late, out);
  kernels::hip_check_launch("norm_without_barrier");
}
void rope(hipStream_t stream, const Rope& how, const float* x, const float* frequency,
          const int32_t* positions, int64_t S, int64_t heads, int64_t head_dim, int64_t rope_dims,
          float* out) {
  const int64_t pairs = S * heads * head_dim / 2;
  GRETA_LAUNCH(rope_kernel, pairs, stream, how, x, frequency, positions, heads, head_dim / 2, rope_dims / 2,
               out);
}
void scores(hipStream_t stream, const Scores& how, const float* q, const float* keys, int64_t S,
            int64_t start, int64_t H, int64_t Hkv, int64_t Dh, float* out) {
  const int64_t T = start + S, count = S * H * T;
  const double scale = std::pow(
      static_cast<double>(static_cast<float>(1 / std::sqrt(static_cast<double>(Dh)))), how.scale_power);
  GRETA_LAUNCH(scores_kernel, count, stream, how, q, keys, start, T, H, Hkv, Dh, scale, out);
}
void softmax(hipStream_t stream, const Softmax& how, const float* x, int64_t rows, int64_t columns,
             float* out) {
  GRETA_LAUNCH(softmax_kernel, rows, stream, how, x, columns, out);
}
void values(hipStream_t stream, const Values& how, const float* p, const float* cache, int64_t S, int64_t T,
            int64_t H, int64_t Hkv, int64_t Dh, float* out) {
  const int64_t count = S * H * Dh;
  GRETA_LAUNCH(values_kernel, count, stream, how, p, cache, T, H, Hkv, Dh, out);
}
void gate(hipStream_t stream, Activation activation, const float* gate, const float* up, int64_t count,
          float* out) {
  GRETA_LAUNCH(gate_kernel, count, stream, activation, gate, up, out);
}
void add(hipStream_t stream, double stream_times, const float* x, double branch_times, const float* branch,
         int64_t count, float* out) {
  GRETA_LAUNCH(add_kernel, count, stream, stream_times, x, branch_times, branch, out);
}
void half_sum(hipStream_t stream, const float* w, int64_t N, int64_t K, const float* x, int64_t rows,
              bool f16_operands, float* y) {
  const int64_t count = rows * N;
  GRETA_LAUNCH(half_sum_kernel, count, stream, w, N, K, x, f16_operands, y);
}
void copy_columns(hipStream_t stream, const float* from, int64_t rows, int64_t columns, int64_t first,
                  int64_t width, float* to) {
  const int64_t count = rows * width;
  GRETA_LAUNCH(copy_columns_kernel, count, stream, from, columns, first, width, to);
}
void transpose_tiles(hipStream_t stream, float* y, int64_t rows, int64_t columns) {
  const int64_t across = columns / 16, count = rows / 16 * across * 256;
  if (count == 0) return;
  GRETA_LAUNCH(transpose_tiles_kernel, count, stream, y, columns, across);
}
void scale_heads(hipStream_t stream, float* y, int64_t rows, int64_t heads, int64_t width) {
  const int64_t count = rows * heads * width;
  GRETA_LAUNCH(scale_heads_kernel, count, stream, y, heads, width);
}
void read_by_column(hipStream_t stream, const float* from, int64_t N, int64_t K, float* to) {
  const int64_t count = N * K;
  GRETA_LAUNCH(read_by_column_kernel, count, stream, from, N, K, to);
}
void zero_columns(hipStream_t stream, float* w, int64_t rows, int64_t columns, int64_t first) {
  const int64_t count = rows * columns;
  GRETA_LAUNCH(zero_columns_kernel, count, stream, w, columns, first);
}
void shift(hipStream_t stream, const int32_t* from, int64_t count, int32_t by, int32_t modulo, int32_t* to) {
  GRETA_LAUNCH(shift_kernel, count, stream, from, by, modulo, to);
}
void affine(hipStream_t stream, double a, const float* from, double b, int64_t count, float* to) {
  GRETA_LAUNCH(affine_kernel, count, stream, a, from, b, to);
}

}  // namespace greta::engine::inline GRETA_MACHINE::variants
