// The block of every GEMV kernel through the matrix unit: products of this block's rows of one to three
// matrices with x, as it is or normed on the way, and an epilogue that has them all at hand. Private to the
// gemv_parts_ and fused_ files.
//
// A wave's work is a tile: 16 rows of a matrix and a block of 256 columns. A stage is a tile for every wave:
// the columns are cut into chunks of at most as many blocks as there are waves (less two, that fill, where
// there are several chunks), and where K has fewer, several units of 16 rows lie side by side. Chunk by chunk
// a wave makes its block of x into integers, keeps them in registers, and goes through the rows. A block with
// many rows takes them in rounds, so that the waves' sums have room.
//
// Where the machine can copy in bulk (hip/bulk_stages.hpp) the waves fill the stages in turn, the first
// before the kernel ahead in the stream has ended (dependent_launch.hpp), the others when x is there: what is
// asked for later waits behind them. Elsewhere each wave copies its own tiles. The waves meet for the norm
// and at the end of a round.
#pragma once

#include <type_traits>

#include "kernels/gemv_block.hpp"
#include "kernels/gemv_parts_lane.hpp"
#include "kernels/hip/bulk_stages.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

inline constexpr int kPartsRows = 16;  // of a tile
inline constexpr int kPartsSlots = kPartsBlock / 4;
#if defined(GRETA_HIP_NVIDIA)
inline constexpr int kPartsWave = 32;  // at most
#else
inline constexpr int kPartsWave = kMaxWave;
#endif

struct PartsArgs {
  GemvArgs common;                 // its `splits` and `slab` are not used
  int chunks = 1;                  // of columns
  int each = 1, more = 0;          // blocks of a chunk: `each`, and one more of the first `more`
  int across_inverse = 65536;      // 2^16 / blocks of the widest chunk, rounded up
  int groups = 1, log_rows = 4;    // tiles one below the other in a stage, a power of two; log2 of their rows
  int rounds = 1, round_rows = 0;  // rows of each matrix in a round, a multiple of a stage's
  int sum_rows = 0;                // of all matrices in a round, at most
  int stages = 2, stage_words = 0;
  int early = 1;       // filled before x is there
  bool whole = false;  // rows of a stage lie in one piece, in memory as in the stage
  int pitch[2] = {};   // words from row to row in a stage, of either lane
};

template <int kWaves>
constexpr int parts_threads() {
  return kWaves * kPartsWave;
}

// Words of a tile that a wave copies for itself.
template <class A, class B>
constexpr int parts_own_words() {
  return kBulkStages ? 0
                     : kPartsRows * (A::Tile::kWords > B::Tile::kWords ? A::Tile::kWords : B::Tile::kWords);
}

// A row's sum over the lanes that share it; `mine` of one lane a row.
struct PartsRowSum {
  float sum;
  int row;
  bool mine;
};

namespace gemv {

__device__ __forceinline__ PartsRowSum sum_of_row(const PartsMap& map, const float (&sum)[kMostRowsOfC]) {
  const int lane = map.lane;
  if (wave_size() == 32) {  // four lanes share two rows: two of them go on with either
    const bool second = lane % 2 != 0;
    float own = (second ? sum[1] : sum[0]) + wave_shuffle_xor(second ? sum[0] : sum[1], 1);
    own += wave_shuffle_xor(own, 2);
    return {own, map.row_of_c(second), lane % 4 < 2};
  }
  // 16 lanes share four rows, every fourth of them has sums.
  const int kept = lane / 4 % 4;
  float own = 0;
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) {
    float all = sum[i];
    all += wave_shuffle_xor(all, 4);
    all += wave_shuffle_xor(all, 8);
    if (i == kept) own = all;
  }
  return {own, map.row_of_c(kept), lane % 4 == 0};
}

