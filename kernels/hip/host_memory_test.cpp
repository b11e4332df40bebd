// Device memory, shared memory, copies: what is filled, what is refused, what a stray write or read meets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "kernels/hip/checked.hpp"
#include "kernels/hip/host_fibers.hpp"
#include "kernels/hip/host_test_util.hpp"

namespace greta::kernels {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Memory : public HostTest {};

__global__ void write_at(float* data, int64_t index) {
  if (threadIdx.x == 0) data[index] = 1;
}

// What a stray write gives: an error of the next synchronise; under ASan the write itself ends the program.
template <typename Launch>
void expect_stray_write(Launch launch, const std::string& sentence) {
#ifdef GRETA_ASAN
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        launch();
        (void)hipDeviceSynchronize();
      },
      "use-after-poison");
  (void)sentence;
#else
  launch();
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(), HasSubstr(sentence));
  EXPECT_EQ(hipDeviceSynchronize(), hipSuccess);
#endif
}

TEST_F(Memory, FreshMemoryIsNaN) {
  DeviceBuffer<float> buffer(1000);
  for (float x : buffer.download()) EXPECT_TRUE(std::isnan(x));
  DeviceBuffer<half_bits> halves(1000);
  for (half_bits x : halves.download()) EXPECT_TRUE(std::isnan(f16_to_f32(x)));
  float* pinned = nullptr;
  hip_check(hipHostMalloc(&pinned, 64 * sizeof(float)), "hipHostMalloc");
  EXPECT_TRUE(std::isnan(pinned[63]));
  hip_check(hipHostFree(pinned), "hipHostFree");
  EXPECT_EQ(hipHostFree(pinned), hipErrorInvalidValue);
}

TEST_F(Memory, AlignedAsOnCards) {
  DeviceBuffer<char> a(1), b(3);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 256, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % 256, 0u);
}

TEST_F(Memory, WriteOutsideAnAllocation) {
  DeviceBuffer<float> before(7), buffer(1001), after(9);
  for (int64_t index : {1001, 1002, 1017}) {
    expect_stray_write([&] { hipLaunchKernelGGL(write_at, 1, 64, 0, nullptr, buffer.data(), index); },
                       "kernel write_at: an allocation of 4004 bytes was written " +
                           std::to_string(4 * (index - 1001)) + " bytes past its end (byte " +
                           std::to_string(4 * index) + ")");
  }
  expect_stray_write([&] { hipLaunchKernelGGL(write_at, 1, 64, 0, nullptr, buffer.data(), int64_t{-3}); },
                     "an allocation of 4004 bytes was written 9 bytes before its start");
  hipLaunchKernelGGL(write_at, 1, 64, 0, nullptr, buffer.data(), int64_t{1000});
  EXPECT_EQ(hipDeviceSynchronize(), hipSuccess);
  EXPECT_NO_THROW(buffer.free());
}

#ifndef GRETA_ASAN
__global__ void read_at(const float* data, int64_t index, float* out) { out[0] = data[index]; }

TEST_F(Memory, ReadOutsideAnAllocationIsNaN) {
  DeviceBuffer<float> buffer(std::vector<float>(5, 1.0f)), out(1);
  for (int64_t index : {-1, 5, 6}) {
    hipLaunchKernelGGL(read_at, 1, 1, 0, nullptr, buffer.data(), index, out.data());
    EXPECT_TRUE(std::isnan(out.download()[0]));
  }
}

TEST_F(Memory, DamageFromTheHostIsFoundWhenFreed) {
  DeviceBuffer<float> buffer(4);
  buffer.data()[4] = 0;
  try {
    buffer.free();
    FAIL();
  } catch (const HipError& error) {
    EXPECT_EQ(error.code(), hipErrorIllegalAddress);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("hipFree of 16 bytes failed"),
                                    HasSubstr("0 bytes past its end"), HasSubstr("host_memory_test.cpp:")));
  }
}
#endif

TEST_F(Memory, DoubleFreeAndWildPointers) {
  void* pointer = nullptr;
  hip_check(hipMalloc(&pointer, 100), "hipMalloc");
  EXPECT_EQ(hipFree(static_cast<char*>(pointer) + 4), hipErrorInvalidDevicePointer);
  EXPECT_EQ(hipFree(pointer), hipSuccess);
  EXPECT_EQ(hipFree(pointer), hipErrorInvalidDevicePointer);
  EXPECT_THAT(host::last_error(), HasSubstr("no live allocation (freed before, or never allocated)"));
  EXPECT_EQ(hipGetLastError(), hipErrorInvalidDevicePointer);
  EXPECT_EQ(hipGetLastError(), hipSuccess);
  EXPECT_EQ(hipFree(nullptr), hipSuccess);
}

