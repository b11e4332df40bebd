// One forward pass: the chain of kernels from token ids to logits, each output poisoned before and tapped
// after its kernel.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/config.hpp"
#include "engine/engine.hpp"
#include "engine/launcher.hpp"
#include "engine/tap.hpp"
#include "engine/weights.hpp"
#include "kernels/hip/checked.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using Floats = kernels::DeviceBuffer<float>;

// Keys and values of every position so far, one pair of [context, Hkv, Dh] buffers a layer.
struct Cache {
  std::vector<Floats> keys, values;
  int length = 0;
};

// Activations of one call; grown when a call is larger than any before it.
struct Workspace {
  int64_t rows = 0, positions = 0;  // capacity, in S and in T
  kernels::DeviceBuffer<int32_t> tokens, token_positions, top1;
  Floats x, norm, q, k, v, q_rope, k_rope, scores, weights, pv, wo, residual, gate, up, act, down, logits;
};

class ForwardPass {
 public:
  // The references outlive the pass. `start` is where the tokens' positions begin.
  ForwardPass(const Config&, const Settings&, const Weights&, const Floats& frequencies, Cache&, Workspace&,
              hipStream_t, Launcher&, const Taps&, TapDelivery&, std::span<const int32_t> tokens, LogitRows);
  // Enqueues the whole pass; the stream is not synchronised.
  void enqueue();
  // Row of last_logits in the logits buffer.
  int64_t last_row() const { return logit_rows_ - 1; }

 private:
  void upload();
  void attention(int index);
  void feed_forward(int index);
  void head();

  std::vector<int64_t> shape(Stage) const;
  Site site(Stage stage, int layer) const { return {stage, layer, S_, T_, start_}; }
  // Poison the output, run, tap: the life of every stage.
  template <typename Launch>
  void run(Stage stage, int layer, const Floats& out, Launch&& launch);
  void tap(Stage stage, int layer, const float* data, const kernels::Attested& ran);
  void norm(Stage, int layer, const float* x, const LoadedWeight& weight, int64_t rows);
  void add(Stage, int layer, const Floats& stream, const Floats& branch, const Floats& out);
  kernels::Attested product(const Site&, const LoadedWeight& w, const float* x, int64_t rows,
                            const Floats& out);
  // Returns what attention reads.
  const float* write_cache(Stage, int layer, const Floats& rows, const Floats& cache);

  const Config& c_;
  const Settings& settings_;
  const Weights& weights_;
  const Floats& frequencies_;
  Cache& cache_;
  Workspace& ws_;
  hipStream_t stream_;
  Launcher& launcher_;
  const Taps& taps_;
  TapDelivery& delivery_;
  std::span<const int32_t> tokens_;
  int64_t start_, S_, T_, logit_rows_;
  std::vector<int32_t> positions_, cache_positions_;
};

void reserve(Workspace&, const Config&, int64_t rows, int64_t positions, int64_t logit_rows);

}  // namespace greta::engine::inline GRETA_MACHINE
