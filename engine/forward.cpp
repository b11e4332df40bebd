#include "engine/forward.hpp"

#include <numeric>

#include "datasets/error.hpp"
#include "engine/routes.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using kernels::Attested;
using kernels::hip_check;

void reserve(Workspace& ws, const Config& c, int64_t rows, int64_t positions, int64_t logit_rows) {
  if (ws.logits.size() < static_cast<size_t>(logit_rows * c.vocabulary))
    ws.logits = Floats(static_cast<size_t>(logit_rows * c.vocabulary));
  if (rows <= ws.rows && positions <= ws.positions) return;
  ws.rows = std::max(rows, ws.rows);
  ws.positions = std::max(positions, ws.positions);
  const auto floats = [&](int64_t width) { return Floats(static_cast<size_t>(ws.rows * width)); };
  ws.tokens = kernels::DeviceBuffer<int32_t>(static_cast<size_t>(ws.rows));
  ws.token_positions = kernels::DeviceBuffer<int32_t>(static_cast<size_t>(ws.rows));
  ws.top1 = kernels::DeviceBuffer<int32_t>(1);
  ws.x = floats(c.embedding);
  ws.norm = floats(c.embedding);
  ws.q = floats(c.heads * c.head_dim);
  ws.k = floats(c.kv_heads * c.head_dim);
  ws.v = floats(c.kv_heads * c.head_dim);
  ws.q_rope = floats(c.heads * c.head_dim);
  ws.k_rope = floats(c.kv_heads * c.head_dim);
  ws.scores = floats(c.heads * ws.positions);
  ws.weights = floats(c.heads * ws.positions);
  ws.pv = floats(c.heads * c.head_dim);
  ws.wo = floats(c.embedding);
  ws.residual = floats(c.embedding);
  ws.gate = floats(c.feed_forward);
  ws.up = floats(c.feed_forward);
  ws.act = floats(c.feed_forward);
  ws.down = floats(c.embedding);
}

ForwardPass::ForwardPass(const Config& config, const Settings& settings, const Weights& weights,
                         const Floats& frequencies, Cache& cache, Workspace& workspace, hipStream_t stream,
                         Launcher& launcher, const Taps& taps, TapDelivery& delivery,
                         std::span<const int32_t> tokens, LogitRows rows)
    : c_(config),
      settings_(settings),
      weights_(weights),
      frequencies_(frequencies),
      cache_(cache),
      ws_(workspace),
      stream_(stream),
      launcher_(launcher),
      taps_(taps),
      delivery_(delivery),
      tokens_(tokens),
      start_(cache.length),
      S_(static_cast<int64_t>(tokens.size())),
      T_(start_ + S_),
      logit_rows_(rows == LogitRows::all ? S_ : 1),
      positions_(tokens.size()),
      cache_positions_(static_cast<size_t>(T_)) {
  std::iota(positions_.begin(), positions_.end(), static_cast<int32_t>(start_));
  std::iota(cache_positions_.begin(), cache_positions_.end(), 0);
  reserve(ws_, c_, S_, T_, logit_rows_);
}

std::vector<int64_t> ForwardPass::shape(Stage stage) const {
  const bool head = stage == Stage::final_norm || stage == Stage::logits;
  return shape_of(stage, {head ? logit_rows_ : S_, T_, c_.embedding, c_.heads, c_.kv_heads, c_.head_dim,
                          c_.feed_forward, c_.vocabulary});
}

template <typename Launch>
void ForwardPass::run(Stage stage, int layer, const Floats& out, Launch&& launch) {
  if (settings_.poison) {
    const auto sizes = shape(stage);
    const auto count = std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
    hip_check(hipMemsetAsync(out.data(), 0xFF, static_cast<size_t>(count) * sizeof(float), stream_),
              "hipMemsetAsync");
  }
  tap(stage, layer, out.data(), launch(site(stage, layer)));
}

void ForwardPass::tap(Stage stage, int layer, const float* data, const Attested& ran) {
  if (!taps_.wants(stage, layer)) return;
  const bool over_cache = stage == Stage::k_cache || stage == Stage::v_cache;
  auto dims = shape(stage);
  TapRecord record;
  record.stage = stage;
  record.layer = layer;
  record.positions = over_cache ? cache_positions_ : positions_;
  record.positions.erase(record.positions.begin(), record.positions.end() - dims[0]);
  if (stage == Stage::embed) record.tokens.assign(tokens_.begin(), tokens_.end());
  record.kernel = ran.kernel;
  record.contract = ran.contract;
  delivery_.send(std::move(record), std::move(dims), data);
}

Attested ForwardPass::product(const Site& site, const LoadedWeight& w, const float* x, int64_t rows,
                              const Floats& out) {
  return launcher_.product(site,
                           {choose_route(settings_.unit, settings_.shape, rows), &w, x, rows, out.data()});
}

void ForwardPass::upload() {
  const size_t bytes = tokens_.size() * sizeof(int32_t);
  hip_check(hipMemcpyAsync(ws_.tokens.data(), tokens_.data(), bytes, hipMemcpyHostToDevice, stream_),
            "tokens");
  hip_check(
      hipMemcpyAsync(ws_.token_positions.data(), positions_.data(), bytes, hipMemcpyHostToDevice, stream_),
      "positions");
}

