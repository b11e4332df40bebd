// One pass over two tensors, and a bound for each element where there is one.
//
// A grid whose size follows from the count alone, blocks of 256: each thread goes through its packs in order
// and keeps a Comparison; those of a block are joined in a tree through shared memory, those of the blocks by
// a second kernel of one block. Sums are f64 in an order that depends on neither wave nor card.
//
// A pack is summed without a branch, unless it holds NaN or Inf. Ratios cost divisions, so an element is
// looked at only if its ratio could be the largest that the wave knows of: if its error, a hair enlarged,
// exceeds that ratio times its bound. The hair is there because the roundings of the two products must not
// hide a larger ratio, nor an equal one with a smaller index. What the wave knows of decides what is looked
// at, and no figure.
#include <cfloat>

#include <algorithm>

#include "kernels/evidence.hpp"
#include "kernels/wide.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kBlocksOfUnit = 3;                      // a thread has 80 registers
constexpr int64_t kMostBlocks = 132 * kBlocksOfUnit;  // as many as an H200 runs at once
constexpr double kHair = 1 + 0x1p-50;

unsigned comparison_blocks(int64_t count) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(count, 4 * kWideBlock), 1, kMostBlocks));
}

__device__ __forceinline__ bool is_finite(double x) { return fabs(x) <= DBL_MAX; }
__device__ __forceinline__ bool is_nan(float x) { return !(x == x); }

// Monotonic in the value; +0 and -0 both give 0.
__device__ __forceinline__ int32_t ordered(float x) {
  int32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits < 0 ? -(bits & 0x7fffffff) : bits;
}
__device__ __forceinline__ uint32_t ulp_distance(float a, float b) {
  const int32_t x = ordered(a), y = ordered(b);
  return x > y ? static_cast<uint32_t>(x) - static_cast<uint32_t>(y)
               : static_cast<uint32_t>(y) - static_cast<uint32_t>(x);
}

// The largest ratios that the lanes of a wave have seen.
struct Known {
  double ratio = 0, rel = 0;

  __device__ static double over_wave(double value) {
    for (int mask = wave_size() / 2; mask > 0; mask /= 2) value = fmax(value, wave_shuffle_xor(value, mask));
    return value;
  }
};

// A thread's; it sees fewer than 2³¹ elements.
struct Running {
  int64_t worst = -1;
  double ratio = 0, max_abs = 0, max_rel = 0;
  double error = 0, magnitude = 0, square = 0, a_square = 0, b_square = 0, product = 0;
  int32_t non_finite = 0, out_of_bound = 0, nan_count = 0, inf_count = 0, mismatch = 0;
  uint32_t max_ulp = 0;

  __device__ void take_ratio(double now, int64_t index) {
    if (!(now > ratio) && worst >= 0) return;
    ratio = now;
    worst = index;
  }

  // Two finite values' ratios.
  __device__ __forceinline__ void look(float a, float b, double bound, int64_t index, const Known& known) {
    const double size = fabs(double{a} - double{b}), y = fabs(double{b}), enlarged = size * kHair;
    if (!(enlarged <= y * known.rel) && y != 0) max_rel = fmax(max_rel, size / y);
    if (enlarged <= bound * known.ratio && bound >= 0 && worst >= 0) return;
    take_ratio(size == 0 && bound >= 0 ? 0 : bound > 0 ? size / bound : INFINITY, index);
  }

  __device__ void take_non_finite(float a, float b, int64_t index) {
    ++non_finite;
    nan_count += is_nan(a);
    inf_count += !is_nan(a) && !is_finite(a);
    if (a == b || (is_nan(a) && is_nan(b))) return;
    ++mismatch;
    ++out_of_bound;
    max_abs = INFINITY;
    take_ratio(INFINITY, index);
  }

  // One element, whatever it is.
  __device__ void take(float a, float b, double bound, int64_t index) {
    const double x = a, y = b, difference = x - y, size = fabs(difference);
    if (!is_finite(size)) return take_non_finite(a, b, index);
    error += difference;
    magnitude += size;
    square = fma(difference, difference, square);
    a_square = fma(x, x, a_square);
    b_square = fma(y, y, b_square);
    product = fma(x, y, product);
    max_abs = fmax(max_abs, size);
    const uint32_t ulp = ulp_distance(a, b);
    if (ulp > max_ulp) max_ulp = ulp;
    out_of_bound += !(size <= bound);
    look(a, b, bound, index, {});
  }