// 2^power brings the float of these bits, if it is not 0, to [2^29, 2^30), within reason.
__device__ __forceinline__ int power_for(uint32_t bits) {
  const int power = 29 + 127 - static_cast<int>(bits >> 23);
  return bits == 0 ? 0 : power < -100 ? -100 : power > 100 ? 100 : power;
}
__device__ __forceinline__ float float_of_power(int power) {
  return as_float(static_cast<uint32_t>(127 + power) << 23);
}

__device__ __forceinline__ uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
// The larger of m and the bits of each |value|: those of infinities and NaN are above all numbers'.
__device__ __forceinline__ uint32_t largest_of(const float4& v, uint32_t m) {
  for (const float x : {v.x, v.y, v.z, v.w}) {
    const uint32_t size = bits_of(x) & 0x7fffffffu;
    m = size > m ? size : m;
  }
  return m;
}
__device__ __forceinline__ uint32_t wave_max(uint32_t v) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_max_sync(wave_mask(), v);
#else
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) {
    const uint32_t other = wave_shuffle_xor(v, mask);
    v = other > v ? other : v;
  }
  return v;
#endif
}

// Bytes s & 15, s >> 4 & 15 … of b:a, from the lowest.
template <uint32_t s>
__device__ __forceinline__ uint32_t pick_bytes(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  return __byte_perm(a, b, s);
#else
  const uint64_t both = static_cast<uint64_t>(b) << 32 | a;
  uint32_t out = 0;
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) out |= static_cast<uint32_t>(both >> 8 * (s >> 4 * i & 15) & 0xff) << 8 * i;
  return out;
#endif
}
// sum + the four signed bytes of v.
__device__ __forceinline__ int add_bytes(uint32_t v, int sum) {
#if defined(__CUDA_ARCH__)
  return __dp4a(static_cast<int>(v), 0x01010101, sum);
#else
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) sum += static_cast<int8_t>(v >> 8 * i & 0xff);
  return sum;
#endif
}

// The slot of four integers of at most 2^30 (gemv_parts_lane.hpp), a byte a value: balanced digits to base
// 256, of which the lower three of z + 0x808080 are 128 too large.
__device__ __forceinline__ uint4 limbs_of(const int (&values)[4]) {
  uint32_t z[4];
  GRETA_UNROLL
  for (int i = 0; i < 4; ++i) z[i] = (static_cast<uint32_t>(values[i]) + 0x808080u) ^ 0x808080u;
  const uint32_t low01 = pick_bytes<0x5140>(z[0], z[1]), low23 = pick_bytes<0x5140>(z[2], z[3]),
                 high01 = pick_bytes<0x7362>(z[0], z[1]), high23 = pick_bytes<0x7362>(z[2], z[3]);
  return make_uint4(pick_bytes<0x7632>(high01, high23), pick_bytes<0x7632>(low01, low23),
                    pick_bytes<0x5410>(high01, high23), pick_bytes<0x5410>(low01, low23));
}

// To the nearest, ties to even; NaN gives 0.
__device__ __forceinline__ int nearest(float x) {
#if defined(__CUDA_ARCH__)
  return __float2int_rn(x);
#else
  return x == x ? static_cast<int>(rintf(x)) : 0;
#endif
}

template <class F>
__device__ __forceinline__ float over_lanes(float v, F f) {
  GRETA_UNROLL
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) v = f(v, wave_shuffle_xor(v, mask));
  return v;
}

// A block of 256 values of x in a wave: B of its products, a pair of sub-blocks' sums, and the factor that
// brings sums of integers back.
struct BlockOfX {
  PartsOfX parts;
  float2 sums;
  float back;
};

