// out[s, :] = table[tokens[s], :], dequantised. A thread a chunk of 32 values, blocks of 64. A token that is
// not in the table gives a row of NaN.
#include "kernels/hip/dependent_launch.hpp"
#include "kernels/launch.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

template <WeightType T>
__global__ void embed_kernel(const uint8_t* table, int64_t vocabulary, int64_t K, const int32_t* tokens,
                             int64_t threads, float* out) {
  release_successor();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= threads) return;
  const int64_t chunks = ceil_div(K, kChunk), s = i / chunks, k = i % chunks * kChunk;
  const int64_t token = tokens[s];
  const bool known = token >= 0 && token < vocabulary;
  float values[kChunk];
  if (known) unpack_chunk<T>(table + token * row_bytes(T, K), k, K - k, values);
  for (int j = 0; j < kChunk && k + j < K; ++j) out[s * K + k + j] = known ? values[j] : NAN;
}

}  // namespace

Attested embed(hipStream_t stream, const Weight& table, const int32_t* tokens, int64_t S, float* out) {
  require_weight(table, "embed");
  require(tokens != nullptr && out != nullptr, "embed", "tokens or out is null");
  require(S > 0, "embed", "no tokens");
  const int64_t threads = S * ceil_div(table.columns, kChunk);
  const std::string name =
      std::string("embed_") + packing(table.type).name + "<block=" + std::to_string(kBlock) + ">";
  with_weight_type(table.type, [&]<WeightType T>() {
    hipLaunchKernelGGL(HIP_KERNEL_NAME(embed_kernel<T>), dim3(grid_for(threads, kBlock, "embed")),
                       dim3(kBlock), 0, stream, static_cast<const uint8_t*>(table.data), table.rows,
                       table.columns, tokens, threads, out);
  });
  check_launched(name);
  return {name, "op=embed w=f32"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
