// Streams, events and launches: what runs when, and where an error comes out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <set>
#include <thread>

#include "kernels/hip/checked.hpp"
#include "kernels/hip/host_test_util.hpp"

namespace greta::kernels {
namespace {

using testing::HasSubstr;

class Streams : public HostTest {};

// Holds a stream until released.
class Gate {
 public:
  explicit Gate(hipStream_t stream) {
    hip_check(hipLaunchHostFunc(
                  stream, [](void* gate) { static_cast<Gate*>(gate)->open_.get_future().wait(); }, this),
              "hipLaunchHostFunc");
  }
  void release() { open_.set_value(); }

 private:
  std::promise<void> open_;
};

__global__ void fill(float* data, float value, int n) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) data[i] = value;
}

TEST_F(Streams, AsyncCopyReturnsBeforeTheCopy) {
  Stream stream;
  DeviceBuffer<float> buffer(std::vector<float>(100, 7.0f));
  std::vector<float> host(100, 1.0f);
  Gate gate(stream);
  hip_check(hipMemcpyAsync(host.data(), buffer.data(), buffer.bytes(), hipMemcpyDeviceToHost, stream),
            "copy");
  EXPECT_EQ(hipStreamQuery(stream), hipErrorNotReady);
  EXPECT_EQ(host, std::vector<float>(100, 1.0f)) << "a read before the synchronise sees old data";
  gate.release();
  stream.synchronize();
  EXPECT_EQ(host, std::vector<float>(100, 7.0f));
  EXPECT_EQ(hipStreamQuery(stream), hipSuccess);
}

TEST_F(Streams, LazyStreamsShowAReadBeforeTheSynchronise) {
  use({.lazy_streams = true});
  Stream stream;
  DeviceBuffer<float> buffer(100);
  std::vector<float> host(100, 1.0f);
  hipLaunchKernelGGL(fill, 1, 128, 0, stream, buffer.data(), 3.0f, 100);
  hip_check(hipMemcpyAsync(host.data(), buffer.data(), buffer.bytes(), hipMemcpyDeviceToHost, stream),
            "copy");
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(host, std::vector<float>(100, 1.0f));
  hipEvent_t event = nullptr;
  hip_check(hipEventCreate(&event), "hipEventCreate");
  hip_check(hipEventRecord(event, stream), "hipEventRecord");
  hip_check(hipEventSynchronize(event), "hipEventSynchronize");
  EXPECT_EQ(host, std::vector<float>(100, 3.0f));
  hip_check(hipEventDestroy(event), "hipEventDestroy");
}

TEST_F(Streams, LaunchCopiesItsArgumentsAndRunsInOrder) {
  Stream stream;
  DeviceBuffer<float> buffer(1000);
  Gate gate(stream);
  for (int i = 1; i <= 50; ++i) {
    auto value = static_cast<float>(i);
    hipLaunchKernelGGL(fill, dim3(8), dim3(128), 0, stream, buffer.data(), value, 1000);
  }
  gate.release();
  stream.synchronize();
  EXPECT_EQ(buffer.download(), std::vector<float>(1000, 50.0f));
}

TEST_F(Streams, TheNullStreamWaitsForTheOthersAndTheyForIt) {
  Stream a, b;
  DeviceBuffer<float> buffer(10);
  std::vector<float> first(10), second(10);
  Gate gate(a);
  hipLaunchKernelGGL(fill, 1, 16, 0, a, buffer.data(), 1.0f, 10);
  hip_check(hipMemcpyAsync(first.data(), buffer.data(), 40, hipMemcpyDeviceToHost, nullptr), "copy");
  hipLaunchKernelGGL(fill, 1, 16, 0, b, buffer.data(), 2.0f, 10);
  hip_check(hipMemcpyAsync(second.data(), buffer.data(), 40, hipMemcpyDeviceToHost, b), "copy");
  EXPECT_EQ(hipStreamQuery(b), hipErrorNotReady);
  gate.release();
  b.synchronize();
  EXPECT_EQ(first, std::vector<float>(10, 1.0f));
  EXPECT_EQ(second, std::vector<float>(10, 2.0f));
}