// The block's slots, its sums and factor. slots: the wave's own in shared memory. values: of slots lane · n +
// j, n = 64 / wave_size().
template <bool kMinima>
__device__ __forceinline__ void make_integers(const PartsMap& map, const float4 (&values)[2], uint4* slots,
                                              BlockOfX& x) {
  const int n = kPartsSlots / wave_size();
  uint32_t largest = 0;
  GRETA_UNROLL
  for (int j = 0; j < 2; ++j)
    if (j < n) largest = largest_of(values[j], largest);
  largest = wave_max(largest);
  const bool finite = largest < 0x7f800000u;
  const int power = power_for(largest);
  const float factor = finite ? float_of_power(power) : 0.0f;  // times infinity NaN, and the integer is 0
  int digits[4] = {};                                          // sums of the lane's, from the top
  wave_sync();                                                 // the last block's slots are read
  GRETA_UNROLL
  for (int j = 0; j < 2; ++j) {
    if (j >= n) break;
    const float4 v = scaled(values[j], factor);
    const int whole[4] = {nearest(v.x), nearest(v.y), nearest(v.z), nearest(v.w)};
    const uint4 slot = limbs_of(whole);
    slots[place_of_slot(map.lane * n + j)] = slot;
    if constexpr (kMinima) {
      digits[0] = add_bytes(slot.x, digits[0]), digits[2] = add_bytes(slot.y, digits[2]);
      digits[1] = add_bytes(slot.z, digits[1]), digits[3] = add_bytes(slot.w, digits[3]);
    }
  }
  x.back = finite ? float_of_power(-power) : NAN;
  if constexpr (kMinima) {
    // A sub-block's upper and lower digits are exact in f32 together.
    int upper = digits[0] * 256 + digits[1], lower = digits[2] * 256 + digits[3];
    const int lanes = wave_size() / 8;  // of a sub-block of 32
    for (int mask = 1; mask < lanes; mask *= 2) {
      upper += wave_shuffle_xor(upper, mask);
      lower += wave_shuffle_xor(lower, mask);
    }
    const float sum = fmaf(static_cast<float>(upper), 65536.0f, static_cast<float>(lower));
    const int pair = map.sub_of_c();
    x.sums = make_float2(wave_shuffle(sum, 2 * pair * lanes), wave_shuffle(sum, (2 * pair + 1) * lanes));
  }
  wave_sync();
}

}  // namespace gemv

// A block's rows of a matrix, in shared memory: what is seldom asked for should not occupy registers.
struct PartsShare {
  const uint8_t* begin;
  uint32_t row_bytes;
  int rows;
};

// Which rows and columns a stage has.
template <class A, class B, int kMatrices>
struct PartsOrder {
  static constexpr bool kTwoLanes = !std::is_same_v<A, B>;
  const PartsArgs& args;
  PartsShare* shares;

  // By one wave, before all else, and a barrier.
  __device__ __forceinline__ void begin() const {
    GRETA_UNROLL
    for (int i = 0; i < kMatrices; ++i) {
      if (lane_id() == i) {
        const GemvShare share = gemv_share(args.common, i);
        const GemvMatrix& m = args.common.m[i];
        shares[i] = {m.data + share.first * m.row_bytes, static_cast<uint32_t>(m.row_bytes),
                     i < args.common.count ? share.rows : 0};
      }
    }
  }
  __device__ __forceinline__ int rows(int matrix, int round) const {
    const int left = shares[matrix].rows - round * args.round_rows;
    return left < 0 ? 0 : left < args.round_rows ? left : args.round_rows;
  }
  __device__ __forceinline__ int first_block(int chunk) const {
    return chunk * args.each + (chunk < args.more ? chunk : args.more);
  }
  __device__ __forceinline__ int blocks(int chunk) const { return args.each + (chunk < args.more); }
  __device__ __forceinline__ bool second(int matrix) const {
    return kTwoLanes && (args.common.second >> matrix & 1) != 0;
  }
  __device__ __forceinline__ int pitch(bool second) const { return second ? args.pitch[1] : args.pitch[0]; }
  __device__ __forceinline__ int bytes(int blocks, bool second) const {
    return blocks * (second ? B::kBytes : A::kBytes);
  }
  // Bytes of a chunk's first word that lie ahead of it, the same in every row.
  __device__ __forceinline__ int beyond(int chunk, bool second) const {
    return bytes(first_block(chunk), second) & 15;
  }
};

