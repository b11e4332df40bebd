#include "engine/faults/faulty_launcher.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/error.hpp"
#include "engine/faults/variants.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using kernels::Attested;
using kernels::hip_check;

namespace {

bool any(const std::vector<const Fault*>& faults, std::string_view name, std::string_view value = {}) {
  return std::any_of(faults.begin(), faults.end(), [&](const Fault* f) {
    return f->is(name) && (value.empty() || f->cause->value == value);
  });
}

constexpr Stage kInside[] = {Stage::qk, Stage::softmax, Stage::pv};  // fused attention

int64_t heads_of(Stage stage, const Config& c) {
  return info(stage).axes.find("Hkv") != std::string_view::npos ? c.kv_heads : c.heads;
}

}  // namespace

FaultyLauncher::FaultyLauncher(hipStream_t stream, kernels::Tuning tuning, std::vector<Fault> faults,
                               const Config& config, const Weights& weights, const Cache& cache,
                               std::vector<float> frequencies_of_base_10000,
                               decltype(Settings::on_strike) on_strike)
    : Launcher(stream, tuning),
      faults_(std::move(faults)),
      on_strike_(std::move(on_strike)),
      config_(config),
      weights_(weights),
      cache_(cache),
      base_10000_(frequencies_of_base_10000) {
  for (const Fault& fault : faults_) {
    if (fault.layer && *fault.layer >= config.layers)
      fail_usage("fault '{}': the model has layers 0 to {}", fault.text, config.layers - 1);
    for (const Stage stage : fault.stages)
      if (fault.head && *fault.head >= heads_of(stage, config))
        fail_usage("fault '{}': stage {} has heads 0 to {}", fault.text, name_of(stage),
                   heads_of(stage, config) - 1);
  }
}

FaultyLauncher::~FaultyLauncher() = default;

FaultyLauncher::Struck FaultyLauncher::struck(const Site& site) const {
  Struck out;
  for (const Fault& fault : faults_)
    if (fault.strikes(site) && matters(fault, site)) out.push_back(&fault);
  if (!out.empty() && on_strike_) on_strike_(site.stage, site.layer, site.start, site.S);
  return out;
}

bool FaultyLauncher::matters(const Fault& fault, const Site& site) const {
  const bool at_start_only = site.start == 0 && site.S == 1;  // RoPE turns position 0 by nothing
  if (fault.is("window")) return site.T > 64;
  if (fault.is("mask", "left_out") || fault.is("mask", "one_ahead")) return site.S > 1;
  if (fault.is("rope_position")) return true;
  if (fault.is("rope_base")) return !at_start_only && config_.rope_base != 10000;
  if (fault.cause->name.starts_with("rope")) return !at_start_only;
  if (fault.is("kv_head")) return config_.kv_heads > 1 && config_.heads > config_.kv_heads;
  if (fault.is("layer_base")) return site.layer > 0;
  if (fault.is("cache_layout") || fault.is("cache_row", "stale")) return site.T > 1;
  if (fault.is("weight_layer")) return config_.layers > 1;
  if (fault.is("tile_store")) return site.S >= 16;
  if (fault.is("tail", "rows_left_out")) return site.S % 16 != 0;
  if (fault.is("logits_row")) return site.S > 1;
  if (fault.is("norm_eps", "1e-6")) return config_.norm_eps != 1e-6f;
  return true;
}

float* FaultyLauncher::scratch(const std::string& name, int64_t floats) {
  Floats& buffer = scratch_[name];
  if (buffer.size() < static_cast<size_t>(floats)) {
    hip_check(hipStreamSynchronize(stream_), "hipStreamSynchronize");  // the old one may be in use
    buffer = Floats(static_cast<size_t>(floats));
  }
  return buffer.data();
}

const float* FaultyLauncher::as_f32(const std::string& name, const void* cache, kernels::CacheType type,
                                    int64_t rows, int64_t width) {
  if (type == kernels::CacheType::f32) return static_cast<const float*>(cache);
  float* const out = scratch(name, rows * width);
  const auto packed = type == kernels::CacheType::f16 ? kernels::WeightType::f16 : kernels::WeightType::bf16;
  kernels::dequant(stream_, {cache, packed, rows, width}, out);
  return out;
}