TEST_F(Streams, ANonBlockingStreamDoesNotWait) {
  hipStream_t free_stream = nullptr;
  hip_check(hipStreamCreateWithFlags(&free_stream, hipStreamNonBlocking), "hipStreamCreateWithFlags");
  DeviceBuffer<float> buffer(10);
  Gate gate(nullptr);
  hipLaunchKernelGGL(fill, 1, 16, 0, free_stream, buffer.data(), 1.0f, 10);
  hip_check(hipStreamSynchronize(free_stream), "hipStreamSynchronize");
  gate.release();
  hip_check(hipStreamDestroy(free_stream), "hipStreamDestroy");
  EXPECT_EQ(hipStreamDestroy(free_stream), hipErrorInvalidHandle);
  EXPECT_EQ(buffer.download(), std::vector<float>(10, 1.0f));
}

TEST_F(Streams, EventsOrderStreamsAndMeasure) {
  hipEvent_t start = nullptr, stop = nullptr;
  hip_check(hipEventCreate(&start), "hipEventCreate");
  hip_check(hipEventCreate(&stop), "hipEventCreate");
  Stream a, b;
  DeviceBuffer<float> buffer(10);
  hip_check(hipEventRecord(start, a), "record");
  Gate gate(a);
  hipLaunchKernelGGL(fill, 1, 16, 0, a, buffer.data(), 1.0f, 10);
  hip_check(hipEventRecord(stop, a), "record");
  hip_check(hipStreamWaitEvent(b, stop), "wait");
  hipLaunchKernelGGL(fill, 1, 16, 0, b, buffer.data(), 2.0f, 10);
  EXPECT_EQ(hipEventQuery(stop), hipErrorNotReady);
  float milliseconds = -1;
  EXPECT_EQ(hipEventElapsedTime(&milliseconds, start, stop), hipErrorNotReady);
  hip_check(hipEventSynchronize(start),
            "start");  // it has happened: the time from here on is all between the two
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  gate.release();
  hip_check(hipDeviceSynchronize(), "sync");
  EXPECT_EQ(buffer.download(), std::vector<float>(10, 2.0f));
  hip_check(hipEventElapsedTime(&milliseconds, start, stop), "elapsed");
  EXPECT_GE(milliseconds, 5.0f);
  hip_check(hipEventDestroy(start), "destroy");
  hip_check(hipEventDestroy(stop), "destroy");
}

__global__ void needs_all(float* data, int stay) {
  if (static_cast<int>(threadIdx.x) >= stay) return;
  __syncthreads();
  data[threadIdx.x] = 1;
}

TEST_F(Streams, AFailureIsKeptForTheNextSynchroniseAndStopsTheStream) {
  Stream stream, other;
  DeviceBuffer<float> buffer(std::vector<float>(64, 5.0f));
  hipLaunchKernelGGL(needs_all, 1, 64, 0, stream, buffer.data(), 63);
  EXPECT_EQ(hipGetLastError(), hipSuccess) << "a launch says nothing of what will happen";
  hipLaunchKernelGGL(fill, 1, 64, 0, stream, buffer.data(), 9.0f, 64);
  bool called = false;
  hip_check(hipLaunchHostFunc(
                stream, [](void* flag) { *static_cast<bool*>(flag) = true; }, &called),
            "host function");
  EXPECT_EQ(hipStreamSynchronize(other), hipSuccess);
  EXPECT_EQ(hipStreamSynchronize(stream), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(), HasSubstr("reached by 63 of 64 lanes; 1 lanes have left"));
  EXPECT_TRUE(called);
  EXPECT_EQ(hipStreamSynchronize(stream), hipSuccess);
  EXPECT_EQ(buffer.download()[0], 5.0f) << "the fill after the failure was left out";
  try {
    hipLaunchKernelGGL(needs_all, 1, 64, 0, stream, buffer.data(), 10);
    stream.synchronize();
    FAIL();
  } catch (const HipError& error) {
    EXPECT_THAT(
        error.what(),
        testing::AllOf(HasSubstr("hipStreamSynchronize failed: unspecified launch failure: kernel needs_all"),
                       HasSubstr("host_stream_test.cpp:")));
  }
}

