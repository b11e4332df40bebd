// TEMPORARY, on this branch alone: simple stand-ins for the kernels that other branches bring.
#include <cmath>
#include <vector>

#include "kernels/hip/checked.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

struct Cached {
  const void* data;
  CacheType type;
  float operator[](int64_t i) const {
    if (type == CacheType::f32) return static_cast<const float*>(data)[i];
    const uint16_t bits = static_cast<const uint16_t*>(data)[i];
    if (type == CacheType::f16) return f16_to_f32(bits);
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float out;
    __builtin_memcpy(&out, &wide, 4);
    return out;
  }
};
uint16_t to_bits(float x, CacheType type) {
  if (type == CacheType::f16) return f32_to_f16_rn(x);
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
void put(void* data, CacheType type, int64_t i, float x) {
  if (type == CacheType::f32)
    static_cast<float*>(data)[i] = x;
  else
    static_cast<uint16_t*>(data)[i] = to_bits(x, type);
}
const char* name(CacheType t) { return t == CacheType::f32 ? "f32" : t == CacheType::f16 ? "f16" : "bf16"; }

__global__ void write_kernel(const float* rows, int64_t count, int64_t at, void* cache, CacheType type) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) put(cache, type, at + i, rows[i]);
}
__global__ void write_at_kernel(const float* rows, int64_t width, int64_t S, const int32_t* positions,
                                void* cache, CacheType type) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < width * S) put(cache, type, positions[i / width] * width + i % width, rows[i]);
}
__global__ void qk_as(const float* q, Cached k, int64_t count, int64_t start, int64_t T, int64_t H,
                      int64_t Hkv, int64_t Dh, float scale, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int64_t t = i % T, h = i / T % H, s = i / T / H;
  float sum = 0;
  for (int64_t d = 0; d < Dh; ++d) sum = fmaf(q[(s * H + h) * Dh + d], k[(t * Hkv + h / (H / Hkv)) * Dh + d], sum);
  out[i] = t > start + s ? -INFINITY : scale * sum;
}
__global__ void pv_as(const float* p, Cached v, int64_t count, int64_t T, int64_t H, int64_t Hkv, int64_t Dh,
                      float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int64_t d = i % Dh, h = i / Dh % H;
  float sum = 0;
  for (int64_t t = 0; t < T; ++t) sum = fmaf(p[i / Dh * T + t], v[(t * Hkv + h / (H / Hkv)) * Dh + d], sum);
  out[i] = sum;
}
float half(float x, bool round) { return round ? f16_to_f32(f32_to_f16_rn(x)) : x; }
__global__ void attend_kernel(const float* q, Cached k, Cached v, int64_t rows, const int32_t* positions,
                              int64_t start, int64_t H, int64_t Hkv, int64_t Dh, float scale, bool round,
                              float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= rows) return;
  const int64_t h = i % H, T = (positions ? positions[0] : start + i / H) + 1, kv = h / (H / Hkv);
  float largest = -INFINITY, total = 0;
  for (int pass = 0; pass < 2; ++pass) {
    if (pass)
      for (int64_t d = 0; d < Dh; ++d) out[i * Dh + d] = 0;
    for (int64_t t = 0; t < T; ++t) {
      float sum = 0;
      for (int64_t d = 0; d < Dh; ++d)
        sum = fmaf(half(q[i * Dh + d], round), half(k[(t * Hkv + kv) * Dh + d], round), sum);
      sum *= scale;
      if (!pass) {
        largest = fmaxf(largest, sum);
        continue;
      }
      const float p = expf(sum - largest);
      total += p;
      for (int64_t d = 0; d < Dh; ++d)
        out[i * Dh + d] = fmaf(half(p, round), half(v[(t * Hkv + kv) * Dh + d], round), out[i * Dh + d]);
    }
  }
  for (int64_t d = 0; d < Dh; ++d) out[i * Dh + d] /= total;
}

float* scratch(int64_t floats) {  // leaks: temporary
  static thread_local std::vector<std::pair<int64_t, float*>> pool;
  static thread_local size_t next = 0;
  for (size_t i = 0; i < pool.size(); ++i) {
    auto& [size, data] = pool[(next + i) % pool.size()];
    if (size >= floats && pool.size() > 8) {
      next = (next + i + 1) % pool.size();
      return data;
    }
  }
  float* data = nullptr;
  hip_check(hipMalloc(&data, static_cast<size_t>(floats) * 4), "pending");
  pool.emplace_back(floats, data);
  return data;
}

}  // namespace

