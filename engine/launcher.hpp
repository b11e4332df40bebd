// How a stage's kernel is launched: a plain struct of parameters an operation, and one virtual function each.
// The engine launches what it is told; the fault catalogue (faults/) changes a parameter, a buffer or the
// kernel on the way. The kernels themselves hold no fault code.
#pragma once

#include <cstdint>

#include "engine/site.hpp"
#include "engine/weights.hpp"
#include "kernels/kernels.hpp"

namespace greta::engine::inline GRETA_MACHINE {

// All pointers are device memory; sizes and layouts as in kernels/kernels.hpp.
struct EmbedCall {
  const LoadedWeight* table;
  const int32_t* tokens;
  int64_t S;
  float* out;
};
struct NormCall {
  const float* x;
  const LoadedWeight* weight;
  int64_t rows, columns;
  float eps;
  float* out;
};
struct ProductCall {
  kernels::Route route;
  const LoadedWeight* w;
  const float* x;
  int64_t rows;
  float* out;
};
struct RopeCall {
  const float* x;
  const float* frequency;
  const int32_t* positions;
  int64_t S, heads, head_dim, rope_dims;
  float* out;
};
struct CacheCall {
  const float* rows;
  int64_t S, width, start;
  kernels::CacheType type;
  void* cache;       // this layer's
  const void* read;  // what attention will read afterwards
};
struct ScoresCall {
  const float* q;
  const void* k_cache;
  kernels::CacheType type;
  int64_t S, start, H, Hkv, Dh;
  float* out;
};
struct SoftmaxCall {
  const float* scores;
  int64_t rows, columns;
  float* out;
};
struct ValuesCall {
  const float* p;
  const void* v_cache;
  kernels::CacheType type;
  int64_t S, T, H, Hkv, Dh;
  float* out;
};
// qk, softmax and pv at once. One row: split along the cache, with positions and the workspace.
struct AttendCall {
  const float* q;
  const void *k_cache, *v_cache;
  kernels::CacheType type;
  kernels::Tuning tuning;
  kernels::Operand operand;
  kernels::Unit decode_unit;  // of a call of one row
  int64_t S, start, H, Hkv, Dh;
  const int32_t* positions;
  int64_t capacity;
  float* workspace;
  float* out;
};
struct AddCall {
  const float *stream, *branch;
  int64_t count;
  float* out;
};
struct GateCall {
  const float *gate, *up;
  int64_t count;
  float* out;
};

class Launcher {
 public:
  Launcher(hipStream_t stream, kernels::Tuning tuning) : stream_(stream), tuning_(tuning) {}
  virtual ~Launcher() = default;

  virtual kernels::Attested embed(const Site&, EmbedCall);
  virtual kernels::Attested norm(const Site&, NormCall);
  virtual kernels::Attested product(const Site&, ProductCall);
  virtual kernels::Attested rope(const Site&, RopeCall);
  virtual kernels::Attested write_cache(const Site&, CacheCall&);
  virtual kernels::Attested scores(const Site&, ScoresCall);
  virtual kernels::Attested softmax(const Site&, SoftmaxCall);
  virtual kernels::Attested values(const Site&, ValuesCall);
  virtual kernels::Attested attend(const Site&, AttendCall);
  virtual kernels::Attested add(const Site&, AddCall);
  virtual kernels::Attested gate(const Site&, GateCall);
  // Whether the caller waits for the copy of the logits before it reads them.
  virtual bool awaits_logits() const { return true; }

 protected:
  hipStream_t stream_;
  kernels::Tuning tuning_;  // of the kernels that have no route
};

}  // namespace greta::engine::inline GRETA_MACHINE