// The stages of a round and chunk one after another, as one wave sees them that has to do with row `offset`
// of each and those behind it.
template <class A, class B, int kMatrices>
class PartsStages {
 public:
  __device__ __forceinline__ PartsStages(const PartsOrder<A, B, kMatrices>& all, int offset)
      : order(all), offset_(offset) {}
  __device__ __forceinline__ void begin(int round, int chunk) {
    round_ = round, chunk_ = chunk, before_ = 0;
    enter(0);
  }
  __device__ __forceinline__ bool valid() const { return matrix < kMatrices; }
  __device__ __forceinline__ void next() {
    const int step = 1 << order.args.log_rows;
    left -= step, place += step;
    row += static_cast<uint64_t>(row_bytes) << order.args.log_rows;
    if (left + offset_ > 0) return;
    if (kMatrices > 1) before_ += order.rows(matrix, round_);
    enter(matrix + 1);
  }
  // n stages on, into later chunks and rounds.
  __device__ __forceinline__ void skip(int n) {
    while (!ended()) {
      int following = 0;
      if (valid()) {
        const int log = order.args.log_rows, inside = (left + offset_ + (1 << log) - 1) >> log;
        if (n < inside) {
          left -= n << log;
          row += static_cast<uint64_t>(n << log) * row_bytes;
          return;
        }
        n -= inside;
        following = matrix + 1;
      } else {
        if (++chunk_ == order.args.chunks) chunk_ = 0, ++round_;
        if (ended()) return;
        before_ = 0;
      }
      enter(following);
    }
  }
  __device__ __forceinline__ bool ended() const { return round_ >= order.args.rounds; }
  __device__ __forceinline__ int chunk() const { return chunk_; }
  __device__ __forceinline__ bool second() const { return order.second(matrix); }

  const PartsOrder<A, B, kMatrices> order;
  int matrix = kMatrices;
  const uint8_t* row = nullptr;  // where the chunk's columns of row `offset` begin
  uint32_t row_bytes = 0;
  int left = 0;   // rows from that one on, none or less if it is not there
  int place = 0;  // its place among the round's sums

 private:
  __device__ __forceinline__ void enter(int first) {
    matrix = first;
    if (kMatrices > 1) {
      while (matrix < kMatrices && order.rows(matrix, round_) == 0) ++matrix;
    } else if (matrix == 0 && order.rows(0, round_) == 0) {
      matrix = 1;
    }
    if (!valid()) return;
    const PartsShare share = order.shares[matrix];
    row_bytes = share.row_bytes;
    left = order.rows(matrix, round_) - offset_;
    place = before_ + offset_;
    row = share.begin + static_cast<uint64_t>(round_ * order.args.round_rows + offset_) * row_bytes +
          order.bytes(order.first_block(chunk_), second());
  }

  int offset_, round_ = 0, chunk_ = -1, before_ = 0;  // ahead of all stages
};

namespace gemv {

#if defined(GRETA_HIP_NVIDIA)
// What a wave does to fill stages. Whole ones: those numbered `team`, team + kWaves, … Others: its share of
// each stage's rows, if it is one of the waves that have no tile.
template <class A, class B, int kMatrices, int kWaves>
class PartsFiller {
 public:
  // across: tiles side by side.
  __device__ __forceinline__ PartsFiller(const PartsOrder<A, B, kMatrices>& order, uint4* words,
                                         uint64_t* bars, int team, int across)
      : at_(order, 0), words_(words), slots_(bars, order.args.stages), team_(team), across_(across) {}
  __device__ __forceinline__ void begin() { skip(at_.order.args.whole ? team_ : 0); }
  // Whether a stage whose turn it is is this wave's to fill.
  __device__ __forceinline__ bool fills(int turn) const {
    return at_.order.args.whole ? team_ == turn : team_ >= across_;
  }
  // The stage it is at, if there is one; and on to the next.
  __device__ __forceinline__ void fill() {
    if (at_.ended()) return;
    slots_.wait_free();
    copy();
    wave_sync();
    skip(at_.order.args.whole ? kWaves : 1);
  }

