// What the settings come to on this machine and for this model: "auto" is decided here, once.
#pragma once

#include "engine/config.hpp"
#include "engine/engine.hpp"
#include "kernels/kernels.hpp"

namespace greta::engine::inline GRETA_MACHINE {

struct Modes {
  bool fused_attention = false;
  bool fused_kernels = false;  // calls of one row
  bool graph = false;          // calls of one row without taps
  bool poisons_untapped = true;
  kernels::Tuning tuning = kernels::native_tuning();
  kernels::Operand operand = kernels::Operand::f16;
  kernels::CacheType cache = kernels::CacheType::f32;
  kernels::Unit decode_unit = kernels::Unit::valu;  // of fused attention, one row
};

// Error (usage): settings that exclude each other, or that this machine or model has no place for, each with
// what to do.
Modes resolve(const Settings&, const Config&);

kernels::CacheType cache_type(DType);
int64_t bytes_of(kernels::CacheType);

}  // namespace greta::engine::inline GRETA_MACHINE