void ForwardPass::enqueue() {
  upload();
  run(Stage::embed, -1, ws_.x, [&](const Site& site) {
    return launcher_.embed(site, {weights_.token_embd, ws_.tokens.data(), S_, ws_.x.data()});
  });
  for (int index = 0; index < c_.layers; ++index) {
    attention(index);
    feed_forward(index);
  }
  head();
}

void ForwardPass::norm(Stage stage, int index, const float* x, const LoadedWeight& weight, int64_t rows) {
  run(stage, index, ws_.norm, [&](const Site& site) {
    return launcher_.norm(site, {x, &weight, rows, c_.embedding, c_.norm_eps, ws_.norm.data()});
  });
}

const float* ForwardPass::write_cache(Stage stage, int index, const Floats& rows, const Floats& cache) {
  CacheCall call{rows.data(), S_, c_.kv_heads * c_.head_dim, start_, cache.data(), cache.data()};
  // The cache is poisoned once, at reset: rows of earlier calls must stay.
  const Attested ran = launcher_.write_cache(site(stage, index), call);
  tap(stage, index, call.read, ran);
  return call.read;
}

void ForwardPass::attention(int index) {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(index)];
  const auto layer = static_cast<size_t>(index);

  norm(Stage::attn_norm, index, ws_.x.data(), *w.attn_norm, S_);
  const auto project = [&](Stage stage, const LoadedWeight& weight, const Floats& out) {
    run(stage, index, out, [&](const Site& site) { return product(site, weight, ws_.norm.data(), S_, out); });
  };
  project(Stage::q, *w.q, ws_.q);
  project(Stage::k, *w.k, ws_.k);
  project(Stage::v, *w.v, ws_.v);
  const auto rope = [&](Stage stage, const Floats& from, int64_t heads, const Floats& to) {
    run(stage, index, to, [&](const Site& site) {
      return launcher_.rope(site, {from.data(), frequencies_.data(), ws_.token_positions.data(), S_, heads,
                                   c_.head_dim, c_.rope_dims, to.data()});
    });
  };
  rope(Stage::q_rope, ws_.q, c_.heads, ws_.q_rope);
  rope(Stage::k_rope, ws_.k, c_.kv_heads, ws_.k_rope);
  const float* keys = write_cache(Stage::k_cache, index, ws_.k_rope, cache_.keys[layer]);
  const float* values = write_cache(Stage::v_cache, index, ws_.v, cache_.values[layer]);

  run(Stage::qk, index, ws_.scores, [&](const Site& site) {
    return launcher_.scores(
        site, {ws_.q_rope.data(), keys, S_, start_, c_.heads, c_.kv_heads, c_.head_dim, ws_.scores.data()});
  });
  run(Stage::softmax, index, ws_.weights, [&](const Site& site) {
    return launcher_.softmax(site, {ws_.scores.data(), S_ * c_.heads, T_, ws_.weights.data()});
  });
  Attested attended;
  run(Stage::pv, index, ws_.pv, [&](const Site& site) {
    attended = launcher_.values(
        site, {ws_.weights.data(), values, S_, T_, c_.heads, c_.kv_heads, c_.head_dim, ws_.pv.data()});
    return attended;
  });
  // Unfused attention leaves its output where pv wrote it: the same memory, read as [S, H·Dh].
  tap(Stage::attn_out, index, ws_.pv.data(), {attended.kernel, "op=copy"});
  run(Stage::wo, index, ws_.wo,
      [&](const Site& site) { return product(site, *w.wo, ws_.pv.data(), S_, ws_.wo); });
  add(Stage::attn_residual, index, ws_.x, ws_.wo, ws_.residual);
}

void ForwardPass::add(Stage stage, int index, const Floats& stream, const Floats& branch, const Floats& out) {
  run(stage, index, out, [&](const Site& site) {
    return launcher_.add(site, {stream.data(), branch.data(), S_ * c_.embedding, out.data()});
  });
}

void ForwardPass::feed_forward(int index) {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(index)];
  norm(Stage::ffn_norm, index, ws_.residual.data(), *w.ffn_norm, S_);
  const auto project = [&](Stage stage, const LoadedWeight& weight, const Floats& x, const Floats& out) {
    run(stage, index, out, [&](const Site& site) { return product(site, weight, x.data(), S_, out); });
  };
  project(Stage::ffn_gate, *w.gate, ws_.norm, ws_.gate);
  project(Stage::ffn_up, *w.up, ws_.norm, ws_.up);
  run(Stage::ffn_act, index, ws_.act, [&](const Site& site) {
    return launcher_.gate(site, {ws_.gate.data(), ws_.up.data(), S_ * c_.feed_forward, ws_.act.data()});
  });
  project(Stage::ffn_down, *w.down, ws_.act, ws_.down);
  add(Stage::ffn_residual, index, ws_.residual, ws_.down, ws_.x);
}

void ForwardPass::head() {
  norm(Stage::final_norm, -1, ws_.x.data() + (S_ - logit_rows_) * c_.embedding, *weights_.output_norm,
       logit_rows_);
  run(Stage::logits, -1, ws_.logits, [&](const Site& site) {
    return product(site, *weights_.output, ws_.norm.data(), logit_rows_, ws_.logits);
  });
  kernels::argmax(stream_, ws_.logits.data() + last_row() * c_.vocabulary, c_.vocabulary, ws_.top1.data());
}

}  // namespace greta::engine::inline GRETA_MACHINE