 private:
  __device__ __forceinline__ void copy() const {
    const PartsArgs& args = at_.order.args;
    const int most = 1 << args.log_rows, rows = at_.left < most ? at_.left : most;
    uint4* const slot = words_ + slots_.slot() * args.stage_words;
    if (args.whole) {
      if (lane_id() != 0) return;
      const uint32_t bytes = static_cast<uint32_t>(rows) * at_.row_bytes;
      slots_.expect(bytes);
      slots_.copy(slot, at_.row, bytes);
    } else {  // from the first whole word to the last
      const int beyond = at_.order.beyond(at_.chunk(), at_.second());
      const auto bytes = static_cast<uint32_t>(
          (beyond + at_.order.bytes(at_.order.blocks(at_.chunk()), at_.second()) + 15) & ~15);
      const int row = team_ - across_ + lane_id() * (kWaves - across_);
      if (row == 0) slots_.expect(static_cast<uint32_t>(rows) * bytes);  // of all waves
      if (row < rows)
        slots_.copy(slot + row * at_.order.pitch(at_.second()),
                    at_.row + static_cast<uint64_t>(row) * at_.row_bytes - beyond, bytes);
    }
  }
  __device__ __forceinline__ void skip(int n) { at_.skip(n), slots_.skip(n); }

  PartsStages<A, B, kMatrices> at_;
  uint4* words_;
  BulkStages slots_;
  int team_, across_;
};
#endif

}  // namespace gemv

