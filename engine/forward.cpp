#include "engine/forward.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "datasets/error.hpp"
#include "engine/routes.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using kernels::Attested;
using kernels::hip_check;

namespace {

constexpr Stage kEmbed[] = {Stage::embed};
constexpr Stage kHead[] = {Stage::final_norm, Stage::logits};

std::span<const Stage> layer_stages() {
  static const std::vector<Stage> all = [] {
    std::vector<Stage> out;
    for (const StageInfo& row : stages())
      if (row.per_layer) out.push_back(row.stage);
    return out;
  }();
  return all;
}

bool over_cache(Stage stage) { return stage == Stage::k_cache || stage == Stage::v_cache; }

bool grows_with_positions(Stage stage) { return info(stage).axes.find('T') != std::string_view::npos; }

DType dtype_of(kernels::CacheType type) {
  return type == kernels::CacheType::f16    ? DType::f16
         : type == kernels::CacheType::bf16 ? DType::bf16
                                            : DType::f32;
}

}  // namespace

ForwardPass::ForwardPass(const PassContext& context, const Taps& taps, std::span<const int32_t> tokens,
                         LogitRows rows)
    : context_(context),
      c_(context.config),
      modes_(context.modes),
      ws_(context.workspace),
      stream_(context.stream),
      launcher_(context.launcher),
      taps_(taps),
      delivery_(context.delivery),
      tokens_(tokens),
      any_tap_(taps.stages.any()),
      poison_(context.settings.poison && (any_tap_ || modes_.poisons_untapped)),
      start_(context.cache.length),
      S_(static_cast<int64_t>(tokens.size())),
      T_(start_ + S_),
      logit_rows_(rows == LogitRows::all ? S_ : 1),
      positions_(tokens.size()),
      cache_positions_(static_cast<size_t>(T_)) {
  std::iota(positions_.begin(), positions_.end(), static_cast<int32_t>(start_));
  std::iota(cache_positions_.begin(), cache_positions_.end(), 0);
  ws_.reserve_ids(S_);
  device_tokens_ = ws_.ids.data();
  device_positions_ = ws_.ids.data() + S_;
}

int64_t ForwardPass::capacity(int64_t T) {
  constexpr int64_t least = 256;
  return std::max(least, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(T))));
}

std::vector<int64_t> ForwardPass::shape(Stage stage) const {
  const bool head = stage == Stage::final_norm || stage == Stage::logits;
  return shape_of(stage, {head ? logit_rows_ : S_, T_, c_.embedding, c_.heads, c_.kv_heads, c_.head_dim,
                          c_.feed_forward, c_.vocabulary});
}