const float* FaultyLauncher::rounded(const std::string& name, const float* x, kernels::Operand operand,
                                     int64_t rows, int64_t width) {
  const auto type = operand == kernels::Operand::f16 ? kernels::CacheType::f16 : kernels::CacheType::bf16;
  float* const halves = scratch(name + " halves", rows * width);
  kernels::kv_write(stream_, x, rows, width, 0, halves, type);
  return as_f32(name, halves, type, rows, width);
}

template <typename Right, typename Wrong>
Attested FaultyLauncher::instead(const Site& site, const Struck& faults, float* out, Right&& right,
                                 Wrong&& wrong) {
  const Attested ran = right();
  std::optional<int> head;
  for (const Fault* fault : faults) head = fault->head ? fault->head : head;
  if (!head) {
    wrong();
    return ran;
  }
  const int64_t heads = heads_of(site.stage, config_);
  const int64_t width = site.stage == Stage::qk || site.stage == Stage::softmax ? site.T : config_.head_dim;
  const int64_t columns = heads * width;
  float* kept = scratch("kept", site.S * columns);
  hip_check(hipMemcpyAsync(kept, out, static_cast<size_t>(site.S * columns) * sizeof(float),
                           hipMemcpyDeviceToDevice, stream_),
            "hipMemcpyAsync");
  wrong();
  for (int64_t h = 0; h < heads; ++h)
    if (h != *head) variants::copy_columns(stream_, kept, site.S, columns, h * width, width, out);
  return ran;
}

const LoadedWeight* FaultyLauncher::replaced(const Site& site, const Fault& fault,
                                             const LoadedWeight* w) const {
  const auto of_layer = [&](int64_t layer) {
    const LayerWeights& l = weights_.layers[static_cast<size_t>((layer + config_.layers) % config_.layers)];
    switch (site.stage) {
      case Stage::attn_norm:
        return l.attn_norm;
      case Stage::q:
        return l.q;
      case Stage::k:
        return l.k;
      case Stage::v:
        return l.v;
      case Stage::wo:
        return l.wo;
      case Stage::ffn_norm:
        return l.ffn_norm;
      case Stage::ffn_gate:
        return l.gate;
      case Stage::ffn_up:
        return l.up;
      case Stage::ffn_down:
        return l.down;
      default:
        return w;
    }
  };
  if (fault.is("weight_layer", "next")) return of_layer(site.layer + 1);
  if (fault.is("weight_layer", "previous")) return of_layer(site.layer - 1);
  if (site.layer < 0) return w;
  const LayerWeights& l = weights_.layers[static_cast<size_t>(site.layer)];
  if (fault.is("kv_weights", "swapped")) return site.stage == Stage::k ? l.v : l.k;
  if (fault.is("gate_up_weights", "swapped")) return site.stage == Stage::ffn_gate ? l.up : l.gate;
  return w;
}

const LoadedWeight* FaultyLauncher::varied(const Struck& faults, const LoadedWeight* w) {
  const bool by_column = any(faults, "weight_layout", "col"),
             short_sum = any(faults, "tail", "terms_left_out"), plain = any(faults, "half_sum");
  if (!by_column && !short_sum && !plain) return w;
  auto& kept = varied_[fmt::format("{} {} {}", w->name, by_column, short_sum)];
  if (kept) return kept.get();
  const int64_t N = w->view.rows, K = w->view.columns;
  kept = std::make_unique<LoadedWeight>();
  kept->name = w->name;
  kept->storage = kernels::DeviceBuffer<std::byte>(static_cast<size_t>(N * K) * sizeof(float));
  auto* values = reinterpret_cast<float*>(kept->storage.data());
  if (by_column) {
    Floats flat(static_cast<size_t>(N * K));
    kernels::dequant(stream_, w->view, flat.data());
    variants::read_by_column(stream_, flat.data(), N, K, values);
    hip_check(hipStreamSynchronize(stream_), "hipStreamSynchronize");
  } else {
    kernels::dequant(stream_, w->view, values);
  }
  if (short_sum) variants::zero_columns(stream_, values, N, K, K - 16);
  kept->view = {values, kernels::WeightType::f32, N, K};
  return kept.get();
}

