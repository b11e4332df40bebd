// kernels/: every kernel of the engine, one .hip file an operation, each with its launcher. Includes nothing
// outside kernels/. To add a kernel: one file NAME.hip (kernel and launcher), its declaration here, its test
// NAME_test.cpp.
//
// A launcher picks the kernel and attests what it picked: the name in `Attested` is made by the code that
// launches, from what it launches. The contract declares the arithmetic (grammar: docs/contracts.md). All
// pointers are device memory, all tensors f32, dense and row-major; launchers return at once (the stream is
// in order) and throw kernels::LaunchError on what the runtime refuses.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "kernels/hip/hip.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

struct LaunchError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "matmul_valu_gemv_q4_K<rows=8,lanes=8>" and "op=matmul x=f32 …".
struct Attested {
  std::string kernel;
  std::string contract;
};

enum class WeightType { f32, f16, bf16, q8_0, q4_0, q4_K, q5_K, q6_K };

// A matrix as it is packed in the model file: `rows` outputs of `columns` inputs each, rows one after
// another.
struct Weight {
  const void* data = nullptr;
  WeightType type = WeightType::f32;
  int64_t rows = 0, columns = 0;
};

// Two builds of what is worth two: `plain` suits the host machine (few lanes, little shared memory), `wide` a
// card (16-byte loads, many lanes a row, copies that overlap). Either runs on any machine, so what a card
// runs is checked without one.
enum class Tuning { plain, wide };
constexpr Tuning native_tuning() {
#if defined(GRETA_HIP_HOST)
  return Tuning::plain;
#else
  return Tuning::wide;
#endif
}

enum class Unit { valu, mfma };
enum class Shape { gemm, gemv };
struct Route {
  Unit unit = Unit::valu;
  Shape shape = Shape::gemv;
  Tuning tuning = native_tuning();
  Operand operand = Operand::f16;  // mfma only: what the matrix unit multiplies (kernels/hip/half.hpp)
};

// What the KV cache holds; a value is rounded to nearest even when it is written.
enum class CacheType { f32, f16, bf16 };

// out[s, :] = table[tokens[s], :], dequantised. tokens: device memory.
Attested embed(hipStream_t, const Weight& table, const int32_t* tokens, int64_t S, float* out);

// out = x / sqrt(mean(x²) + eps) * weight, per row (Zhang and Sennrich 2019).
Attested rmsnorm(hipStream_t, const float* x, const float* weight, int64_t rows, int64_t columns, float eps,
                 float* out, Tuning = native_tuning());

// y[s, n] = Σ_k x[s, k] · W[n, k]. Routes: valu (f32 fused multiply-adds) and mfma (16x16x16 tiles of f16
// or bf16 into f32: activations and dequantised weights are rounded to it); gemm tiles over rows of x and of
// W, gemv runs each row of x alone. Any route takes any size. mfma, gemv, wide takes Q4_K and Q6_K by their
// integers and x as integers of 31 bits (docs/contracts.md, x=i32 w=parts); `operand` has no say there. Rows
// of W must be whole 16 bytes for it (Q6_K: a multiple of 2048 columns), else another kernel takes them.
Attested matmul(hipStream_t, Route, const Weight& w, const float* x, int64_t rows, float* y);

// Interleaved pairs (2i, 2i+1) of each head, i < rope_dims/2, turned by positions[s] * frequency[i]; the
// other dims are copied. x, out: [S, heads, head_dim]; frequency: rope_dims/2 floats in device memory,
// computed on the host in f64 and rounded once.
Attested rope(hipStream_t, const float* x, const float* frequency, const int32_t* positions, int64_t S,
              int64_t heads, int64_t head_dim, int64_t rope_dims, float* out, Tuning = native_tuning());

// cache[start + s, :] = rows[s, :]; cache: [T_max, width].
Attested kv_write(hipStream_t, const float* rows, int64_t S, int64_t width, int64_t start, void* cache,
                  CacheType);

// scores[s, h, t] = scale · Σ_d q[s, h, d] · k_cache[t, h / (H/Hkv), d] for t <= start + s, else -inf; scale
// = 1/sqrt(Dh) rounded to f32. T = start + S.
Attested qk(hipStream_t, const float* q, const void* k_cache, CacheType, int64_t S, int64_t start, int64_t H,
            int64_t Hkv, int64_t Dh, float* scores, Tuning = native_tuning());

// Each row of `rows` x `columns`, maximum subtracted; a score of -inf gives exactly 0.
Attested softmax(hipStream_t, const float* scores, int64_t rows, int64_t columns, float* out,
                 Tuning = native_tuning());

// out[s, h, d] = Σ_t p[s, h, t] · v_cache[t, h / (H/Hkv), d], t < T.
Attested pv(hipStream_t, const float* p, const void* v_cache, CacheType, int64_t S, int64_t T, int64_t H,
            int64_t Hkv, int64_t Dh, float* out, Tuning = native_tuning());

Attested add(hipStream_t, const float* a, const float* b, int64_t count, float* out,
             Tuning = native_tuning());