int64_t ForwardPass::floats(Stage stage) const {
  const auto sizes = shape(stage);
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

bool ForwardPass::tapped(Stage stage, int layer) const {
  if (modes_.fused_attention && (stage == Stage::qk || stage == Stage::softmax || stage == Stage::pv))
    return false;
  // Unfused attention leaves its output where pv wrote it.
  const bool leaves_attn_out = stage == Stage::pv && taps_.wants(Stage::attn_out, layer);
  return leaves_attn_out || taps_.wants(stage, layer);
}

int64_t ForwardPass::section_bytes(Stages list, int layer) const {
  int64_t bytes = 0;
  for (const Stage stage : list) {
    if (stage == Stage::attn_out && !modes_.fused_attention) continue;
    // A cache is tapped where it lies, unless a fault has attention read something else.
    if (over_cache(stage) && context_.settings.faults.empty()) continue;
    if (tapped(stage, layer))
      bytes += TapDelivery::aligned(floats(stage) * static_cast<int64_t>(sizeof(float)));
  }
  return bytes;
}

TapDelivery::Call ForwardPass::tapped_call() const {
  TapDelivery::Call call{.sections = 0, .proofs = taps_.proofs};
  const auto add = [&](int64_t bytes) {
    call.largest = std::max(call.largest, bytes);
    call.total += bytes;
    ++call.sections;
  };
  if (taps_.proofs) add(TapDelivery::kPatternBytes);
  add(section_bytes(kEmbed, -1));
  for (int index = 0; index < c_.layers; ++index) add(section_bytes(layer_stages(), index));
  add(section_bytes(kHead, -1));
  return call;
}

template <typename Enqueue>
void ForwardPass::section(Stages list, int layer, Enqueue&& enqueue) {
  if (!any_tap_) return enqueue();
  const int64_t bytes = section_bytes(list, layer);
  std::byte* const begin = delivery_.begin(bytes);
  if (poison_ && bytes > 0)
    hip_check(hipMemsetAsync(begin, 0xFF, static_cast<size_t>(bytes), stream_), "hipMemsetAsync");
  enqueue();
  delivery_.end();
}

float* ForwardPass::output(Stage stage, int layer) {
  const int64_t count = floats(stage);
  const auto bytes = count * static_cast<int64_t>(sizeof(float));
  if (tapped(stage, layer)) return reinterpret_cast<float*>(delivery_.take(bytes));
  float* const out = ws_.output(stage, count);
  if (poison_) hip_check(hipMemsetAsync(out, 0xFF, static_cast<size_t>(bytes), stream_), "hipMemsetAsync");
  return out;
}

float* ForwardPass::optional_output(Stage stage, int layer) {
  return tapped(stage, layer) ? output(stage, layer) : nullptr;
}

template <typename Launch>
float* ForwardPass::run(Stage stage, int layer, Launch&& launch) {
  float* const out = output(stage, layer);
  tap(stage, layer, out, launch(site(stage, layer), out));
  return out;
}

void ForwardPass::tap(Stage stage, int layer, const void* data, const Attested& ran) {
  if (!taps_.wants(stage, layer)) return;
  auto dims = shape(stage);
  TapRecord record;
  record.stage = stage;
  record.layer = layer;
  record.positions = over_cache(stage) ? cache_positions_ : positions_;
  record.positions.erase(record.positions.begin(), record.positions.end() - dims[0]);
  if (stage == Stage::embed) record.tokens.assign(tokens_.begin(), tokens_.end());
  record.kernel = ran.kernel;
  record.contract = ran.contract;
  const DType dtype = over_cache(stage) ? dtype_of(modes_.cache) : DType::f32;
  delivery_.send(std::move(record), dtype, std::move(dims), data);
}

void ForwardPass::name_rows() {
  std::copy(tokens_.begin(), tokens_.end(), ws_.host_ids.data());
  std::copy(positions_.begin(), positions_.end(), ws_.host_ids.data() + S_);
}

void ForwardPass::upload() {
  hip_check(hipMemcpyAsync(ws_.ids.data(), ws_.host_ids.data(), 2 * tokens_.size() * sizeof(int32_t),
                           hipMemcpyHostToDevice, stream_),
            "hipMemcpyAsync of tokens and positions");
}

void ForwardPass::reserve() {
  // Not what grows with every token: each growth is another graph.
  for (const StageInfo& row : stages())
    if (!grows_with_positions(row.stage)) ws_.output(row.stage, floats(row.stage));
  attention_workspace();
}

void ForwardPass::enqueue() {
  section(kEmbed, -1, [&] { embed(); });
  for (int index = 0; index < c_.layers; ++index) section(layer_stages(), index, [&] { layer(index); });
  section(kHead, -1, [&] {
    modes_.fused_kernels&& S_ == 1 ? fused_head() : head();
    kernels::argmax(stream_, last_logits(), c_.vocabulary, ws_.top1.data(), modes_.tuning,
                    ws_.argmax_keys.data());
  });
}

void ForwardPass::embed() {
  x_ = run(Stage::embed, -1, [&](const Site& site, float* out) {
    return launcher_.embed(site, {context_.weights.token_embd, device_tokens_, S_, out});
  });
}

void ForwardPass::layer(int index) {
  if (modes_.fused_kernels && S_ == 1) return fused_layer(index);
  attention(index);
  feed_forward(index);
}

float* ForwardPass::norm(Stage stage, int index, const float* x, const LoadedWeight& weight, int64_t rows) {
  return run(stage, index, [&](const Site& site, float* out) {
    return launcher_.norm(site, {x, &weight, rows, c_.embedding, c_.norm_eps, out});
  });
}

float* ForwardPass::product(Stage stage, int index, const LoadedWeight& w, const float* x, int64_t rows) {
  return run(stage, index, [&](const Site& site, float* out) {
    kernels::Route route = choose_route(context_.settings.unit, context_.settings.shape, rows);
    route.tuning = modes_.tuning;
    route.operand = modes_.operand;
    return launcher_.product(site, {route, &w, x, rows, out});
  });
}

float* ForwardPass::rope(Stage stage, int index, const float* x, int64_t heads) {
  return run(stage, index, [&](const Site& site, float* out) {
    return launcher_.rope(
        site, {x, context_.frequencies.data(), device_positions_, S_, heads, c_.head_dim, c_.rope_dims, out});
  });
}

float* ForwardPass::add(Stage stage, int index, const float* stream, const float* branch) {
  return run(stage, index, [&](const Site& site, float* out) {
    return launcher_.add(site, {stream, branch, S_ * c_.embedding, out});
  });
}

const void* ForwardPass::write_cache(Stage stage, int index, const float* rows, void* cache) {
  CacheCall call{rows, S_, c_.kv_heads * c_.head_dim, start_, modes_.cache, cache, cache};
  // The cache is poisoned once, at reset: rows of earlier calls must stay.
  const Attested ran = launcher_.write_cache(site(stage, index), call);
  tap_cache(stage, index, cache, call.read, ran);
  return call.read;
}

void ForwardPass::tap_cache(Stage stage, int index, const void* own, const void* read, const Attested& ran) {
  if (!taps_.wants(stage, index)) return;
  if (read != own) {  // a fault's: it may not last until it is delivered
    const int64_t bytes = floats(stage) * bytes_of(modes_.cache);
    std::byte* const kept = delivery_.take(bytes);
    hip_check(hipMemcpyAsync(kept, read, static_cast<size_t>(bytes), hipMemcpyDeviceToDevice, stream_),
              "hipMemcpyAsync of a cache");
    read = kept;
  }
  tap(stage, index, read, ran);
}

void ForwardPass::attention(int index) {
  const LayerWeights& w = context_.weights.layers[static_cast<size_t>(index)];
  const float* n = norm(Stage::attn_norm, index, x_, *w.attn_norm, S_);
  const float* q = product(Stage::q, index, *w.q, n, S_);
  const float* k = product(Stage::k, index, *w.k, n, S_);
  const float* v = product(Stage::v, index, *w.v, n, S_);
  const float* attended = attend(index, q, k, v);
  const float* wo = product(Stage::wo, index, *w.wo, attended, S_);
  x_ = add(Stage::attn_residual, index, x_, wo);
}

float* ForwardPass::attend(int index, const float* q, const float* k, const float* v) {
  const auto at = static_cast<size_t>(index);
  const float* turned_q = rope(Stage::q_rope, index, q, c_.heads);
  const float* turned_k = rope(Stage::k_rope, index, k, c_.kv_heads);
  const void* keys = write_cache(Stage::k_cache, index, turned_k, context_.cache.keys[at].data());
  const void* values = write_cache(Stage::v_cache, index, v, context_.cache.values[at].data());
  return modes_.fused_attention ? fused_attention(index, turned_q, keys, values)
                                : unfused_attention(index, turned_q, keys, values);
}

float* ForwardPass::unfused_attention(int index, const float* q, const void* keys, const void* values) {
  const float* scores = run(Stage::qk, index, [&](const Site& site, float* out) {
    return launcher_.scores(site,
                            {q, keys, modes_.cache, S_, start_, c_.heads, c_.kv_heads, c_.head_dim, out});
  });
  const float* weights = run(Stage::softmax, index, [&](const Site& site, float* out) {
    return launcher_.softmax(site, {scores, S_ * c_.heads, T_, out});
  });
  Attested ran;
  float* attended = run(Stage::pv, index, [&](const Site& site, float* out) {
    ran = launcher_.values(site,
                           {weights, values, modes_.cache, S_, T_, c_.heads, c_.kv_heads, c_.head_dim, out});
    return ran;
  });
  // The same memory, read as [S, H·Dh].
  tap(Stage::attn_out, index, attended, {ran.kernel, "op=copy"});
  return attended;
}

float* ForwardPass::fused_attention(int index, const float* q, const void* keys, const void* values) {
  return run(Stage::attn_out, index, [&](const Site& site, float* out) {
    AttendCall call{
        q,       keys,   values,   modes_.cache, modes_.tuning, modes_.operand,    modes_.decode_unit,
        S_,      start_, c_.heads, c_.kv_heads,  c_.head_dim,   device_positions_, capacity(T_),
        nullptr, out};
    if (S_ == 1) call.workspace = attention_workspace();
    return launcher_.attend(site, call);
  });
}

float* ForwardPass::attention_workspace() {
  return ws_.attention_parts(
      kernels::attention_decode_workspace(capacity(T_), c_.heads, c_.kv_heads, c_.head_dim));
}

void ForwardPass::feed_forward(int index) {
  const LayerWeights& w = context_.weights.layers[static_cast<size_t>(index)];
  const float* n = norm(Stage::ffn_norm, index, x_, *w.ffn_norm, S_);
  const float* gate = product(Stage::ffn_gate, index, *w.gate, n, S_);
  const float* up = product(Stage::ffn_up, index, *w.up, n, S_);
  const float* act = run(Stage::ffn_act, index, [&](const Site& site, float* out) {
    return launcher_.gate(site, {gate, up, S_ * c_.feed_forward, out});
  });
  const float* down = product(Stage::ffn_down, index, *w.down, act, S_);
  x_ = add(Stage::ffn_residual, index, x_, down);
}

void ForwardPass::head() {
  const float* n = norm(Stage::final_norm, -1, x_ + (S_ - logit_rows_) * c_.embedding,
                        *context_.weights.output_norm, logit_rows_);
  logits_ = product(Stage::logits, -1, *context_.weights.output, n, logit_rows_);
}

}  // namespace greta::engine::inline GRETA_MACHINE
