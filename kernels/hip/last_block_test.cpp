// The last block sees what all blocks wrote, whichever it is, and leaves its counter at 0.
#include "kernels/hip/last_block.hpp"

#include <gtest/gtest.h>

#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

// Each block writes its words; the last one adds up all of them.
void sum_kernel(int* words, uint32_t* counter, uint32_t count, int* sum, int* blocks_that_summed) {
  GRETA_SHARED(uint32_t, flag, 1);
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  words[static_cast<int>(blockIdx.x) * threads + thread] = static_cast<int>(blockIdx.x) + thread;
  if (!is_last_block(counter, count, flag)) return;
  if (thread != 0) return;
  int total = 0;
  for (int i = 0; i < static_cast<int>(count) * threads; ++i) total += words[i];
  *sum = total;
  atomicAdd(blocks_that_summed, 1);
}

struct Ran {
  int sum, summed;
  uint32_t counter;
};
Ran launch(DeviceArray<uint32_t>& counter, uint32_t blocks, uint32_t count) {
  constexpr int kThreads = 96;
  const DeviceArray<int> words(size_t{blocks} * kThreads), result(std::vector<int>{-1, 0});
  hipLaunchKernelGGL(sum_kernel, dim3(blocks), dim3(kThreads), 0, nullptr, words.data(), counter.data(),
                     count, result.data(), result.data() + 1);
  ok(hipDeviceSynchronize());
  return {result.read()[0], result.read()[1], counter.read()[0]};
}

TEST(LastBlock, SeesAllWritesAndResetsItsCounter) {
  DeviceArray<uint32_t> counter(std::vector<uint32_t>{0});
  for (const uint32_t blocks : {1u, 2u, 7u, 40u, 3u}) {
    const int n = static_cast<int>(blocks), want = 96 * n * (n - 1) / 2 + n * 95 * 96 / 2;
    const Ran ran = launch(counter, blocks, blocks);
    EXPECT_EQ(ran.sum, want) << blocks;
    EXPECT_EQ(ran.summed, 1) << blocks;
    EXPECT_EQ(ran.counter, 0u) << blocks;
  }
}

// With a wrong count the sum is missing, so the test above can fail.
TEST(LastBlock, ACountThatIsNotReachedShows) {
  DeviceArray<uint32_t> counter(std::vector<uint32_t>{0});
  const Ran ran = launch(counter, 5, 6);
  EXPECT_EQ(ran.summed, 0);
  EXPECT_EQ(ran.counter, 5u);
}

}  // namespace
}  // namespace greta::kernels::test
