// Attention of one row through the matrix unit: a chunk's heads are the rows of q, keys its columns, 16 at a
// time. The cutting, the newest row and the joining are attention_decode.hip's.
//
// A wave goes over its keys of the part alone, with a running maximum, and has a ring of tiles of its own in
// shared memory, 16 rows of K or of V, copied ahead; q, which all waves have, lies there, too. Costs T · Dh ·
// 2 values read once for all heads of a chunk, and two products of the unit for 16 keys and 16 dims, most of
// whose rows are idle. What is gained is instructions, some 270 for 16 keys where lanes take 1,000: behind
// the last byte there is less to do.
//
// chain: Dh, in the unit. sum: a wave's tiles in the unit; the waves of a block, the parts. rescales: a
// wave's tiles, its block's join, the parts' join.
#include "kernels/attention_decode.hpp"
#include "kernels/attention_running.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

// Threads of a block, blocks of a multiprocessor, tiles in a wave's ring, and those that are asked for ahead
// of q, which waits behind them; AMD and the host have 64 KiB of shared memory, and copies that are done when
// they return. kHeads: at most as many as the join has threads for.
#if defined(GRETA_HIP_NVIDIA)
constexpr int kThreads = 256, kResident = 1, kRing = 6, kAhead = 3, kHeads = 8;
#else
constexpr int kThreads = 128, kResident = 2, kRing = 2, kAhead = 2, kHeads = 4;
#endif
constexpr int kMaxWaves = kThreads / 32;
static_assert(kHeads <= kTile && kHeads * kMaxUnitDh / 4 <= kThreads);
constexpr int kAlone = 512;
constexpr DecodeBuild kBuild{kHeads, kThreads, kResident, kAlone};

// 8 dims of a row of floats, and turned.
struct Piece {
  float x[kPiece];
};
__device__ __forceinline__ Piece load_piece(const float* row, int dim) {
  const float4 low = *reinterpret_cast<const float4*>(row + dim),
               high = *reinterpret_cast<const float4*>(row + dim + 4);
  return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}
__device__ __forceinline__ void store_piece(const Piece& piece, float* row, int dim) {
  const float* const x = piece.x;
  *reinterpret_cast<float4*>(row + dim) = make_float4(x[0], x[1], x[2], x[3]);
  *reinterpret_cast<float4*>(row + dim + 4) = make_float4(x[4], x[5], x[6], x[7]);
}
__device__ __forceinline__ void turn_piece(Piece& piece, int dim, int half_rope, const Turn* turns) {
  GRETA_UNROLL
  for (int j = 0; j < kPiece; j += 2) {
    if ((dim + j) / 2 < half_rope) apply(turns[(dim + j) / 2], piece.x[j], piece.x[j + 1], piece.x + j);
  }
}
template <Operand O>
__device__ __forceinline__ uint4 rounded(const Piece& piece) {
  const float* const x = piece.x;
  return make_uint4(rounded_pair<O>(x[0], x[1]), rounded_pair<O>(x[2], x[3]), rounded_pair<O>(x[4], x[5]),
                    rounded_pair<O>(x[6], x[7]));
}

// From one head's sums to the next in shared memory: a lane stores two columns, eight lanes' rows lie beside
// each other.
constexpr int pitch(int dims) { return dims + 8; }