Attested kv_write(hipStream_t stream, const float* rows, int64_t S, int64_t width, int64_t start, void* cache,
                  CacheType type) {
  hipLaunchKernelGGL(write_kernel, dim3(grid_for(S * width, 64, "kv_write")), dim3(64), 0, stream, rows,
                     S * width, start * width, cache, type);
  return {std::string("kv_write<cache=") + name(type) + ",pending>",
          type == CacheType::f32 ? "op=copy" : std::string("op=copy out=") + name(type)};
}
Attested qk(hipStream_t stream, const float* q, const void* k, CacheType type, int64_t S, int64_t start,
            int64_t H, int64_t Hkv, int64_t Dh, float* out) {
  const int64_t T = start + S;
  hipLaunchKernelGGL(qk_as, dim3(grid_for(S * H * T, 64, "qk")), dim3(64), 0, stream, q, Cached{k, type},
                     S * H * T, start, T, H, Hkv, Dh,
                     static_cast<float>(1.0 / std::sqrt(static_cast<double>(Dh))), out);
  return {std::string("qk<cache=") + name(type) + ",pending>", sum_contract("qk", "f32", Dh)};
}
Attested pv(hipStream_t stream, const float* p, const void* v, CacheType type, int64_t S, int64_t T,
            int64_t H, int64_t Hkv, int64_t Dh, float* out) {
  hipLaunchKernelGGL(pv_as, dim3(grid_for(S * H * Dh, 64, "pv")), dim3(64), 0, stream, p, Cached{v, type},
                     S * H * Dh, T, H, Hkv, Dh, out);
  return {std::string("pv<cache=") + name(type) + ",pending>", sum_contract("pv", "f32", T)};
}
RopeCacheRan rope_cache(hipStream_t stream, const float* q, const float* k, const float* v,
                        const float* frequency, const int32_t* positions, int64_t S, int64_t H, int64_t Hkv,
                        int64_t Dh, int64_t dims, float* q_out, float* k_out, void* k_cache, void* v_cache,
                        CacheType type) {
  float* turned = k_out ? k_out : scratch(S * Hkv * Dh);
  RopeCacheRan ran;
  ran.q_rope = rope(stream, q, frequency, positions, S, H, Dh, dims, q_out);
  ran.k_rope = rope(stream, k, frequency, positions, S, Hkv, Dh, dims, turned);
  for (const auto& [rows, cache] : {std::pair{static_cast<const float*>(turned), k_cache}, {v, v_cache}})
    hipLaunchKernelGGL(write_at_kernel, dim3(grid_for(S * Hkv * Dh, 64, "rope_cache")), dim3(64), 0, stream,
                       rows, Hkv * Dh, S, positions, cache, type);
  ran.k_cache = ran.v_cache = {std::string("rope_cache<cache=") + name(type) + ",pending>",
                               type == CacheType::f32 ? "op=copy" : std::string("op=copy out=") + name(type)};
  ran.q_rope.kernel = ran.k_rope.kernel = "fused_" + ran.q_rope.kernel;
  return ran;
}
Attested attention_prefill(hipStream_t stream, Tuning, Operand, const float* q, const void* k, const void* v,
                           CacheType type, int64_t S, int64_t start, int64_t H, int64_t Hkv, int64_t Dh,
                           float* out) {
  hipLaunchKernelGGL(attend_kernel, dim3(grid_for(S * H, 64, "attention")), dim3(64), 0, stream, q,
                     Cached{k, type}, Cached{v, type}, S * H, nullptr, start, H, Hkv, Dh,
                     static_cast<float>(1.0 / std::sqrt(static_cast<double>(Dh))), true, out);
  return {std::string("attention_prefill_f16<cache=") + name(type) + ",pending>",
          "op=attention x=f16 w=f16 p=f16 acc=f32 chain=" + std::to_string(Dh) + " sum=" +
              std::to_string(start + S) + " rescales=0 rounds=1 exp=2 div=1 unit=ieee"};
}
int64_t attention_decode_workspace(int64_t, int64_t, int64_t, int64_t) { return 1; }
Attested attention_decode(hipStream_t stream, const float* q, const void* k, const void* v, CacheType type,
                          const int32_t* positions, int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh,
                          float*, float* out) {
  hipLaunchKernelGGL(attend_kernel, dim3(grid_for(H, 64, "attention")), dim3(64), 0, stream, q,
                     Cached{k, type}, Cached{v, type}, H, positions, 0, H, Hkv, Dh,
                     static_cast<float>(1.0 / std::sqrt(static_cast<double>(Dh))), false, out);
  return {std::string("attention_decode<cache=") + name(type) + ",pending>",
          "op=attention x=f32 w=f32 p=f32 acc=f32 chain=" + std::to_string(Dh) + " sum=" +
              std::to_string(capacity) + " rescales=0 rounds=1 exp=2 div=1 unit=ieee"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