Attested FaultyLauncher::embed(const Site& site, EmbedCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::embed(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::embed(site, c); },
      [&] {
        if (any(faults, "embed_token", "next")) {
          if (tokens_.size() < static_cast<size_t>(c.S)) {
            hip_check(hipStreamSynchronize(stream_), "hipStreamSynchronize");
            tokens_ = kernels::DeviceBuffer<int32_t>(static_cast<size_t>(c.S));
          }
          variants::shift(stream_, c.tokens, c.S, 1, static_cast<int32_t>(config_.vocabulary),
                          tokens_.data());
          c.tokens = tokens_.data();
        }
        c.table = varied(faults, c.table);
        if (any(faults, "embed_row", "zeroed"))
          hip_check(
              hipMemsetAsync(c.out, 0, static_cast<size_t>(c.S * config_.embedding) * sizeof(float), stream_),
              "hipMemsetAsync");
        else
          Launcher::embed(site, c);
      });
}

Attested FaultyLauncher::norm(const Site& site, NormCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::norm(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::norm(site, c); },
      [&] {
        for (const Fault* fault : faults) c.weight = replaced(site, *fault, c.weight);
        const float* weight = c.weight->f32();
        if (any(faults, "norm_weight")) {
          float* other = scratch("norm weight", c.columns);
          variants::affine(stream_, any(faults, "norm_weight", "plus_one") ? 1 : 0, weight, 1, c.columns,
                           other);
          weight = other;
        }
        if (any(faults, "norm_eps", "left_out")) c.eps = 0;
        if (any(faults, "norm_eps", "1e-6")) c.eps = 1e-6f;
        if (any(faults, "barrier"))
          return variants::norm_without_barrier(stream_, c.x, weight, c.rows, c.columns, c.eps, c.out);
        variants::norm(stream_,
                       {.subtract_mean = any(faults, "norm_mean"),
                        .eps_outside = any(faults, "norm_eps", "outside_root"),
                        .eps = c.eps},
                       c.x, weight, c.rows, c.columns, c.out);
      });
}

Attested FaultyLauncher::product(const Site& site, ProductCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::product(site, c);
  const int64_t N = c.w->view.rows, K = c.w->view.columns;
  std::string contract;
  Attested ran = instead(
      site, faults, c.out, [&] { return Launcher::product(site, c); },
      [&] {
        for (const Fault* fault : faults) c.w = replaced(site, *fault, c.w);
        c.w = varied(faults, c.w);
        if (any(faults, "logits_row") && c.rows > 1) {
          float* moved = scratch("rows", c.rows * K);
          const size_t row = static_cast<size_t>(K) * sizeof(float);
          hip_check(hipMemcpyAsync(moved, c.x, row, hipMemcpyDeviceToDevice, stream_), "hipMemcpyAsync");
          hip_check(hipMemcpyAsync(moved + K, c.x, static_cast<size_t>(c.rows - 1) * row,
                                   hipMemcpyDeviceToDevice, stream_),
                    "hipMemcpyAsync");
          c.x = moved;
        }
        // What the accumulation is said to be must be what it was: other packings have other chains.
        if (any(faults, "half_sum"))
          variants::half_sum(stream_, reinterpret_cast<const float*>(c.w->view.data), N, K, c.x, c.rows,
                             c.route.unit == kernels::Unit::mfma, c.out);
        else
          contract = Launcher::product(site, c).contract;
        if (any(faults, "head_scale"))
          variants::scale_heads(stream_, c.out, c.rows, N / config_.head_dim, config_.head_dim);
        if (any(faults, "tile_store")) variants::transpose_tiles(stream_, c.out, c.rows, N);
        if (any(faults, "tail", "rows_left_out")) {
          const int64_t whole = c.rows / 16 * 16;
          if (whole < c.rows)
            hip_check(hipMemsetAsync(c.out + whole * N, 0xFF,
                                     static_cast<size_t>((c.rows - whole) * N) * sizeof(float), stream_),
                      "hipMemsetAsync");
        }
      });
  if (!contract.empty()) ran.contract = contract;
  return ran;
}