  enum class Pack { settled, ratios, non_finite };
  // All of a pack but its ratios. `ratios`: one could be the largest; `non_finite`: nothing was taken.
  template <bool kBound, int kWidth>
  __device__ __forceinline__ Pack take_pack(const kernels::Pack<kWidth>& a, const kernels::Pack<kWidth>& b,
                                            const kernels::Pack<kWidth>& bounds, const Known& known) {
    double errors = 0, sizes = 0, squares = 0, a_squares = 0, b_squares = 0, products = 0, largest = 0;
    uint32_t ulps = 0;
    int out = 0;
    bool settled = worst >= 0;
    GRETA_UNROLL
    for (int j = 0; j < kWidth; ++j) {
      const double x = a.v[j], y = b.v[j], difference = x - y, size = fabs(difference),
                   enlarged = size * kHair;
      errors += difference;
      sizes += size;
      squares = fma(difference, difference, squares);
      a_squares = fma(x, x, a_squares);
      b_squares = fma(y, y, b_squares);
      products = fma(x, y, products);
      largest = size > largest ? size : largest;
      const uint32_t ulp = ulp_distance(a.v[j], b.v[j]);
      ulps = ulp > ulps ? ulp : ulps;
      settled &= enlarged <= fabs(y) * known.rel;
      if constexpr (kBound) {
        const double bound = bounds.v[j];
        out += !(size <= bound);
        settled &= enlarged <= bound * known.ratio && bound >= 0;
      } else {
        out += size != 0;
      }
    }
    if (!is_finite(sizes)) return Pack::non_finite;
    error += errors;
    magnitude += sizes;
    square += squares;
    a_square += a_squares;
    b_square += b_squares;
    product += products;
    max_abs = fmax(max_abs, largest);
    if (ulps > max_ulp) max_ulp = ulps;
    out_of_bound += out;
    if (!kBound) settled &= out == 0 || ratio > 0;  // the first that differs is the worst
    return settled ? Pack::settled : Pack::ratios;
  }

  __device__ Comparison comparison() const {
    return {.finite = -int64_t{non_finite},  // the join knows of how many
            .out_of_bound = out_of_bound,
            .nan_count = nan_count,
            .inf_count = inf_count,
            .non_finite_mismatch = mismatch,
            .worst = worst,
            .max_ulp = max_ulp,
            .ratio = ratio,
            .max_abs = max_abs,
            .max_rel = max_rel,
            .error = error,
            .magnitude = magnitude,
            .square = square,
            .a_square = a_square,
            .b_square = b_square,
            .product = product};
  }
};

__device__ inline void join(Comparison& into, const Comparison& x) {
  into.finite += x.finite;
  into.out_of_bound += x.out_of_bound;
  into.nan_count += x.nan_count;
  into.inf_count += x.inf_count;
  into.non_finite_mismatch += x.non_finite_mismatch;
  if (x.max_ulp > into.max_ulp) into.max_ulp = x.max_ulp;
  into.max_abs = fmax(into.max_abs, x.max_abs);
  into.max_rel = fmax(into.max_rel, x.max_rel);
  into.error += x.error;
  into.magnitude += x.magnitude;
  into.square += x.square;
  into.a_square += x.a_square;
  into.b_square += x.b_square;
  into.product += x.product;
  const bool first = x.ratio == into.ratio && x.worst < into.worst;
  if (x.worst >= 0 && (into.worst < 0 || x.ratio > into.ratio || first)) {
    into.ratio = x.ratio;
    into.worst = x.worst;
  }
}

// Joins the threads' into thread 0's; `shared`: kWideBlock / 2 of them.
__device__ inline void join_block(Comparison& own, Comparison* shared) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int half = kWideBlock / 2; half > 0; half /= 2) {
    if (thread >= half && thread < 2 * half) shared[thread - half] = own;
    __syncthreads();
    if (thread < half) join(own, shared[thread]);
    __syncthreads();
  }
}