// A: the lane of most matrices; B: of those in `second`. Epilogue::early(args): what a thread's first row
// wants from memory, asked for when x is; Epilogue::run(args, rows, early, value), value(i, r): the product
// of this block's row r of matrix i.
template <class A, class B, class Epilogue, int kMatrices, bool kNorm, int kWaves>
__global__ void __launch_bounds__(parts_threads<kWaves>()) gemv_parts_kernel(PartsArgs args) {
  const GemvArgs& a = args.common;
  release_successor();
  GRETA_DYNAMIC_SHARED(uint4, all_slots);
  GRETA_SHARED(float, squares_of_wave, kWaves);
  const int team = wave_id(), lane = lane_id();
  uint4* const words = all_slots + kWaves * kPartsSlots;
  // The wave's place in a stage.
  const int across = args.each + (args.more > 0), group = team * args.across_inverse >> 16,
            column = team - group * across;
  GRETA_SHARED(PartsShare, shares, kMatrices);
  const PartsOrder<A, B, kMatrices> order{args, shares};
#if defined(GRETA_HIP_NVIDIA)
  GRETA_SHARED(uint64_t, bars, 2 * kMostBulkStages);
  gemv::PartsFiller<A, B, kMatrices, kWaves> filler(order, words, bars, team, across);
  if (team == 0) order.begin();
  if (team == kWaves - 1) BulkStages::begin(bars, args.stages, kWaves);
  __syncthreads();
  BulkStages stages(bars, args.stages);
  // Stages done; whose turn it is to fill one; what is this wave's to fill when x is there.
  int done = 0, turn = args.stages;
  const bool fills_at_once = args.whole ? team < args.early : filler.fills(0);
  int early = args.whole ? !fills_at_once && team < args.stages : fills_at_once ? args.stages - 1 : 0;
  float* const all_sums = reinterpret_cast<float*>(words + args.stages * args.stage_words);
#else
  if (team == 0) order.begin();
  __syncthreads();
  uint4* const own_words = words + team * parts_own_words<A, B>();
  float* const all_sums = reinterpret_cast<float*>(words + kWaves * parts_own_words<A, B>());
#endif
  uint4* const slots = all_slots + team * kPartsSlots;

  const int lane_slots = kPartsSlots / wave_size();
  const auto slot_of = [&](int block, int j) { return block * kPartsSlots + lane * lane_slots + j; };
  const auto load_block = [&](const float* values, int block, float4(&v)[2]) {
    GRETA_UNROLL
    for (int j = 0; j < 2; ++j)
      if (j < lane_slots) v[j] = reinterpret_cast<const float4*>(values)[slot_of(block, j)];
  };
  float4 first_weights[2] = {};
  const bool works = group < args.groups;
  if (kNorm && works) load_block(a.norm_weight, column, first_weights);
  const float* x = a.x + blockIdx.y * static_cast<int64_t>(a.K);
  float4 next_x[2] = {};
  float early_value = 0;
  const auto ask_for_x = [&] {
    wait_for_predecessor();
    if (works) load_block(x, column, next_x);
    early_value = Epilogue::early(a);
  };
#if defined(GRETA_HIP_NVIDIA)
  // Who does not fill at once finds its first stage while x is on its way.
  GRETA_NO_UNROLL
  for (int turn = 0; turn < 2; ++turn) {
    if (fills_at_once == (turn == 0)) filler.begin();
    if (turn > 0) break;
    if (fills_at_once) filler.fill();
    ask_for_x();
  }
#else
  ask_for_x();
#endif
  float scale = 1;
  const auto norm = [&](float4& v, const float4& w) {
    v = make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
  };
  if constexpr (kNorm) {
    const int blocks = a.K / kPartsBlock;
    float own = 0;
    for (int b = team; b < blocks; b += kWaves) {
      float4 v[2] = {};
      load_block(x, b, v);
      GRETA_UNROLL
      for (int j = 0; j < 2; ++j) {
        own = fmaf(v[j].x, v[j].x, own), own = fmaf(v[j].y, v[j].y, own);
        own = fmaf(v[j].z, v[j].z, own), own = fmaf(v[j].w, v[j].w, own);
      }
    }
    own = gemv::over_lanes(own, [](float p, float q) { return p + q; });
    if (lane == 0) squares_of_wave[team] = own;
    __syncthreads();
    float sum = squares_of_wave[0];
    GRETA_UNROLL
    for (int i = 1; i < kWaves; ++i) sum += squares_of_wave[i];
    scale = 1.0f / sqrtf(sum / static_cast<float>(a.K) + a.eps);
    if (a.norm_out && blockIdx.x == 0) {
      for (int b = team; b < blocks; b += kWaves) {
        float4 v[2] = {}, w[2] = {};
        load_block(x, b, v), load_block(a.norm_weight, b, w);
        GRETA_UNROLL
        for (int j = 0; j < 2; ++j) {
          if (j >= lane_slots) break;
          norm(v[j], w[j]);
          reinterpret_cast<float4*>(a.norm_out)[slot_of(b, j)] = v[j];
        }
      }
    }
  }

  const PartsMap map;
  gemv::BlockOfX of_x{};
  PartsStages<A, B, kMatrices> at(order, group * kPartsRows);
  for (int round = 0; round < args.rounds; ++round) {
    // Two rounds' sums: the waves that write the next ones need not wait for those that read these.
    float* const sums = all_sums + (round & 1) * kWaves * args.sum_rows;
    for (int chunk = 0; chunk < args.chunks; ++chunk) {
      const int first = order.first_block(chunk);
      const bool mine = works && column < order.blocks(chunk);
      const bool fresh = round == 0 || args.chunks > 1;
      if (mine && fresh) {
        float4 v[2] = {next_x[0], next_x[1]};
        if (kNorm && (round > 0 || chunk > 0)) load_block(x, first + column, v);
        if (!kNorm && args.chunks > 1) {
          const int next = chunk + 1 == args.chunks ? 0 : chunk + 1;
          if (column < order.blocks(next)) load_block(x, order.first_block(next) + column, next_x);
        }
        if constexpr (kNorm) {
          float4 w[2] = {first_weights[0], first_weights[1]};
          if (round > 0 || chunk > 0) load_block(a.norm_weight, first + column, w);
          GRETA_UNROLL
          for (int j = 0; j < 2; ++j) norm(v[j], w[j]);
        }
        gemv::make_integers<A::kMinima || B::kMinima>(map, v, slots, of_x);
      }
      bool loaded = !fresh && !order.kTwoLanes, loaded_second = false;
      for (at.begin(round, chunk); at.valid();) {
#if defined(GRETA_HIP_NVIDIA)
        // At first what is still empty, later the slot of the stage before the last: by now every wave is
        // likely to have left it.
        if (early > 0 || (done >= 2 && filler.fills(turn))) filler.fill();
        if (early-- > 0) continue;
        if (++done > 2) turn = turn + 1 == kWaves ? 0 : turn + 1;
#endif
        const bool second = at.second();
        if (mine && (!loaded || second != loaded_second))
          second ? B::load_x(map, slots, of_x.parts) : A::load_x(map, slots, of_x.parts);
        loaded = true, loaded_second = second;
#if defined(GRETA_HIP_NVIDIA)
        stages.wait_full();
#endif
        if (mine && at.left > 0) {
          float sum[kMostRowsOfC] = {};
          const auto add = [&]<class Lane>() {
#if defined(GRETA_HIP_NVIDIA)
            const int pitch = order.pitch(second), byte = order.beyond(chunk, second) + column * Lane::kBytes;
            const uint4* const tile = words + stages.slot() * args.stage_words + group * kPartsRows * pitch;
#else
            const int pitch = Lane::Tile::kWords;
            const uint8_t* const begin = at.row + column * Lane::kBytes;
            const int byte = static_cast<int>(reinterpret_cast<uintptr_t>(begin) & 15);
            const uint4* const tile = own_words;
            AsyncCopies copies;
            wave_sync();  // all have read the last tile
            for (int word = lane; word < kPartsRows * pitch; word += wave_size()) {
              const int row = word / pitch, at_byte = word % pitch * 16;
              const bool wanted = row < at.left && at_byte < byte + Lane::kBytes;
              const uint8_t* const from = begin - byte + static_cast<uint64_t>(row) * at.row_bytes + at_byte;
              copies.copy16(own_words + word, wanted ? from : begin - byte, wanted ? 16 : 0);
            }
            copies.commit();
            copies.wait<0>();
            wave_sync();
#endif
            Lane::multiply(map, tile, pitch, byte, of_x.parts, of_x.sums, sum);
          };
          if (second) {
            add.template operator()<B>();
          } else {
            add.template operator()<A>();
          }
          const PartsRowSum own = gemv::sum_of_row(map, sum);
          if (own.mine && own.row < at.left) {
            float& total = sums[team * args.sum_rows + at.place + own.row];
            total = chunk == 0 ? own.sum * of_x.back : total + own.sum * of_x.back;
          }
        }
#if defined(GRETA_HIP_NVIDIA)
        stages.release();
        stages.next();
#endif
        at.next();
      }
    }
    __syncthreads();
    const int from = round * args.round_rows;
    Epilogue::run(a, {from, from + args.round_rows, kWaves * wave_size()}, early_value, [&](int i, int row) {
      int place = row - from;
      const float* own = sums + (place / kPartsRows & (args.groups - 1)) * across * args.sum_rows;
      GRETA_UNROLL
      for (int j = 0; j < kMatrices; ++j) {
        if (j < i) place += order.rows(j, round);
      }
      float sum = own[place];
      GRETA_UNROLL
      for (int wave = 1; wave < kWaves; ++wave)
        if (wave < across) sum += own[wave * args.sum_rows + place];
      return sum;
    });
  }
}

}  // namespace greta::kernels::inline GRETA_MACHINE
