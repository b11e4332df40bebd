// Chained mode: the whole forward pass from the tokens on, in all streams at once (see ensemble.hpp).
#include <tbb/parallel_for.h>

#include <limits>
#include <map>

#include "datasets/error.hpp"
#include "reference/config.hpp"
#include "reference/ensemble.hpp"
#include "reference/noise.hpp"
#include "reference/rope.hpp"
#include "reference/stages.hpp"

namespace greta::reference {
namespace {

using Eigen::Index;
using StageKey = std::pair<Stage, int>;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Chain {
 public:
  Chain(const Model& model, int64_t positions, const ChainOptions& options, const ChainVisitor& visit)
      : model_(model), config_(model.config()), options_(options), visit_(visit), T_max_(positions) {
    const Index rows = (options.reruns + 1) * T_max_, columns = config_.kv_heads * config_.head_dim;
    for (int l = 0; l < config_.layers; ++l)
      caches_.push_back({Matrix::Zero(rows, columns), Matrix::Zero(rows, columns)});
  }

  void run(int index, const ChainCall& chain_call);

 private:
  struct Caches {
    Matrix k, v;  // stream r has rows r·T_max to (r+1)·T_max
  };

  void layer(int l);
  Matrix attend(int l, const Matrix& q, const Matrix& k, const Matrix& v);

  // The stages without their errors, on all streams.
  Matrix embed() const;
  Matrix rms_norm(const Matrix& x, const std::string& gain) const;
  Matrix matmul(const Matrix& x, Stage stage, int l) const;
  Matrix turned(const Matrix& x, Stage stage, int l) const;
  Matrix scores(const Matrix& q, const Matrix& keys) const;
  Matrix softmax(Matrix x) const;
  Matrix mixed(const Matrix& p, const Matrix& values) const;
  void logits(const Matrix& norm);

  void append(Matrix& cache, const Matrix& rows) const;
  Matrix history(const Matrix& cache) const;          // all streams' first T rows
  enum class Side : uint8_t { left, right, values };  // values: of a fused attention
  Matrix operand(const Matrix& x, Stage stage, int l, Side side) const;
  Matrix cached(const Matrix& cache, Stage stage, int l) const;  // as its type holds it

  // The deviation that the stage's declared arithmetic has on stream 0's operands.
  Matrix sigma(Stage stage, int l) const;
  // A stage is there: adds its errors, keeps stream 0, reports value and envelope.
  Matrix finish(Stage stage, int l, Matrix y);

  uint64_t noise_key(Stage stage, int l, uint64_t kind) const {
    return key_of({options_.seed, kind, static_cast<uint64_t>(stage), static_cast<uint64_t>(l + 1)});
  }
  Contract contract(Stage stage, int l) const { return current_->contract(stage, l); }
  const Call& call() const { return current_->call; }
  Ensemble ensemble() const { return {options_.reruns, call().S()}; }
  Ensemble ensemble_of_cache() const { return {options_.reruns, call().T()}; }

  const Model& model_;
  const Config& config_;
  const ChainOptions options_;
  const ChainVisitor& visit_;
  const Index T_max_;
  std::vector<Caches> caches_;
  const ChainCall* current_ = nullptr;
  int index_ = 0;
  Matrix residual_;
  std::map<StageKey, Matrix> exact_;  // stream 0 of this layer's stages and of the residual stream
};

Matrix Chain::embed() const {
  Matrix y(ensemble().rows(), config_.embedding);
  for (Index row = 0; row < y.rows(); ++row)
    model_.weight_row("token_embd.weight", call().tokens[static_cast<size_t>(row % call().S())],
                      {y.row(row).data(), static_cast<size_t>(y.cols())});
  return y;
}

Matrix Chain::rms_norm(const Matrix& x, const std::string& gain) const {
  const auto g = model_.weight(gain);
  Matrix y(x.rows(), x.cols());
  tbb::parallel_for(Index{0}, x.rows(), [&](Index i) {
    const double mean = x.row(i).squaredNorm() / static_cast<double>(x.cols());
    y.row(i) = x.row(i).cwiseProduct(g->row(0)) / std::sqrt(mean + config_.norm_eps);
  });
  return y;
}

// An operand of a product with the errors of its rounding to a narrow type.
Matrix Chain::operand(const Matrix& x, Stage stage, int l, Side side) const {
  const auto c = contract(stage, l);
  const auto call_number = static_cast<uint64_t>(index_);
  if (side != Side::left)
    return rounding_noise(ensemble_of_cache(), x, c.w, std::nullopt,
                          noise_key(stage, l, side == Side::right ? 1 : 5), 0);
  if (c.parts) return fixed_noise(ensemble(), x, key_of({noise_key(stage, l, 2), call_number}));
  const bool weights = !weight_of(model_, stage, l).empty();
  return rounding_noise(ensemble(), x, c.x, weights ? c.w : std::nullopt,
                        key_of({noise_key(stage, l, 2), call_number}), noise_key(stage, l, 3));
}

Matrix Chain::matmul(const Matrix& x, Stage stage, int l) const {
  const auto weight = weight_of(model_, stage, l);
  const Matrix left = operand(x, stage, l, Side::left);
  Matrix y(x.rows(), model_.weight_info(weight).rows);
  model_.visit_tiles(weight, [&](int64_t begin, const Eigen::Ref<const Matrix>& tile) {
    multiply(left, tile, y.middleCols(begin, tile.rows()));
  });
  return y;
}

// As declared: position times frequency, both in f32, is arithmetic that every correct kernel shares.
Matrix Chain::turned(const Matrix& x, Stage stage, int l) const {
  Matrix y = x;
  const auto turns = rope_turns(config_, contract(stage, l), call().start, call().S());
  tbb::parallel_for(Index{0}, x.rows(), [&](Index row) {
    const auto* turn = &turns[static_cast<size_t>(row % call().S() * (config_.rope_dims / 2))];
    for (Index base = 0; base < x.cols(); base += config_.head_dim) {
      for (Index i = 0; i < config_.rope_dims / 2; ++i) {
        const double x0 = x(row, base + 2 * i), x1 = x(row, base + 2 * i + 1);
        y(row, base + 2 * i) = x0 * turn[i].cosine - x1 * turn[i].sine;
        y(row, base + 2 * i + 1) = x0 * turn[i].sine + x1 * turn[i].cosine;
      }
    }
  });
  return y;
}

void Chain::append(Matrix& cache, const Matrix& rows) const {
  for (Index r = 0; r < ensemble().streams(); ++r)
    cache.middleRows(r * T_max_ + call().start, call().S()) = rows.middleRows(r * call().S(), call().S());
}

Matrix Chain::history(const Matrix& cache) const {
  Matrix out(ensemble_of_cache().rows(), cache.cols());
  for (Index r = 0; r < ensemble().streams(); ++r)
    out.middleRows(r * call().T(), call().T()) = cache.middleRows(r * T_max_, call().T());
  return out;
}

Matrix Chain::cached(const Matrix& cache, Stage stage, int l) const {
  return rounding_noise(ensemble_of_cache(), history(cache), contract(stage, l).out, std::nullopt,
                        noise_key(stage, l, 6), 0);
}

Matrix Chain::scores(const Matrix& q, const Matrix& keys) const {
  const Index S = call().S(), T = call().T(), Dh = config_.head_dim, H = config_.heads,
              group = H / config_.kv_heads;
  const double scale = 1 / std::sqrt(static_cast<double>(Dh));
  Matrix y(q.rows(), H * T);
  tbb::parallel_for(Index{0}, ensemble().streams() * H, [&](Index task) {
    const Index r = task / H, h = task % H;
    auto block = y.block(r * S, h * T, S, T);
    multiply(q.block(r * S, h * Dh, S, Dh), keys.block(r * T, h / group * Dh, T, Dh), block);
    block *= scale;
    for (Index s = 0; s + 1 < S; ++s) block.row(s).tail(S - 1 - s).setConstant(-kInfinity);
  });
  return y;
}

Matrix Chain::softmax(Matrix x) const {
  const Index S = call().S(), T = call().T(), H = config_.heads;
  tbb::parallel_for(Index{0}, x.rows() * H, [&](Index task) {
    const Index visible = call().start + task / H % S + 1;
    auto row = x.row(task / H).segment(task % H * T, T);
    auto seen = row.head(visible).array();
    seen = (seen - seen.maxCoeff()).exp();
    seen /= seen.sum();
    row.tail(T - visible).setZero();
  });
  return x;
}

Matrix Chain::mixed(const Matrix& p, const Matrix& values) const {
  const Index S = call().S(), T = call().T(), Dh = config_.head_dim, H = config_.heads,
              group = H / config_.kv_heads;
  Matrix y(p.rows(), H * Dh);
  tbb::parallel_for(Index{0}, ensemble().streams() * H, [&](Index task) {
    const Index r = task / H, h = task % H;
    y.block(r * S, h * Dh, S, Dh).noalias() =
        p.block(r * S, h * T, S, T) * values.block(r * T, h / group * Dh, T, Dh);
  });
  return y;
}

Matrix Chain::sigma(Stage stage, int l) const {
  const Fetch fetch = [&](const OperandRef& ref) -> Matrix {
    if (ref.history) return history(ref.stage == Stage::v ? caches_[l].v : caches_[l].k).topRows(call().T());
    return exact_.at({ref.stage, ref.layer});
  };
  return deviation(errors_of({model_, stage, l, call(), contract(stage, l), fetch}));
}

Matrix Chain::finish(Stage stage, int l, Matrix y) {
  const bool of_cache = stage == Stage::k_cache || stage == Stage::v_cache;
  const auto e = of_cache ? ensemble_of_cache() : ensemble();
  auto& value = exact_[{stage, l}] = y.topRows(e.S);
  const Matrix deviations = sigma(stage, l);
  Matrix squares(e.S, y.cols());
  const auto key = key_of({noise_key(stage, l, 4), static_cast<uint64_t>(index_)});
  tbb::parallel_for(Index{0}, e.S, [&](Index s) {
    perturb_row(e, s, y, deviations.row(s).data(), 0, y.cols(), key, squares.row(s).data());
  });
  visit_(index_, stage, l, value, envelope(squares, e.reruns));
  return y;
}

Matrix Chain::attend(int l, const Matrix& q, const Matrix& k, const Matrix& v) {
  const Matrix q_rope = finish(Stage::q_rope, l, turned(q, Stage::q_rope, l));
  const Matrix k_rope = finish(Stage::k_rope, l, turned(k, Stage::k_rope, l));
  auto& caches = caches_[static_cast<size_t>(l)];
  append(caches.k, k_rope);
  append(caches.v, v);
  const Matrix keys = finish(Stage::k_cache, l, cached(caches.k, Stage::k_cache, l));
  const Matrix values = finish(Stage::v_cache, l, cached(caches.v, Stage::v_cache, l));
  if (contract(Stage::attn_out, l).op == "attention") {
    constexpr Stage fused = Stage::attn_out;
    Matrix y = scores(operand(q_rope, fused, l, Side::left), operand(keys, fused, l, Side::right));
    return finish(fused, l, mixed(softmax(std::move(y)), operand(values, fused, l, Side::values)));
  }
  Matrix y = scores(operand(q_rope, Stage::qk, l, Side::left), operand(keys, Stage::qk, l, Side::right));
  y = finish(Stage::qk, l, std::move(y));
  y = finish(Stage::softmax, l, softmax(std::move(y)));
  y = mixed(operand(y, Stage::pv, l, Side::left), operand(values, Stage::pv, l, Side::right));
  y = finish(Stage::pv, l, std::move(y));
  return finish(Stage::attn_out, l, std::move(y));
}

// The weight of the vocabulary may be larger than all else: tile by tile, and no stream is kept.
void Chain::logits(const Matrix& norm) {
  const auto e = ensemble();
  const auto weight = weight_of(model_, Stage::logits, -1);
  const Matrix left = operand(norm, Stage::logits, -1, Side::left), deviations = sigma(Stage::logits, -1);
  Matrix value(e.S, config_.vocabulary), squares(e.S, config_.vocabulary);
  const auto key = key_of({noise_key(Stage::logits, -1, 4), static_cast<uint64_t>(index_)});
  model_.visit_tiles(weight, [&](int64_t begin, const Eigen::Ref<const Matrix>& tile) {
    thread_local Matrix y;
    y.resize(left.rows(), tile.rows());
    multiply(left, tile, y);
    value.middleCols(begin, tile.rows()) = y.topRows(e.S);
    for (Index s = 0; s < e.S; ++s)
      perturb_row(e, s, y, &deviations(s, begin), begin, config_.vocabulary, key, &squares(s, begin));
  });
  visit_(index_, Stage::logits, -1, value, envelope(squares, e.reruns));
}

void Chain::layer(int l) {
  const auto norm = finish(Stage::attn_norm, l, rms_norm(residual_, weight_of(model_, Stage::attn_norm, l)));
  const auto q = finish(Stage::q, l, matmul(norm, Stage::q, l));
  const auto k = finish(Stage::k, l, matmul(norm, Stage::k, l));
  const auto v = finish(Stage::v, l, matmul(norm, Stage::v, l));
  Matrix y = finish(Stage::wo, l, matmul(attend(l, q, k, v), Stage::wo, l));
  residual_ = finish(Stage::attn_residual, l, residual_ + y);
  const auto ffn = finish(Stage::ffn_norm, l, rms_norm(residual_, weight_of(model_, Stage::ffn_norm, l)));
  Matrix gate = finish(Stage::ffn_gate, l, matmul(ffn, Stage::ffn_gate, l));
  const auto up = finish(Stage::ffn_up, l, matmul(ffn, Stage::ffn_up, l));
  gate.array() *= up.array() / (1 + (-gate.array()).exp());
  gate = finish(Stage::ffn_act, l, std::move(gate));
  y = finish(Stage::ffn_down, l, matmul(gate, Stage::ffn_down, l));
  residual_ = finish(Stage::ffn_residual, l, residual_ + y);
  std::erase_if(exact_, [&](const auto& kept) { return kept.first != StageKey{Stage::ffn_residual, l}; });
}

void Chain::run(int index, const ChainCall& chain_call) {
  current_ = &chain_call;
  index_ = index;
  exact_.clear();
  residual_ = finish(Stage::embed, -1, embed());
  const bool part = options_.layers >= 0 && options_.layers <= config_.layers;
  for (int l = 0; l < (part ? options_.layers : config_.layers); ++l) layer(l);
  if (part) return;
  logits(finish(Stage::final_norm, -1, rms_norm(residual_, weight_of(model_, Stage::final_norm, -1))));
}

}  // namespace

void chained(const Model& model, std::span<const ChainCall> calls, const ChainOptions& options,
             const ChainVisitor& visit) {
  if (options.reruns < 2) fail_invalid("chained mode needs at least 2 reruns, not {}", options.reruns);
  int64_t positions = 0;
  for (const auto& [call, contract] : calls) {
    if (call.S() == 0 || call.start < 0 || call.start > positions)
      fail_invalid("chained call of {} tokens at position {} over a cache of {}", call.S(), call.start,
                   positions);
    positions = std::max(positions, call.T());
  }
  Chain chain(model, positions, options, visit);
  for (size_t i = 0; i < calls.size(); ++i) chain.run(static_cast<int>(i), calls[i]);
}

}  // namespace greta::reference
