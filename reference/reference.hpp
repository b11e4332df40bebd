// reference/: what every stage should have been, in float64 with Eigen, and how far off a correct kernel may
// be. Written from the format's and the model's definitions; it may include datasets/, never engine/ or
// kernels/. To add a stage: its formula and its bound in one file, one row in local.cpp's table.
#pragma once

#include <Eigen/Core>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "datasets/gguf.hpp"
#include "datasets/stage.hpp"
#include "datasets/tensor.hpp"
#include "reference/contract.hpp"

namespace greta::reference {

// Rows are a tensor's first axis, columns all others, row-major.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixPtr = std::shared_ptr<const Matrix>;

// The Llama hyper-parameters, read here from the GGUF metadata, on purpose not shared with engine/.
struct Config {
  int64_t layers = 0, embedding = 0, heads = 0, kv_heads = 0, head_dim = 0, feed_forward = 0, vocabulary = 0,
          context = 0, rope_dims = 0;
  double norm_eps = 0, rope_base = 0;
  std::vector<double> rope_factors;  // empty, or rope_dims/2 divisors of the frequencies (rope_freqs.weight)
  bool tied_output = false;
  StageSizes sizes(int64_t S, int64_t T) const;
};

// How a weight is cut into tiles: `values` at most each, and so many rows that there are `least_tiles` of
// them where that leaves multiples of `step`.
struct TileSize {
  int64_t values, most_rows, least_tiles, step;
};
// For products of matrices: wide tiles spare the packing, narrow ones memory (16 MiB) and occupy all cores.
inline constexpr TileSize kWideTile = {int64_t{1} << 21, 256, 8, 64};
// For one pass over the values: they stay in a core's own cache.
inline constexpr TileSize kCachedTile = {int64_t{1} << 15, 512, 8, 1};

class Model {
 public:
  explicit Model(
      const GgufFile& file);  // Error (bad_input): not a Llama model, missing tensors, wrong shapes
  ~Model();
  const Config& config() const;
  // A weight as [rows = outputs, columns = inputs] in float64; norms are one row. Keeps about one layer in
  // memory; thread-safe.
  MatrixPtr weight(const std::string& gguf_name) const;
  // One row, for the embedding lookup: no need to unpack the whole table.
  void weight_row(const std::string& gguf_name, int64_t row, std::span<double> out) const;
  // The same as it is stored, for who unpacks it wrongly on purpose.
  std::span<const std::byte> weight_bytes(const std::string& gguf_name, int64_t row) const;

  struct WeightInfo {
    GgmlType type;
    int64_t rows, columns;
  };
  WeightInfo weight_info(const std::string& gguf_name) const;
  // Calls visit(begin, tile) with the weight's rows [begin, begin + tile.rows()), in parallel and in no
  // order; a weight that is too large to be kept is unpacked tile by tile. Tiles do not depend on the number
  // of threads; `visit` starts no parallel work of its own.
  using TileVisitor = std::function<void(int64_t begin, const Eigen::Ref<const Matrix>& tile)>;
  void visit_tiles(const std::string& gguf_name, const TileVisitor& visit,
                   const TileSize& size = kWideTile) const;
  std::string output_weight() const;  // "output.weight", or "token_embd.weight" when tied

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One call of the engine: `tokens` at the positions start, start+1, …; T = start + tokens.size() positions in
// the cache after it.
struct Call {
  std::vector<int32_t> tokens;
  int start = 0;
  int64_t S() const { return static_cast<int64_t>(tokens.size()); }
  int64_t T() const { return start + S(); }
};

// A stage's value with both error bounds, element by element. `certain`: beyond it there is a bug (a proof);
// `expected`: crossed by a correct kernel once in 1e12 comparisons. expected <= certain everywhere. Where
// value is not finite (masked scores, what IEEE arithmetic makes of the engine's own NaN and infinities,
// results beyond f32) both are 0 and the engine must have the same.
struct Bounded {
  Matrix value, certain, expected;
  std::string reason;  // "matmul K=256, x f16, w f16, 34 additions in f32: expected = 7.1·…"
  Matrix lean;  // the mean error of the declared arithmetic, where it truncates (unit=hopper, cdna3), good to
                // about a half of itself; empty: 0. `value` is the exact one all the same, and the bounds
                // contain the mean.
};

// What a stage is computed from, in local mode. `history` operands (k_rope for k_cache, v for v_cache) are
// all T rows that were written to the cache, in order of position, from this call and from the ones before
// it.
struct OperandRef {
  Stage stage;
  int layer;
  bool history = false;
};
// Empty for embed. Stages outside the layers (embed, final_norm, logits) have layer -1; final_norm reads
// ffn_residual of the last layer, which stands here as layer -1. A Fetch is always called with that layer's
// number, 0 to layers-1. `op`: the operation that the stage's contract declares, where the operands depend on
// it: attn_out is copied from pv, or, with "attention", made of q_rope, k_cache and v_cache in one kernel.
std::vector<OperandRef> operands_of(Stage stage, int layer, std::string_view op = {});

// The engine's own tensors, as float64.
using Fetch = std::function<Matrix(const OperandRef&)>;

// The engine's own view of a weight, f32 in the weight's shape, for a weight that the engine holds wrongly: a
// stage that reads it is then judged for what it does itself. Null: the weight as the file has it. A stage
// asks for one weight at a time and lets go of it.
using OwnWeights = std::function<TensorPtr(const std::string& gguf_name)>;

// Local mode: the stage from the engine's own inputs to it.
Bounded local(const Model&, Stage, int layer, const Call&, const Contract&, const Fetch&,
              const OwnWeights& own_weights = {});
// The same for the engine's view of a weight (contract op=dequant).
Bounded local_weight(const Model&, const std::string& gguf_name, const Contract&);
// The same a few rows at a time, in parallel and in no order, for a weight that would not fit in float64: as
// Model::visit_tiles.
using BoundedVisitor = std::function<void(int64_t begin, const Bounded& rows)>;
void local_weight_tiles(const Model&, const std::string& gguf_name, const Contract&, const BoundedVisitor&);

// The audit: `samples` elements of the stage recomputed in double-double; the largest |float64 -
// double-double| / expected bound (far under 1, or the reference is not fit to judge).
double audit(const Model&, Stage, int layer, const Call&, const Contract&, const Fetch&, int samples,
             uint64_t seed);
// The same of what local() has given.
double audit(const Model&, Stage, int layer, const Call&, const Contract&, const Fetch&,
             const Bounded& judged, int samples, uint64_t seed);

// Chained mode: from the tokens on, all calls over one cache, with the noise envelope of the reference
// itself: rerun with every stage's output perturbed at random by the rounding error that the stage's contract
// declares, each element's tolerance is a Student-t quantile (1e-12) of what came out.
struct ChainCall {
  Call call;
  std::function<Contract(Stage, int layer)> contract;
};
struct ChainOptions {
  int reruns = 12;
  uint64_t seed = 1;
  int64_t layers = -1;  // so many, and neither final_norm nor logits; negative: all of it
};
using ChainVisitor =
    std::function<void(int call_index, Stage, int layer, const Matrix& value, const Matrix& envelope)>;
void chained(const Model&, std::span<const ChainCall> calls, const ChainOptions&, const ChainVisitor&);

// "AVX512, FMA; OpenBLAS 0.3.21 SkylakeX": for the report.
std::string instruction_sets();

}  // namespace greta::reference