TEST_F(Memory, CopiesAreChecked) {
  DeviceBuffer<float> buffer(10), other(10);
  std::vector<float> host(100, 2.0f);
  EXPECT_EQ(hipMemcpy(buffer.data() + 4, host.data(), 7 * sizeof(float), hipMemcpyHostToDevice),
            hipErrorInvalidValue);
  EXPECT_THAT(host::last_error(),
              HasSubstr("destination: 28 bytes from byte 16 of an allocation of 40 bytes run over its end"));
  EXPECT_EQ(hipMemcpy(host.data(), host.data() + 50, 4, hipMemcpyDeviceToHost), hipErrorInvalidValue);
  EXPECT_THAT(host::last_error(), HasSubstr("source: 0x"));
  EXPECT_EQ(hipMemcpy(buffer.data(), other.data(), 4, hipMemcpyHostToDevice), hipErrorInvalidValue);
  EXPECT_THAT(host::last_error(), HasSubstr("source is device memory, not host memory as the kind says"));
  EXPECT_EQ(hipMemcpyAsync(buffer.data(), nullptr, 4, hipMemcpyHostToDevice), hipErrorInvalidValue);
  EXPECT_EQ(hipMemset(buffer.data(), 0, 41), hipErrorInvalidValue);
  EXPECT_EQ(hipMemcpy(buffer.data(), host.data(), 40, hipMemcpyDefault), hipSuccess);
  EXPECT_EQ(hipMemcpy(other.data(), buffer.data(), 40, hipMemcpyDefault), hipSuccess);
  EXPECT_EQ(other.download(), std::vector<float>(10, 2.0f));
  EXPECT_EQ(hipMemset(buffer.data(), 0, 40), hipSuccess);
  EXPECT_EQ(buffer.download(), std::vector<float>(10, 0.0f));
}

TEST_F(Memory, OutOfMemoryNamesTheSize) {
  try {
    DeviceBuffer<char> buffer(size_t{1} << 46);
    FAIL();
  } catch (const HipError& error) {
    EXPECT_EQ(error.code(), hipErrorOutOfMemory);
    EXPECT_THAT(error.what(), HasSubstr("hipMalloc of 70368744177664 bytes failed: out of memory"));
  }
}

__global__ void shared_overrun(int index) {
  GRETA_SHARED(float, first, 33);
  GRETA_SHARED(float, second, 8);
  second[0] = 0;
  if (threadIdx.x == 0) first[index] = 1;
}
__global__ void dynamic_overrun(int index) {
  GRETA_DYNAMIC_SHARED(char, bytes);
  bytes[index] = 1;
}
__global__ void shared_starts_as_nan(int* numbers) {
  GRETA_SHARED(float, values, 64);
  if (!std::isnan(values[threadIdx.x])) atomicAdd(numbers, 1);
  values[threadIdx.x] = 0;
}
__global__ void shared_too_large() {
  GRETA_SHARED(float, half, 8 * 1024);
  GRETA_SHARED(float, more, 8 * 1024 + 1);
  half[0] = more[0] = 0;
}

TEST_F(Memory, SharedArrays) {
  expect_stray_write([] { hipLaunchKernelGGL(shared_overrun, 2, 32, 0, nullptr, 33); },
                     "shared array 'first' (host_memory_test.cpp:");
  expect_stray_write([] { hipLaunchKernelGGL(dynamic_overrun, 1, 1, 100, nullptr, 100); },
                     "dynamic shared memory has 100 bytes and was written at byte 100");
  hipLaunchKernelGGL(shared_overrun, 2, 32, 0, nullptr, 32);
  EXPECT_EQ(hipDeviceSynchronize(), hipSuccess);

  DeviceBuffer<int> numbers(std::vector<int>{0});
  hipLaunchKernelGGL(shared_starts_as_nan, 50, 64, 0, nullptr, numbers.data());
  EXPECT_EQ(numbers.download()[0], 0);

  hipLaunchKernelGGL(shared_too_large, 1, 1, 0, nullptr);
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(), HasSubstr("65540 bytes of shared memory, and a block has 65536"));
}

TEST_F(Memory, HalfConversionsRoundToNearestEven) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float x = f16_to_f32(static_cast<half_bits>(h));
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16_rn(x))));
      continue;
    }
    ASSERT_EQ(f32_to_f16_rn(x), h);
    if (std::isinf(x) || (h & 0x7fff) >= 0x7bff) continue;
    // The middle between two neighbours goes to the even one, a hair beyond it to the nearer.
    const float next = f16_to_f32(static_cast<half_bits>(h + 1)), middle = (x + next) / 2;
    ASSERT_EQ(f32_to_f16_rn(middle), h + (h & 1));
    ASSERT_EQ(f32_to_f16_rn(std::nextafter(middle, x)), h);
    ASSERT_EQ(f32_to_f16_rn(std::nextafter(middle, next)), h + 1);
  }
  EXPECT_EQ(f32_to_f16_rn(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16_rn(65520.0f), 0x7c00);
}

TEST_F(Memory, Bf16ConversionsRoundToNearestEven) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float x = bf16_to_f32(static_cast<half_bits>(h));
    if (std::isnan(x)) {
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16_rn(x))));
      continue;
    }
    ASSERT_EQ(f32_to_bf16_rn(x), h);
    if (std::isinf(x) || (h & 0x7fff) >= 0x7f7f) continue;
    const float next = bf16_to_f32(static_cast<half_bits>(h + 1));
    const float middle = static_cast<float>((static_cast<double>(x) + next) / 2);
    ASSERT_EQ(f32_to_bf16_rn(middle), h + (h & 1));
    ASSERT_EQ(f32_to_bf16_rn(std::nextafter(middle, x)), h);
    ASSERT_EQ(f32_to_bf16_rn(std::nextafter(middle, next)), h + 1);
  }
  EXPECT_EQ(f32_to_bf16_rn(0x1.fefffep127f), 0x7f7f);
  EXPECT_EQ(f32_to_bf16_rn(0x1.ffp127f), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16_rn(std::bit_cast<float>(0x7f800001u)))));
}

}  // namespace
}  // namespace greta::kernels
