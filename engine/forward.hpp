// One forward pass: the chain of kernels from token ids to logits, each output poisoned before and tapped
// after its kernel. forward.cpp has the pass a kernel a stage; forward_fused.cpp has calls of one row with a
// kernel for several.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/config.hpp"
#include "engine/engine.hpp"
#include "engine/launcher.hpp"
#include "engine/modes.hpp"
#include "engine/tap.hpp"
#include "engine/weights.hpp"
#include "kernels/hip/checked.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using Floats = kernels::DeviceBuffer<float>;

// Keys and values of every position so far, one pair of [context, Hkv, Dh] buffers a layer.
struct Cache {
  std::vector<kernels::DeviceBuffer<std::byte>> keys, values;
  kernels::CacheType type = kernels::CacheType::f32;
  int length = 0;
};

// Outputs of one call that are not tapped, a buffer a stage; grown when a call is larger than any before it.
struct Workspace {
  std::array<Floats, kStageCount> outputs;
  kernels::DeviceBuffer<int32_t> ids;                                       // tokens, then their positions
  kernels::PinnedBuffer<int32_t> top1 = kernels::PinnedBuffer<int32_t>(1);  // the device writes it there
  kernels::DeviceBuffer<uint64_t> argmax_keys =
      kernels::DeviceBuffer<uint64_t>(static_cast<size_t>(kernels::kArgmaxBlocks));
  Floats parts;  // of split attention
  kernels::PinnedBuffer<int32_t> host_ids;
  int growths = 0;  // a captured graph holds addresses: it lasts as long as they do

  float* output(Stage, int64_t floats);
  float* attention_parts(int64_t floats);
  void reserve_ids(int64_t rows);
};

// What all passes of an engine share; it outlives them.
struct PassContext {
  const Config& config;
  const Settings& settings;
  const Modes& modes;
  const Weights& weights;
  const Floats& frequencies;
  Cache& cache;
  Workspace& workspace;
  hipStream_t stream;
  Launcher& launcher;
  TapDelivery& delivery;
};

class ForwardPass {
 public:
  // Stands behind what the cache holds. `tokens` and `taps` outlive the pass.
  ForwardPass(const PassContext&, const Taps& taps, std::span<const int32_t> tokens, LogitRows);
  // Tokens and positions to where upload() finds them, also that of a captured graph.
  void name_rows();
  // Tokens and positions to the device.
  void upload();
  // Enqueues the kernels; neither allocates nor waits once a pass of the same sizes has run (reserve()).
  void enqueue();
  // Whatever an untapped pass of one row needs, so that it can be captured.
  void reserve();
  // The last row's logits, after enqueue().
  const float* last_logits() const { return logits_ + (logit_rows_ - 1) * c_.vocabulary; }
  // What its taps take.
  TapDelivery::Call tapped_call() const;
  // The positions that attention over a cache of T is sized for: few sizes, so that few graphs are captured.
  static int64_t capacity(int64_t T);

 private:
  using Stages = std::span<const Stage>;
  int64_t section_bytes(Stages, int layer) const;
  template <typename Enqueue>
  void section(Stages, int layer, Enqueue&&);

  void embed();
  void layer(int index);
  void attention(int index);
  float* attend(int index, const float* q, const float* k, const float* v);  // from RoPE to attn_out
  float* unfused_attention(int index, const float* q, const void* keys, const void* values);
  float* fused_attention(int index, const float* q, const void* keys, const void* values);
  float* attention_workspace();
  void feed_forward(int index);
  void head();
  // forward_fused.cpp: one row.
  kernels::Unit fused_unit() const;
  void fused_layer(int index);
  void fused_attention_block(int index);
  const float* rope_attention(int index, const float* q, const float* k, const float* v);
  void fused_feed_forward(int index);
  void fused_head();

  std::vector<int64_t> shape(Stage) const;
  int64_t floats(Stage) const;
  Site site(Stage stage, int layer) const { return {stage, layer, S_, T_, start_}; }
  bool tapped(Stage, int layer) const;
  // Where the stage's kernel writes: memory of its own where it is tapped, poisoned.
  float* output(Stage, int layer);
  float* optional_output(Stage, int layer);  // null where it is not tapped
  // Output, run, tap: the life of every stage.
  template <typename Launch>
  float* run(Stage stage, int layer, Launch&& launch);
  void tap(Stage stage, int layer, const void* data, const kernels::Attested& ran);
  float* norm(Stage, int layer, const float* x, const LoadedWeight& weight, int64_t rows);
  float* product(Stage, int layer, const LoadedWeight& w, const float* x, int64_t rows);
  float* rope(Stage, int layer, const float* x, int64_t heads);
  float* add(Stage, int layer, const float* stream, const float* branch);
  // Returns what attention reads.
  const void* write_cache(Stage, int layer, const float* rows, void* cache);
  void tap_cache(Stage, int layer, const void* own, const void* read, const kernels::Attested& ran);

  const PassContext& context_;
  const Config& c_;
  const Modes& modes_;
  Workspace& ws_;
  hipStream_t stream_;
  Launcher& launcher_;
  const Taps& taps_;
  TapDelivery& delivery_;
  std::span<const int32_t> tokens_;
  bool any_tap_, poison_;
  int64_t start_, S_, T_, logit_rows_;
  std::vector<int32_t> positions_, cache_positions_;
  const int32_t *device_tokens_ = nullptr, *device_positions_ = nullptr;
  float *x_ = nullptr, *logits_ = nullptr;  // the residual stream; what the head left
};

}  // namespace greta::engine::inline GRETA_MACHINE