Attested FaultyLauncher::rope(const Site& site, RopeCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::rope(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::rope(site, c); },
      [&] {
        if (any(faults, "rope_base")) c.frequency = base_10000_.data();
        variants::Rope how{.halves = any(faults, "rope_pairs")};
        how.shift = any(faults, "rope_position", "+1") - any(faults, "rope_position", "-1");
        how.turns = any(faults, "rope", "left_out") ? 0 : any(faults, "rope", "twice") ? 2 : 1;
        if (any(faults, "rope_direction")) how.turns = -how.turns;
        variants::rope(stream_, how, c.x, c.frequency, c.positions, c.S, c.heads, c.head_dim, c.rope_dims,
                       c.out);
      });
}

Attested FaultyLauncher::write_cache(const Site& site, CacheCall& c) {
  const Attested ran = Launcher::write_cache(site, c);
  const Struck faults = struck(site);
  if (faults.empty()) return ran;
  const bool keys = site.stage == Stage::k_cache;
  if (any(faults, "layer_base")) c.read = (keys ? cache_.keys : cache_.values).front().data();
  const int64_t W = c.width, T = site.T, start = c.start;
  const auto row_bytes = static_cast<size_t>(W * bytes_of(c.type));
  const auto* from = static_cast<const std::byte*>(c.read);
  auto* seen = reinterpret_cast<std::byte*>(scratch(keys ? "keys" : "values", T * W));
  const auto rows = [&](int64_t to, int64_t first, int64_t count) {
    if (count > 0)
      hip_check(hipMemcpyAsync(seen + static_cast<size_t>(to) * row_bytes,
                               from + static_cast<size_t>(first) * row_bytes,
                               static_cast<size_t>(count) * row_bytes, hipMemcpyDeviceToDevice, stream_),
                "hipMemcpyAsync");
  };
  const auto unwritten = [&](int64_t row) {
    hip_check(hipMemsetAsync(seen + static_cast<size_t>(row) * row_bytes, 0xFF, row_bytes, stream_),
              "hipMemsetAsync");
  };
  if (any(faults, "cache_layout")) {
    const float* flat = as_f32("flat cache", c.read, c.type, T, W);
    float* turned = scratch("turned cache", T * W);
    variants::read_by_column(stream_, flat, T, W, turned);
    kernels::kv_write(stream_, turned, T, W, 0, seen, c.type);  // exact: the values have that type
  } else if (any(faults, "cache_row") || any(faults, "cache_position")) {
    rows(0, 0, T);
    if (any(faults, "cache_row", "stale") && T > 1) rows(T - 1, T - 2, 1);
    if (any(faults, "cache_row", "never_written")) unwritten(T - 1);
    if (any(faults, "cache_position", "+1")) {
      rows(start + 1, start, c.S - 1);
      unwritten(start);
    }
    if (any(faults, "cache_position", "-1")) {
      rows(std::max<int64_t>(start - 1, 0), start > 0 ? start : 1, start > 0 ? c.S : c.S - 1);
      unwritten(T - 1);
    }
  } else {
    return ran;
  }
  c.read = seen;
  return ran;
}

Attested FaultyLauncher::scores(const Site& site, ScoresCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::scores(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::scores(site, c); },
      [&] {
        variants::Scores how{.head_modulo = any(faults, "kv_head")};
        how.scale_power = any(faults, "qk_scale", "left_out")  ? 0
                          : any(faults, "qk_scale", "squared") ? 2
                                                               : 1;
        how.mask_shift = any(faults, "mask", "one_ahead") - any(faults, "mask", "one_behind");
        how.mask = !any(faults, "mask", "left_out");
        how.window = any(faults, "window") ? 64 : 0;
        const float* k = as_f32("k as f32", c.k_cache, c.type, site.T, c.Hkv * c.Dh);
        variants::scores(stream_, how, c.q, k, c.S, c.start, c.H, c.Hkv, c.Dh, c.out);
      });
}

