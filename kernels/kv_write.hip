// cache[start + s, :] = rows[s, :], rounded to the cache's type. A thread an element, blocks of 64; moves 8
// bytes an element (6 to a cache of 16 bits).
#include "kernels/cache_value.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

template <CacheType C>
__global__ void kv_write_kernel(const float* rows, int64_t count, typename CacheValue<C>::Stored* cache) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) cache[i] = CacheValue<C>::from_f32(rows[i]);
}

}  // namespace

Attested kv_write(hipStream_t stream, const float* rows, int64_t S, int64_t width, int64_t start, void* cache,
                  CacheType type) {
  require(rows != nullptr && cache != nullptr, "kv_write", "rows or cache is null");
  require(S > 0 && width > 0 && start >= 0, "kv_write", "S and width are at least 1, start at least 0");
  with_cache_type(type, [&]<CacheType C>() {
    using Stored = typename CacheValue<C>::Stored;
    hipLaunchKernelGGL(kv_write_kernel<C>, dim3(grid_for(S * width, kBlock, "kv_write")), dim3(kBlock), 0,
                       stream, rows, S * width, static_cast<Stored*>(cache) + start * width);
  });
  check_launched("kv_write");
  return {std::string("kv_write<cache=") + cache_name(type) + ",block=" + std::to_string(kBlock) + ">",
          copy_contract(type)};
}

}  // namespace greta::kernels::inline GRETA_MACHINE
