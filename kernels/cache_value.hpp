// What the KV cache holds: its values in and out of f32, 8 neighbours at a time where they are aligned, and
// the choice of a kernel by the cache's type.
#pragma once

#include <cstring>
#include <string>

#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

template <CacheType C>
struct CacheValue {
  using Stored = half_bits;
  __device__ static __forceinline__ float to_f32(Stored bits) {
    return C == CacheType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
  }
  __device__ static __forceinline__ Stored from_f32(float value) {
    return C == CacheType::f16 ? f32_to_f16_rn(value) : f32_to_bf16_rn(value);
  }
};
template <>
struct CacheValue<CacheType::f32> {
  using Stored = float;
  __device__ static __forceinline__ float to_f32(float value) { return value; }
  __device__ static __forceinline__ float from_f32(float value) { return value; }
};

// 8 values as they lie in memory, so that many loads can be under way before the first is needed. `from`:
// aligned to 16 bytes.
template <CacheType C>
struct CacheRun {
  static constexpr int kValues = 8;
  using Stored = typename CacheValue<C>::Stored;
  uint4 bits[kValues * sizeof(Stored) / sizeof(uint4)];

  __device__ __forceinline__ void load(const Stored* from) {
    const uint4* const at = reinterpret_cast<const uint4*>(from);
    for (int i = 0; i < static_cast<int>(kValues * sizeof(Stored) / sizeof(uint4)); ++i) bits[i] = at[i];
  }
  __device__ __forceinline__ void clear() {
    for (uint4& part : bits) part = make_uint4(0, 0, 0, 0);
  }
  __device__ __forceinline__ void to_f32(float (&values)[kValues]) const {
    Stored stored[kValues];
    memcpy(stored, bits, sizeof(stored));
    for (int i = 0; i < kValues; ++i) values[i] = CacheValue<C>::to_f32(stored[i]);
  }
  __device__ __forceinline__ void from_f32(const float (&values)[kValues]) {
    Stored stored[kValues];
    for (int i = 0; i < kValues; ++i) stored[i] = CacheValue<C>::from_f32(values[i]);
    memcpy(bits, stored, sizeof(stored));
  }
};

inline const char* cache_name(CacheType type) {
  switch (type) {
    case CacheType::f32:
      return "f32";
    case CacheType::f16:
      return "f16";
    case CacheType::bf16:
      return "bf16";
  }
  throw LaunchError("CacheType " + std::to_string(static_cast<int>(type)) + " is none of f32, f16, bf16");
}

// f.template operator()<C>() for the type at hand.
template <typename F>
decltype(auto) with_cache_type(CacheType type, F&& f) {
  switch (type) {
    case CacheType::f32:
      return f.template operator()<CacheType::f32>();
    case CacheType::f16:
      return f.template operator()<CacheType::f16>();
    case CacheType::bf16:
      return f.template operator()<CacheType::bf16>();
  }
  throw LaunchError("CacheType " + std::to_string(static_cast<int>(type)) + " is none of f32, f16, bf16");
}

// Moving to f32 changes no bit; moving to f16 or bf16 rounds to nearest even.
inline std::string copy_contract(CacheType type) {
  return type == CacheType::f32 ? "op=copy" : std::string("op=copy out=") + cache_name(type);
}

inline void require_groups(int64_t H, int64_t Hkv, const char* op, const char* what) {
  require(Hkv > 0 && H > 0 && H % Hkv == 0, op,
          std::to_string(H) + " heads do not share " + std::to_string(Hkv) + " " + what + " heads evenly");
}

}  // namespace greta::kernels::inline GRETA_MACHINE
