#include "engine/modes.hpp"

#include "datasets/error.hpp"
#include "kernels/hip/graph.hpp"

namespace greta::engine::inline GRETA_MACHINE {
namespace {

#if defined(GRETA_HIP_HOST)
constexpr bool kOnCard = false;
#else
constexpr bool kOnCard = true;
#endif

// What attention_prefill takes.
constexpr int64_t kHeadMultiple = 16, kMostHeadDim = 256;

// The fused kernels multiply a row at a time, on the vector units.
bool forces_another_route(const Settings& s) { return s.unit == Unit::mfma || s.shape == Shape::gemm; }

bool fuses_kernels(const Settings& s) {
  if (s.fusion != Toggle::on)
    return s.fusion == Toggle::automatic && kOnCard && s.faults.empty() && !forces_another_route(s);
  if (!s.faults.empty())
    fail_usage("fusion=on: a fault ({}) is planted between the kernels that it would fuse; leave it to auto",
               s.faults.front());
  if (forces_another_route(s))
    fail_usage(
        "fusion=on: the fused kernels run unit=valu shape=gemv; leave unit and shape to auto, or fusion");
  return true;
}

// Of one row: where the caches already hold what the matrix unit is to multiply.
bool attends_through_unit(const Settings& s) {
  return s.unit != Unit::valu && s.kv == (s.operand == Operand::bf16 ? DType::bf16 : DType::f16);
}

bool launches_graphs(const Settings& s, const Modes& modes) {
  const bool possible = kernels::Graph::kAvailable && modes.fused_attention && modes.fused_kernels;
  if (s.graph != Toggle::on) return s.graph == Toggle::automatic && possible;
  if (!kernels::Graph::kAvailable)
    fail_usage("graph=on: the host machine captures no graphs; use --device hip, or leave it to auto");
  if (!possible)
    fail_usage(
        "graph=on needs attention=fused and fused kernels (fusion=auto or on, no fault): others take the "
        "position as a number, which a graph would repeat");
  return true;
}

}  // namespace

kernels::CacheType cache_type(DType type) {
  switch (type) {
    case DType::f32:
      return kernels::CacheType::f32;
    case DType::f16:
      return kernels::CacheType::f16;
    case DType::bf16:
      return kernels::CacheType::bf16;
    case DType::f64:
      break;
  }
  fail_internal("the KV cache holds no values of type {}", name_of(type));
}

int64_t bytes_of(kernels::CacheType type) { return type == kernels::CacheType::f32 ? 4 : 2; }

Modes resolve(const Settings& s, const Config& c) {
  Modes modes;
  modes.fused_attention = s.attention == Attention::fused;
  if (modes.fused_attention && (c.head_dim % kHeadMultiple != 0 || c.head_dim > kMostHeadDim))
    fail_usage(
        "attention=fused takes heads of a multiple of {} values up to {}, and this model's have {}; use "
        "attention=unfused",
        kHeadMultiple, kMostHeadDim, c.head_dim);
  if (kOnCard && s.matrix_unit != "ieee")
    fail_usage("matrix_unit={} is for the host machine: a card's matrix unit is its own", s.matrix_unit);
  modes.fused_kernels = fuses_kernels(s);
  modes.graph = launches_graphs(s, modes);
  modes.poisons_untapped = !kOnCard;
  if (s.tuning != Tuning::automatic)
    modes.tuning = s.tuning == Tuning::wide ? kernels::Tuning::wide : kernels::Tuning::plain;
  modes.operand = s.operand == Operand::bf16 ? kernels::Operand::bf16 : kernels::Operand::f16;
  modes.cache = cache_type(s.kv);
  modes.decode_unit = attends_through_unit(s) ? kernels::Unit::mfma : kernels::Unit::valu;
  return modes;
}

}  // namespace greta::engine::inline GRETA_MACHINE
