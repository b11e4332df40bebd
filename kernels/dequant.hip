// The weight as f32, [rows, columns]. A thread a chunk of 32 values, blocks of 64.
#include "kernels/launch.hpp"
#include "kernels/unpack.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

template <WeightType T>
__global__ void dequant_kernel(const uint8_t* w, int64_t K, int64_t threads, float* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= threads) return;
  const int64_t chunks = ceil_div(K, kChunk), n = i / chunks, k = i % chunks * kChunk;
  float values[kChunk];
  unpack_chunk<T>(w + n * row_bytes(T, K), k, K - k, values);
  for (int j = 0; j < kChunk && k + j < K; ++j) out[n * K + k + j] = values[j];
}

}  // namespace

Attested dequant(hipStream_t stream, const Weight& w, float* out) {
  require_weight(w, "dequant");
  require(out != nullptr, "dequant", "out is null");
  const int64_t threads = w.rows * ceil_div(w.columns, kChunk);
  const std::string name =
      std::string("dequant_") + packing(w.type).name + "<block=" + std::to_string(kBlock) + ">";
  with_weight_type(w.type, [&]<WeightType T>() {
    hipLaunchKernelGGL(HIP_KERNEL_NAME(dequant_kernel<T>), dim3(grid_for(threads, kBlock, "dequant")),
                       dim3(kBlock), 0, stream, static_cast<const uint8_t*>(w.data), w.columns, threads, out);
  });
  check_launched(name);
  return {name, "op=dequant w=f32"};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
