// The last block to come gets what all blocks hand over, bit for bit, whichever it is, and leaves zeros.
#include "kernels/hip/hand_over.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <stdexcept>

#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

constexpr int kThreads = 96;

// Each block hands over its floats; the last one to come copies all of them and clears their places.
void gather_kernel(const float4* values, float4* places, uint32_t* counter, uint32_t count, float4* out,
                   int* blocks_that_gathered) {
  GRETA_SHARED(uint32_t, before, 1);
  const int thread = static_cast<int>(threadIdx.x), own = static_cast<int>(blockIdx.x) * kThreads + thread;
  const uint32_t own_before = come(counter, count, thread == 0);
  if (thread == 0) *before = own_before;
  __syncthreads();
  hand_over(places + own, values[own]);
  if (*before + 1 != count) return;
  for (int i = thread; i < static_cast<int>(count) * kThreads; i += kThreads) {
    out[i] = awaited(places + i, look(places + i));
    places[i] = make_float4(0, 0, 0, 0);
  }
  if (thread == 0) atomicAdd(blocks_that_gathered, 1);
}

struct Ran {
  std::vector<float4> out, left;
  int gathered;
  uint32_t counter;
};
Ran launch(DeviceArray<uint32_t>& counter, DeviceArray<float4>& places, const std::vector<float4>& values,
           uint32_t blocks, uint32_t count) {
  const DeviceArray<float4> device(values);
  DeviceArray<float4> out(std::vector<float4>(values.size(), make_float4(7, 7, 7, 7)));
  DeviceArray<int> gathered(std::vector<int>{0});
  hipLaunchKernelGGL(gather_kernel, dim3(blocks), dim3(kThreads), 0, nullptr, device.data(), places.data(),
                     counter.data(), count, out.data(), gathered.data());
  ok(hipDeviceSynchronize());
  return {out.read(), places.read(), gathered.read()[0], counter.read()[0]};
}

// Numbers, and at times what is not a common one.
std::vector<float4> some(std::mt19937_64& random, size_t count) {
  const float odd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-45f};
  std::vector<float4> values(count);
  for (float4& v : values) {
    for (float* x : {&v.x, &v.y, &v.z, &v.w})
      *x = random() % 8 == 0 ? odd[random() % std::size(odd)]
                             : std::bit_cast<float>(0x3f800000u + uint32_t(random() % 0x800000));
  }
  return values;
}

TEST(HandOver, AllArrivesAndTheNextLaunchFindsZeros) {
  SEEDED;
  std::mt19937_64 random = generator();
  DeviceArray<uint32_t> counter(std::vector<uint32_t>{0});
  DeviceArray<float4> places(std::vector<float4>(size_t{40} * kThreads, make_float4(0, 0, 0, 0)));
  for (const uint32_t blocks : {1u, 2u, 7u, 40u, 3u}) {
    const std::vector<float4> values = some(random, size_t{blocks} * kThreads);
    const Ran ran = launch(counter, places, values, blocks, blocks);
    EXPECT_EQ(ran.gathered, 1) << blocks;
    EXPECT_EQ(ran.counter, 0u) << blocks;
    for (size_t i = 0; i < values.size(); ++i) {
      const float want[] = {values[i].x, values[i].y, values[i].z, values[i].w};
      const float got[] = {ran.out[i].x, ran.out[i].y, ran.out[i].z, ran.out[i].w};
      for (int j = 0; j < 4; ++j) {
        const uint32_t bits = std::bit_cast<uint32_t>(want[j]);
        ASSERT_EQ(std::bit_cast<uint32_t>(got[j]), bits == 0 ? 0x80000000u : bits) << i << "." << j;
      }
    }
    for (const float4& v : ran.left)
      for (const float x : {v.x, v.y, v.z, v.w}) ASSERT_EQ(std::bit_cast<uint32_t>(x), 0u);
  }
}

// What two blocks do at once, on two threads; host only.
hipError_t run_two(void (*kernel)(float4*, uint32_t*, float4*), DeviceArray<float4>& places,
                   DeviceArray<uint32_t>& words, DeviceArray<float4>& out) {
  const host::Settings before = host::settings();
  host::Settings two = before;
  two.threads = 2;
  host::configure(two);
  hipLaunchKernelGGL(kernel, dim3(2), dim3(1), 0, nullptr, places.data(), words.data(), out.data());
  const hipError_t error = hipDeviceSynchronize();
  host::configure(before);
  return error;
}
// Until the other block has raised a word.
void wait_for(uint32_t* word) {
  while (std::atomic_ref<uint32_t>(*word).load(std::memory_order_relaxed) == 0 && host::let_others_go_on()) {
  }
}

// The first block hands over when the second has looked and found nothing.
void late_kernel(float4* places, uint32_t* words, float4* out) {
  if (come(words, 2, true) == 0) {
    wait_for(words + 1);
    hand_over(places, make_float4(1, 2, 3, 4));
    return;
  }
  const float4 seen = look(places);
  atomicAdd(words + 1, 1u);
  *out = awaited(places, seen);
}

TEST(HandOver, WhatComesLateIsWaitedFor) {
  DeviceArray<uint32_t> words(std::vector<uint32_t>{0, 0});
  DeviceArray<float4> places(std::vector<float4>{make_float4(0, 0, 0, 0)}), out(1);
  ok(run_two(late_kernel, places, words, out));
  const float4 got = out.read()[0];
  EXPECT_EQ((std::vector<float>{got.x, got.y, got.z, got.w}), (std::vector<float>{1, 2, 3, 4}));
}

// The first block fails when the second has come, which waits for what the first had to give.
void fail_kernel(float4* places, uint32_t* words, float4* out) {
  if (come(words, 2, true) == 0) {
    wait_for(words + 1);
    throw std::runtime_error("the first block fails");
  }
  atomicAdd(words + 1, 1u);
  awaited(places, look(places));
  *out = make_float4(1, 1, 1, 1);
}

TEST(HandOver, NobodyWaitsForABlockThatFailed) {
  DeviceArray<uint32_t> words(std::vector<uint32_t>{0, 0});
  DeviceArray<float4> places(std::vector<float4>{make_float4(0, 0, 0, 0)}), out(1);
  EXPECT_NE(run_two(fail_kernel, places, words, out), hipSuccess);
  EXPECT_NE(std::string(host::last_error()).find("the first block fails"), std::string::npos);
  EXPECT_EQ(out.read()[0].x, 1.0f);  // the other block came to its end
}

// With a wrong count nobody gathers, so the test above can fail.
TEST(HandOver, ACountThatIsNotReachedShows) {
  DeviceArray<uint32_t> counter(std::vector<uint32_t>{0});
  DeviceArray<float4> places(std::vector<float4>(size_t{5} * kThreads, make_float4(0, 0, 0, 0)));
  const Ran ran =
      launch(counter, places, std::vector<float4>(size_t{5} * kThreads, make_float4(1, 2, 3, 4)), 5, 6);
  EXPECT_EQ(ran.gathered, 0);
  EXPECT_EQ(ran.counter, 5u);
}

}  // namespace
}  // namespace greta::kernels::test