TEST_F(Streams, ACopyWhoseMemoryIsGoneWhenItRuns) {
  Stream stream;
  float* pointer = nullptr;
  hip_check(hipMalloc(&pointer, 40), "hipMalloc");
  EXPECT_EQ(hipFree(pointer), hipSuccess);
  std::vector<float> host(10);
  EXPECT_EQ(hipMemcpyAsync(host.data(), pointer, 40, hipMemcpyDeviceToHost, stream), hipErrorInvalidValue);
}

TEST_F(Streams, ConfigurationsThatACardRefuses) {
  DeviceBuffer<float> buffer(10);
  const auto refused = [&](dim3 grid, dim3 block, size_t shared) {
    hipLaunchKernelGGL(fill, grid, block, shared, nullptr, buffer.data(), 1.0f, 10);
    return hipGetLastError();
  };
  EXPECT_EQ(refused(1, 1025, 0), hipErrorInvalidConfiguration);
  EXPECT_THAT(host::last_error(),
              HasSubstr("launch of kernel fill: blocks of 1025 lanes, and a block has at most 1024"));
  EXPECT_EQ(refused(dim3(0), 1, 0), hipErrorInvalidConfiguration);
  EXPECT_EQ(refused(1, 1, 65537), hipErrorInvalidConfiguration);
  EXPECT_EQ(refused(1, 1024, 65536), hipSuccess);
  EXPECT_THROW(host::configure({.wave = 48}), std::invalid_argument);
}

__global__ void count_blocks(int* counts) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned lane = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  atomicAdd(&counts[block * blockDim.x * blockDim.y * blockDim.z + lane], 1);
}

TEST_F(Streams, EveryLaneOfEveryBlockRunsOnce) {
  const dim3 grid(5, 3, 2), block(7, 2, 3);
  for (int threads : {1, 4}) {
    for (uint64_t seed : {0, 1, 2, 99}) {
      use({.threads = threads, .order_seed = seed});
      DeviceBuffer<int> counts(std::vector<int>(grid.count() * block.count(), 0));
      hipLaunchKernelGGL(count_blocks, grid, block, 0, nullptr, counts.data());
      EXPECT_EQ(counts.download(), std::vector<int>(grid.count() * block.count(), 1));
    }
  }
}

TEST_F(Streams, FromManyThreadsAtOnce) {
  use({.threads = 3});
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Stream stream;
      for (int round = 0; round < 20; ++round) {
        DeviceBuffer<float> buffer(3000);
        hipLaunchKernelGGL(fill, 24, 128, 0, stream, buffer.data(), static_cast<float>(t), 3000);
        stream.synchronize();
        if (buffer.download() == std::vector<float>(3000, static_cast<float>(t))) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 80);
}

TEST_F(Streams, DevicesAndNames) {
  int count = 0;
  EXPECT_EQ(hipGetDeviceCount(&count), hipSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(hipSetDevice(1), hipErrorInvalidDevice);
  std::set<std::string> names;
  for (hipError_t code :
       {hipSuccess, hipErrorInvalidValue, hipErrorOutOfMemory, hipErrorLaunchFailure, hipErrorNotReady}) {
    names.insert(hipGetErrorString(code));
  }
  EXPECT_EQ(names.size(), 5u);
}

}  // namespace
}  // namespace greta::kernels