Attested FaultyLauncher::softmax(const Site& site, SoftmaxCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::softmax(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::softmax(site, c); },
      [&] {
        variants::softmax(stream_,
                          {.base_two = any(faults, "softmax_base"),
                           .keep_max = any(faults, "softmax_max"),
                           .one_short = any(faults, "softmax_sum")},
                          c.scores, c.rows, c.columns, c.out);
      });
}

Attested FaultyLauncher::values(const Site& site, ValuesCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::values(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::values(site, c); },
      [&] {
        const float* v = as_f32("v as f32", c.v_cache, c.type, c.T, c.Hkv * c.Dh);
        variants::values(stream_,
                         {.head_modulo = any(faults, "kv_head"), .window = any(faults, "window") ? 64 : 0},
                         c.p, v, c.S, c.T, c.H, c.Hkv, c.Dh, c.out);
      });
}

// What is fused cannot be struck in between: where a fault does, attention is put together of its stages, on
// operands that are rounded as the fused kernel rounds them.
Attested FaultyLauncher::attend(const Site& site, AttendCall c) {
  const Attested ran = Launcher::attend(site, c);
  const auto at = [&](Stage stage) {
    Site of = site;
    of.stage = stage;
    return of;
  };
  const bool strikes = std::any_of(faults_.begin(), faults_.end(), [&](const Fault& fault) {
    return std::any_of(std::begin(kInside), std::end(kInside),
                       [&](Stage stage) { return fault.strikes(at(stage)) && matters(fault, at(stage)); });
  });
  if (!strikes) return ran;
  const int64_t width = c.Hkv * c.Dh;
  const float *q = c.q, *k = as_f32("fused k", c.k_cache, c.type, site.T, width),
              *v = as_f32("fused v", c.v_cache, c.type, site.T, width);
  if (c.S > 1) {
    q = rounded("fused q rounded", q, c.operand, c.S, c.H * c.Dh);
    k = rounded("fused k rounded", k, c.operand, site.T, width);
    v = rounded("fused v rounded", v, c.operand, site.T, width);
  }
  float* const raw = scratch("fused scores", c.S * c.H * site.T);
  float* const weights = scratch("fused weights", c.S * c.H * site.T);
  constexpr auto f32 = kernels::CacheType::f32;
  scores(at(Stage::qk), {q, k, f32, c.S, c.start, c.H, c.Hkv, c.Dh, raw});
  softmax(at(Stage::softmax), {raw, c.S * c.H, site.T, weights});
  values(at(Stage::pv), {weights, v, f32, c.S, site.T, c.H, c.Hkv, c.Dh, c.out});
  return ran;
}

Attested FaultyLauncher::add(const Site& site, AddCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::add(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::add(site, c); },
      [&] {
        if (any(faults, "residual", "twice"))
          variants::add(stream_, 2, c.stream, 1, c.branch, c.count, c.out);
        else
          variants::affine(stream_, 1, any(faults, "residual", "left_out") ? c.branch : c.stream, 0, c.count,
                           c.out);
      });
}

Attested FaultyLauncher::gate(const Site& site, GateCall c) {
  const Struck faults = struck(site);
  if (faults.empty()) return Launcher::gate(site, c);
  return instead(
      site, faults, c.out, [&] { return Launcher::gate(site, c); },
      [&] {
        if (any(faults, "gate_up")) std::swap(c.gate, c.up);
        using variants::Activation;
        variants::gate(stream_,
                       any(faults, "activation", "gelu")        ? Activation::gelu
                       : any(faults, "activation", "gelu_tanh") ? Activation::gelu_tanh
                                                                : Activation::silu,
                       c.gate, c.up, c.count, c.out);
      });
}

bool FaultyLauncher::awaits_logits() const {
  return std::none_of(faults_.begin(), faults_.end(), [](const Fault& f) { return f.is("host_copy"); });
}

}  // namespace greta::engine::inline GRETA_MACHINE