template <Operand O, int DIMS>
__global__ void __launch_bounds__(kThreads, kResident)
    attention_decode_unit_kernel(Decode d, const half_bits* k_cache, const half_bits* v_cache) {
  constexpr int kPieces = DIMS / kPiece, kDimTiles = DIMS / kTile, kValues = kTile * DIMS;
  GRETA_DYNAMIC_SHARED(uint4, dynamic);             // tiles: q, a head a row; then [wave][slot]
  GRETA_SHARED(uint4, newest_pieces, 2 * kPieces);  // of K, then of V
  GRETA_SHARED(float, maxima, kMaxWaves* kHeads);
  GRETA_SHARED(float, denominators, kMaxWaves* kHeads);
  GRETA_SHARED(uint32_t, before, 1);
  GRETA_SHARED(Turn, turns, DIMS / 2);

  release_successor();
  const FillTurns<kThreads> fill_turns(d.unturned);
  const int past = d.positions[0], T = past < 0 ? 1 : past < d.capacity ? past + 1 : d.capacity;
  const Share share = share_of<kHeads>(d, T);
  if (share.part >= share.parts.count) return;

  const int waves = kThreads / wave_size(), lane = lane_id();
  const int64_t stride = static_cast<int64_t>(d.Hkv) * d.Dh, head_at = static_cast<int64_t>(share.kv) * d.Dh;
  half_bits* const queries = reinterpret_cast<half_bits*>(dynamic);
  half_bits* const ring = queries + (1 + wave_id() * kRing) * kValues;
  // A lane has the same piece of every `step`-th row of a tile. Where it lies differs from row to row by an
  // exclusive or with a constant, as `step` is a power of two.
  const int step = wave_size() / kPieces, row0 = lane / kPieces, column = lane % kPieces * kPiece;
  const int own_place = tile_at(kTile, row0, column);
  const auto place_of = [&](int n) { return (own_place ^ n * step % kPiece * kPiece) + n * step * kPanel; };
  const int64_t from0 = (share.t0 + wave_id() * kTile + row0) * stride + head_at + column;
  const int own_stored = column < d.Dh ? share.stored - row0 : 0;
  // The tile that is fetched next: K's and V's in turns.
  struct {
    int key, of_v, slot;
    const half_bits *now, *then;
  } next{wave_id() * kTile, 0, 0, k_cache + from0, v_cache + from0};
  const auto fetch = [&] {
    if (next.key < share.keys) {
      half_bits* const to = ring + next.slot * kValues;
      const half_bits* from = next.now;
      GRETA_UNROLL
      for (int n = 0; n < kTile / step; ++n, from += step * stride)
        copy_piece(to + place_of(n), from, next.key + n * step < own_stored);
    }
    copies_commit();
    const half_bits* const used = next.now;
    next.now = next.then, next.then = used + waves * kTile * stride;
    next.key += next.of_v * waves * kTile, next.of_v ^= 1;
    next.slot = next.slot + 1 < kRing ? next.slot + 1 : 0;
  };
  // By the whole wave: the next tile, when all of it is there, the newest row by the lanes that have its
  // place; and when it has been read.
  int slot = 0;
  const auto arrived = [&](int row, const uint4* newest, bool has_newest) {
    copies_wait<kRing - 1>();
    half_bits* const own = ring + slot * kValues;
    if (has_newest && row >= 0 && row < kTile)
      *reinterpret_cast<uint4*>(own + place_of(row / step)) = newest[lane % kPieces];
    wave_sync();
    slot = slot + 1 < kRing ? slot + 1 : 0;
    return own;
  };
  const auto read = [&] {
    wave_sync();
    fetch();
  };

  GRETA_NO_UNROLL
  for (int ahead = 0; ahead < kAhead; ++ahead) fetch();
  const Unturned& u = d.unturned;
  fill_turns.run(past, turns);
  constexpr int kEach = (kTile * kPieces + kThreads - 1) / kThreads;  // pieces of q that a thread has
  const auto for_queries = [&](auto visit) {
    GRETA_UNROLL
    for (int j = 0; j < kEach; ++j) {
      const int i = static_cast<int>(threadIdx.x) + j * kThreads, row = i / kPieces,
                dim = i % kPieces * kPiece;
      if (i < kTile * kPieces)
        visit(j, static_cast<int64_t>(share.h0 + row) * d.Dh, dim, row < share.heads && dim < d.Dh,
              *reinterpret_cast<uint4*>(queries + tile_at(kTile, row, dim)));
    }
  };
  for_queries([&](int, int64_t, int, bool there, uint4& bits) {
    if (!there) bits = make_uint4(0, 0, 0, 0);
  });
  // By the lanes that have copied zeros to its place, which will read it.
  const bool has_newest = share.newest < share.keys && share.newest / kTile % waves == wave_id() &&
                          share.newest % kTile % step == row0;
  const int64_t newest_at = (share.t0 + share.newest) * stride + head_at + column;
  __syncthreads();
  wait_for_predecessor();
  const uint32_t come_before = come(d, share);

  // All that the kernel ahead wrote is asked for, then the rest of the ring, which it would wait behind.
  Piece own_q[kEach], own_newest[2];
  uint4 newest_bits[2] = {make_uint4(0, 0, 0, 0), make_uint4(0, 0, 0, 0)};
  for_queries([&](int j, int64_t at, int dim, bool there, uint4&) {
    if (there) own_q[j] = load_piece(d.q + at, dim);
  });
  if (has_newest && column < d.Dh) {
    GRETA_UNROLL
    for (int of_v = 0; of_v < 2; ++of_v) {
      if (u.k == nullptr) {
        newest_bits[of_v] = *reinterpret_cast<const uint4*>((of_v ? v_cache : k_cache) + newest_at);
      } else {
        own_newest[of_v] = load_piece((of_v ? u.v : u.k) + head_at, column);
      }
    }
  }
  GRETA_NO_UNROLL
  for (int ahead = kAhead; ahead < kRing; ++ahead) fetch();

  for_queries([&](int j, int64_t at, int dim, bool there, uint4& bits) {
    if (!there) return;
    turn_piece(own_q[j], dim, u.half_rope, turns);
    if (u.q_out != nullptr && share.part == 0) store_piece(own_q[j], u.q_out + at, dim);
    bits = rounded<O>(own_q[j]);
  });
  if (has_newest) {
    if (column < d.Dh && u.k != nullptr) {
      turn_piece(own_newest[0], column, u.half_rope, turns);
      GRETA_UNROLL
      for (int of_v = 0; of_v < 2; ++of_v) {
        newest_bits[of_v] = rounded<O>(own_newest[of_v]);
        if (!share.first_chunk) continue;
        if (!of_v && u.k_out != nullptr) store_piece(own_newest[0], u.k_out + head_at, column);
        *reinterpret_cast<uint4*>(static_cast<half_bits*>(of_v ? u.v_cache : u.k_cache) + newest_at) =
            newest_bits[of_v];
      }
    }
    GRETA_UNROLL
    for (int of_v = 0; of_v < 2; ++of_v) newest_pieces[of_v * kPieces + lane % kPieces] = newest_bits[of_v];
  }
  __syncthreads();
  PairsA query[kDimTiles];
  GRETA_UNROLL
  for (int k = 0; k < kDimTiles; ++k) query[k] = pairs_by_rows(queries, kTile, 0, k * kTile);

  FragmentAcc scores[1], sums[kDimTiles];
  GRETA_UNROLL
  for (int t = 0; t < kDimTiles; ++t) sums[t].fill(0);
  RunningRows running;
  running.begin();
  float factor[kLaneRowStorage];
  for (int key = wave_id() * kTile; key < share.keys; key += waves * kTile) {
    const int newest_row = share.newest - key;
    const half_bits* const k_tile = arrived(newest_row, newest_pieces, has_newest);
    GRETA_UNROLL
    for (int k = 0; k < kDimTiles; ++k)
      wave_product_by_rows<O, 1>(scores, query[k], k_tile, kTile, 0, k * kTile, k > 0);
    read();
    const int left = share.keys - key - acc_cell(lane, 0).column;
    GRETA_UNROLL
    for (int r = 0; r < fragment_elements(); ++r) {
      if (is_of_rows<kHeads>(r) && acc_cell(0, r).column >= left) scores[0].x[r] = -INFINITY;
    }
    exponentials<kHeads>(scores, d.scale, running, factor);
    rescale<kHeads>(sums, factor);
    const half_bits* const v_tile = arrived(newest_row, newest_pieces + kPieces, has_newest);
    wave_product_by_columns<O, kDimTiles>(sums, as_rows_of_a<O>(scores[0]), v_tile, kTile, 0, 0, true);
    read();
  }

  copies_wait<0>();
  __syncthreads();                                        // the ring becomes the waves' sums
  float* const outs = reinterpret_cast<float*>(dynamic);  // [wave][head][dim]
  GRETA_UNROLL
  for (int t = 0; t < kDimTiles; ++t) {
    GRETA_UNROLL
    for (int r = 0; r < fragment_elements(); r += 2) {
      if (!is_of_rows<kHeads>(r)) continue;
      const FragmentCell cell = acc_cell(lane, r), beside = acc_cell(lane, r + 1);
      float* const own = outs + wave_id() * kHeads * pitch(DIMS) + t * kTile;
      if (wave_size() == 32) {  // neighbours in a row
        if (cell.row < share.heads)
          *reinterpret_cast<float2*>(own + cell.row * pitch(DIMS) + cell.column) =
              make_float2(sums[t].x[r], sums[t].x[r + 1]);
      } else {
        if (cell.row < share.heads) own[cell.row * pitch(DIMS) + cell.column] = sums[t].x[r];
        if (beside.row < share.heads) own[beside.row * pitch(DIMS) + beside.column] = sums[t].x[r + 1];
      }
    }
  }
  GRETA_UNROLL
  for (int i = 0; i < lane_rows(wave_size()); ++i) {
    if (!is_of_rows<kHeads>(register_of(i))) continue;
    const float sum = row_sum(running.sum[i]);
    const int row = row_in_tile(i);
    if (row < share.heads) {  // all lanes of a row write the same
      maxima[wave_id() * kHeads + row] = -running.shift[i];
      denominators[wave_id() * kHeads + row] = sum;
    }
  }
  if (threadIdx.x == 0) *before = come_before;
  __syncthreads();
  finish_part<kHeads, kThreads, DIMS>(d, share, {outs, pitch(DIMS), maxima, denominators, waves}, dynamic,
                                      *before);
}