// The lanes of a wave go through the loop together: they tell each other what they know.
template <int kWidth, bool kBound>
__global__ void __launch_bounds__(kWideBlock, kBlocksOfUnit)
    compare_kernel(const float* a, const float* b, const float* bound, int64_t count, Comparison* parts) {
  GRETA_SHARED(Comparison, shared, kWideBlock / 2);
  const auto packs = static_cast<uint32_t>(count / kWidth);  // below 2^31: the sum with a step fits
  const uint32_t step = gridDim.x * kWideBlock, thread = blockIdx.x * kWideBlock + threadIdx.x;
  Running own;
  Known known;
  for (uint32_t first = thread - lane_id(); first < packs; first += step) {
    const int64_t at = int64_t{first + lane_id()} * kWidth;
    Running::Pack state = Running::Pack::settled;
    Pack<kWidth> x, y, z{};
    if (first + lane_id() < packs) {
      x = load_pack<kWidth>(a + at);
      y = load_pack<kWidth>(b + at);
      if constexpr (kBound) z = load_pack<kWidth>(bound + at);
      state = own.template take_pack<kBound>(x, y, z, known);
    }
    if (wave_ballot(state != Running::Pack::settled) == 0) continue;
    if (state == Running::Pack::ratios) {
      GRETA_UNROLL
      for (int j = 0; j < kWidth; ++j) own.look(x.v[j], y.v[j], z.v[j], at + j, known);
    } else if (state == Running::Pack::non_finite) {
      for (int64_t i = at; i < at + kWidth; ++i) own.take(a[i], b[i], kBound ? bound[i] : 0, i);
    }
    known = {Known::over_wave(own.ratio), Known::over_wave(own.max_rel)};
  }
  const int64_t rest = int64_t{packs} * kWidth + thread;
  if (rest < count) own.take(a[rest], b[rest], kBound ? bound[rest] : 0, rest);
  Comparison joined = own.comparison();
  join_block(joined, shared);
  if (threadIdx.x == 0) parts[blockIdx.x] = joined;
}

__global__ void __launch_bounds__(kWideBlock)
    join_kernel(const float* a, const float* b, const float* bound, int64_t count, const Comparison* parts,
                int blocks, Comparison* out) {
  GRETA_SHARED(Comparison, shared, kWideBlock / 2);
  Comparison own{.worst = -1};
  for (int i = static_cast<int>(threadIdx.x); i < blocks; i += kWideBlock) join(own, parts[i]);
  join_block(own, shared);
  if (threadIdx.x != 0) return;
  own.count = count;
  own.finite += count;
  if (own.worst >= 0) {
    own.worst_a = a[own.worst];
    own.worst_b = b[own.worst];
    own.worst_bound = bound ? bound[own.worst] : 0;
  }
  *out = own;
}

template <int kWidth>
void launch(hipStream_t stream, unsigned grid, const float* a, const float* b, const float* bound,
            int64_t count, Comparison* parts) {
  if (bound) {
    hipLaunchKernelGGL(HIP_KERNEL_NAME(compare_kernel<kWidth, true>), dim3(grid), dim3(kWideBlock), 0, stream,
                       a, b, bound, count, parts);
  } else {
    hipLaunchKernelGGL(HIP_KERNEL_NAME(compare_kernel<kWidth, false>), dim3(grid), dim3(kWideBlock), 0,
                       stream, a, b, bound, count, parts);
  }
}

}  // namespace

int64_t comparison_workspace(int64_t count) { return comparison_blocks(count); }

void compare(hipStream_t stream, const float* a, const float* b, const float* bound, int64_t count,
             Comparison* workspace, Comparison* out) {
  require(a != nullptr && b != nullptr && workspace != nullptr && out != nullptr, "compare",
          "a, b, workspace or out is null");
  require(count > 0, "compare", "nothing to compare");
  require(count <= INT32_MAX, "compare", std::to_string(count) + " values are more than 2^31 - 1");
  const unsigned grid = comparison_blocks(count);
  if (aligned_for_packs(a, b, bound)) {
    launch<4>(stream, grid, a, b, bound, count, workspace);
  } else {
    launch<1>(stream, grid, a, b, bound, count, workspace);
  }
  check_launched("compare");
  hipLaunchKernelGGL(join_kernel, dim3(1), dim3(kWideBlock), 0, stream, a, b, bound, count, workspace,
                     static_cast<int>(grid), out);
  check_launched("compare: join");
}

}  // namespace greta::kernels::inline GRETA_MACHINE
