// kernels/: every kernel of the engine, one .hip file an operation, each with its launcher. Includes nothing outside kernels/.
// To add a kernel: one file NAME.hip (kernel and launcher), its declaration here, its test NAME_test.cpp.
//
// A launcher picks the kernel and attests what it picked: the name in `Attested` is made by the code that launches, from what it launches. The
// contract declares the arithmetic (grammar: docs/contracts.md). All pointers are device memory, all tensors f32, dense and row-major;
// launchers return at once (the stream is in order) and throw kernels::LaunchError on what the runtime refuses.
#pragma once

#include <cstdint>
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

// A matrix as it is packed in the model file: `rows` outputs of `columns` inputs each, rows one after another.
struct Weight {
  const void* data = nullptr;
  WeightType type = WeightType::f32;
  int64_t rows = 0, columns = 0;
};

enum class Unit { valu, mfma };
enum class Shape { gemm, gemv };
struct Route {
  Unit unit = Unit::valu;
  Shape shape = Shape::gemv;
};

// out[s, :] = table[tokens[s], :], dequantised. tokens: device memory.
Attested embed(hipStream_t, const Weight& table, const int32_t* tokens, int64_t S, float* out);

// out = x / sqrt(mean(x²) + eps) * weight, per row (Zhang and Sennrich 2019).
Attested rmsnorm(hipStream_t, const float* x, const float* weight, int64_t rows, int64_t columns, float eps, float* out);

// y[s, n] = Σ_k x[s, k] · W[n, k]. Routes: valu (f32 fused multiply-adds) and mfma (16x16x16 f16 tiles into f32: activations and dequantised weights
// are rounded to f16); gemm tiles over rows of x and of W, gemv runs each row of x alone. Any route takes any size.
Attested matmul(hipStream_t, Route, const Weight& w, const float* x, int64_t rows, float* y);

// Interleaved pairs (2i, 2i+1) of each head, i < rope_dims/2, turned by positions[s] * frequency[i]; the other dims are copied.
// x, out: [S, heads, head_dim]; frequency: rope_dims/2 floats in device memory, computed on the host in f64 and rounded once.
Attested rope(hipStream_t, const float* x, const float* frequency, const int32_t* positions, int64_t S, int64_t heads, int64_t head_dim,
              int64_t rope_dims, float* out);

// cache[start + s, :] = rows[s, :]; cache: [T_max, width].
Attested kv_write(hipStream_t, const float* rows, int64_t S, int64_t width, int64_t start, float* cache);

// scores[s, h, t] = scale · Σ_d q[s, h, d] · k_cache[t, h / (H/Hkv), d] for t <= start + s, else -inf; scale = 1/sqrt(Dh) rounded to f32. T = start + S.
Attested qk(hipStream_t, const float* q, const float* k_cache, int64_t S, int64_t start, int64_t H, int64_t Hkv, int64_t Dh, float* scores);

// Each row of `rows` x `columns`, maximum subtracted; a score of -inf gives exactly 0.
Attested softmax(hipStream_t, const float* scores, int64_t rows, int64_t columns, float* out);

// out[s, h, d] = Σ_t p[s, h, t] · v_cache[t, h / (H/Hkv), d], t < T.
Attested pv(hipStream_t, const float* p, const float* v_cache, int64_t S, int64_t T, int64_t H, int64_t Hkv, int64_t Dh, float* out);

Attested add(hipStream_t, const float* a, const float* b, int64_t count, float* out);

// out = gate / (1 + exp(-gate)) * up (Shazeer 2020).
Attested swiglu(hipStream_t, const float* gate, const float* up, int64_t count, float* out);

// The smallest index of the largest value; out: one int32 in device memory.
Attested argmax(hipStream_t, const float* x, int64_t count, int32_t* out);

// The weight as f32, [rows, columns].
Attested dequant(hipStream_t, const Weight& w, float* out);

}  // namespace greta::kernels::inline GRETA_MACHINE