template <Operand O, int DIMS>
void launch(const std::string& name, hipStream_t stream, const Decode& d, const void* k_cache,
            const void* v_cache) {
  const auto waves = static_cast<size_t>(kThreads / wave_size());
  const size_t shared =
      std::max({(1 + waves * kRing) * kTile * DIMS * sizeof(half_bits),
                waves * kHeads * pitch(DIMS) * sizeof(float), join_shared<kThreads, DIMS>(d.most)});
  launch_dependent(name.c_str(), attention_decode_unit_kernel<O, DIMS>, decode_grid(kBuild, d),
                   dim3(kThreads), shared, stream, d, static_cast<const half_bits*>(k_cache),
                   static_cast<const half_bits*>(v_cache));
}

}  // namespace

int64_t unit_decode_workspace(int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh) {
  return workspace_floats(kBuild, capacity, H, Hkv, Dh);
}

Attested unit_decode(const char* op, hipStream_t stream, Decode d, const void* k_cache, const void* v_cache,
                     CacheType type, float* workspace) {
  const int64_t H = int64_t{d.Hkv} * d.group, wave = wave_size();
  place_in_workspace(kBuild, workspace, d);
  const std::string unit = matrix_unit();
  const int dims = d.Dh <= 64 ? 64 : 128;
  const std::string name = std::string(op) + "_unit<cache=" + cache_name(type) +
                           ",parts=" + std::to_string(parts_for_card(kBuild, H, d.Hkv)) +
                           ",heads=" + std::to_string(kHeads) + ",threads=" + std::to_string(kThreads) +
                           ",wave=" + std::to_string(wave) + ">";
  const auto with_operand = [&]<Operand O>() {
    dims == 64 ? launch<O, 64>(name, stream, d, k_cache, v_cache)
               : launch<O, 128>(name, stream, d, k_cache, v_cache);
  };
  type == CacheType::f16 ? with_operand.template operator()<Operand::f16>()
                         : with_operand.template operator()<Operand::bf16>();
  check_launched(name);

  const int64_t waves = kThreads / wave, tiles = ceil_div(longest_part(d), waves * kTile);
  // Outside the unit, from 16 on each counts as much as a block in it.
  int64_t outside = waves + join_additions(kBuild, d, dims);
  if (outside >= kTile) outside *= kTile;
  return {name, attention_contract(cache_name(type), cache_name(type),
                                   {d.Dh, tiles * kTile + outside, tiles + 2}, unit)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