// out = gate / (1 + exp(-gate)) * up (Shazeer 2020).
Attested swiglu(hipStream_t, const float* gate, const float* up, int64_t count, float* out,
                Tuning = native_tuning());

// --- fused kernels (decode: one row) ---
// Every one computes what the single kernels of the same stages would be asked for, stage by stage in f32, so
// each stage keeps a contract of its own. Outputs that only a tap reads may be null: they are not stored, and
// what is stored has the same bits either way. Positions come from device memory, so that a captured graph
// serves every token. Unit::mfma: the products of Q4_K and Q6_K go through the matrix unit, as matmul's do
// with Tuning::wide; others stay on the vector units.

struct Projection {
  Weight w;
  float* y = nullptr;
};
struct NormProductsRan {
  Attested norm, product;  // product: of each projection, whose weights may differ in type: see `kernel`
};
// n = rmsnorm(x) · norm_weight, y_i = W_i · n for 1 to 3 matrices (q, k, v; or the output head). norm_out may
// be null.
NormProductsRan norm_products(hipStream_t, const float* x, const float* norm_weight, int64_t columns,
                              float eps, std::span<const Projection>, float* norm_out, Unit = Unit::valu);

struct NormGateUpRan {
  Attested norm, gate, up, act;
};
// n = rmsnorm(x) · norm_weight, act = swiglu(Wg · n, Wu · n). norm_out, gate_out and up_out may be null.
NormGateUpRan norm_gate_up(hipStream_t, const float* x, const float* norm_weight, int64_t columns, float eps,
                           const Weight& gate, const Weight& up, float* norm_out, float* gate_out,
                           float* up_out, float* act_out, Unit = Unit::valu);

struct ProductAddRan {
  Attested product, add;
};
// out = residual + W · x. product_out may be null.
ProductAddRan product_add(hipStream_t, const Weight& w, const float* x, const float* residual,
                          float* product_out, float* out, Unit = Unit::valu);

// --- fused attention: out[s, h, :] = Σ_t softmax_t(q[s, h] · k[t] / sqrt(Dh)) v[t], causal, grouped queries;
// no scores in memory --- Prefill: tiles of q and of k through the matrix unit, a running maximum and sum a
// row (Dao et al. 2022).
Attested attention_prefill(hipStream_t, Tuning, Operand, const float* q, const void* k_cache,
                           const void* v_cache, CacheType, int64_t S, int64_t start, int64_t H, int64_t Hkv,
                           int64_t Dh, float* out);
// Both take Dh a multiple of 16 up to 256 (else LaunchError), and q, out and the caches at 16 bytes. Prefill
// on NVIDIA runs at its speed in builds for sm_90a with -DGRETA_WAVE_GROUPS (kernels/hip/wave_group.hpp).
// Decode, one row at positions[0]: the cache is cut along t, each part by a block of its own, the parts
// joined by one of them (split-K). `capacity`: the most positions that this launch serves.
// `workspace`: attention_decode_workspace() floats at 16 bytes, zeroed before the first launch with it and
// after one that failed; so it serves launches of the same H, Hkv and Dh, one after another. Where the launch directly before it in
// the stream lets its successor begin early (the GEMVs), that one may write q, k, v and the rows at
// positions[0], but neither positions nor earlier rows of the caches. Unit::mfma: where the caches are f16 or
// bf16 and heads have up to 128 dims, q and the exponentials are rounded to that type and go through the
// matrix unit; elsewhere, and with Unit::valu, nothing is rounded.
int64_t attention_decode_workspace(int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh);
Attested attention_decode(hipStream_t, const float* q, const void* k_cache, const void* v_cache, CacheType,
                          const int32_t* positions, int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh,
                          float* workspace, float* out, Unit = Unit::valu);

struct RopeAttentionRan {
  Attested q_rope, k_rope, k_cache, v_cache, attn_out;
};
// rope of q and of k, rows positions[0] of both caches, and attention_decode over them, in one launch: each
// output has the bits of those kernels one after another. q [H, Dh], k and v [Hkv, Dh], at 16 bytes like
// q_out and k_out, which may be null; positions[0] below `capacity`.
RopeAttentionRan rope_attention_decode(hipStream_t, const float* q, const float* k, const float* v,
                                       const float* frequency, const int32_t* positions, int64_t rope_dims,
                                       float* q_out, float* k_out, void* k_cache, void* v_cache, CacheType,
                                       int64_t capacity, int64_t H, int64_t Hkv, int64_t Dh, float* workspace,
                                       float* out, Unit = Unit::valu);

// The smallest index of the largest value; out: one int32 that the device can write. workspace: kArgmaxBlocks
// words of device memory, with which the wide kernel spreads over the card; null: one block does it.
inline constexpr int64_t kArgmaxBlocks = 264;
Attested argmax(hipStream_t, const float* x, int64_t count, int32_t* out, Tuning = native_tuning(),
                uint64_t* workspace = nullptr);

// The weight as f32, [rows, columns].
Attested dequant(hipStream_t, const Weight& w, float* out);

}  // namespace greta::kernels::inline GRETA_MACHINE
