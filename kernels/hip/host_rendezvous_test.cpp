// Barriers and wave collectives: what they compute, and what is reported when lanes miss them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "kernels/hip/checked.hpp"
#include "kernels/hip/host_test_util.hpp"

namespace greta::kernels {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Rendezvous : public HostTest, public testing::WithParamInterface<int> {
  void SetUp() override { use({.wave = GetParam()}); }
};
INSTANTIATE_TEST_SUITE_P(Wave, Rendezvous, testing::Values(64, 32), testing::PrintToStringParamName());

// A block's sum in two stages; only the first wave enters the second, as such reductions do.
__global__ void block_sum(const float* in, float* out, int n) {
  GRETA_SHARED(float, partial, kMaxWave);
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float sum = i < n ? in[i] : 0.0f;
  for (int d = wave_size() / 2; d > 0; d /= 2) sum += wave_shuffle_down(sum, d);
  if (lane_id() == 0) partial[wave_id()] = sum;
  __syncthreads();
  if (wave_id() == 0) {
    const int waves = static_cast<int>(blockDim.x) / wave_size();
    sum = lane_id() < waves ? partial[lane_id()] : 0.0f;
    for (int d = wave_size() / 2; d > 0; d /= 2) sum += wave_shuffle_down(sum, d);
    if (lane_id() == 0) out[blockIdx.x] = sum;
  }
}

TEST_P(Rendezvous, DivergentSecondStageOfAReduction) {
  constexpr int kBlock = 256, kBlocks = 64;
  std::vector<float> in(kBlock * kBlocks - 17);
  std::mt19937 random(test_seed());
  for (float& x : in) x = static_cast<float>(random() % 1000);  // sums stay exact
  DeviceBuffer<float> device_in(in), out(kBlocks);
  for (uint64_t seed : {0, 1, 2, 3}) {
    use({.wave = GetParam(), .order_seed = seed});
    hipLaunchKernelGGL(block_sum, kBlocks, kBlock, 0, nullptr, device_in.data(), out.data(),
                       static_cast<int>(in.size()));
    const std::vector<float> sums = out.download();
    for (int b = 0; b < kBlocks; ++b) {
      const auto begin = in.begin() + b * kBlock, end = std::min(begin + kBlock, in.end());
      ASSERT_EQ(sums[b], std::accumulate(begin, end, 0.0f)) << "block " << b << " order seed " << seed;
    }
  }
}

__global__ void shuffles(int* shuffled, int* crossed, int* down, uint64_t* ballot) {
  const int i = static_cast<int>(threadIdx.x), value = 1000 + i;
  shuffled[i] = wave_shuffle(value, 3);
  crossed[i] = wave_shuffle_xor(value, 5);
  down[i] = wave_shuffle_down(value, 7);
  ballot[i] = wave_ballot(i % 3 == 0);
  wave_sync();
}

TEST_P(Rendezvous, ShufflesAndBallots) {
  const int wave = GetParam(), n = 2 * wave;
  DeviceBuffer<int> shuffled(n), crossed(n), down(n);
  DeviceBuffer<uint64_t> ballot(n);
  hipLaunchKernelGGL(shuffles, 1, n, 0, nullptr, shuffled.data(), crossed.data(), down.data(), ballot.data());
  hip_check(hipDeviceSynchronize(), "sync");
  for (int i = 0; i < n; ++i) {
    const int start = i / wave * wave, lane = i % wave;
    EXPECT_EQ(shuffled.download()[i], 1000 + start + 3);
    EXPECT_EQ(crossed.download()[i], 1000 + start + (lane ^ 5));
    EXPECT_EQ(down.download()[i], 1000 + (lane + 7 < wave ? i + 7 : i));
    uint64_t yes = 0;
    for (int l = 0; l < wave; ++l) yes |= uint64_t{(start + l) % 3 == 0} << l;
    EXPECT_EQ(ballot.download()[i], yes);
  }
}

__global__ void shuffle_floats(float* out) {
  out[threadIdx.x] = wave_shuffle_xor(static_cast<float>(threadIdx.x), 1);
}

TEST_P(Rendezvous, PartialLastWave) {
  const int n = GetParam() + 5;
  DeviceBuffer<float> out(n);
  hipLaunchKernelGGL(shuffle_floats, 1, n, 0, nullptr, out.data());
  const std::vector<float> got = out.download();
  for (int i = 0; i + 1 < n; ++i) EXPECT_EQ(got[i], static_cast<float>(i ^ 1));
  EXPECT_TRUE(std::isnan(got[n - 1])) << "its partner does not exist";
}

__global__ void early_return(float* out, int stay) {
  if (static_cast<int>(threadIdx.x) >= stay) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}
const int kEarlyReturnLine = __LINE__ - 3;

TEST_P(Rendezvous, BarrierNotReachedByAll) {
  DeviceBuffer<float> out(256);
  hipLaunchKernelGGL(early_return, dim3(3, 2), 256, 0, nullptr, out.data(), 192);
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(),
              AllOf(HasSubstr("kernel early_return, block ("),
                    HasSubstr("barrier at host_rendezvous_test.cpp:" + std::to_string(kEarlyReturnLine) +
                              " reached by 192 of 256 lanes; 64 lanes have left")));
  EXPECT_EQ(hipDeviceSynchronize(), hipSuccess) << "an error is returned once";
}

__global__ void two_lines(int split) {
  if (static_cast<int>(threadIdx.x) < split) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
const int kSecondLine = __LINE__ - 3;

TEST_P(Rendezvous, BarriersAtTwoLines) {
  hipLaunchKernelGGL(two_lines, 1, 128, 0, nullptr, 100);
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(),
              AllOf(HasSubstr("test.cpp:" + std::to_string(kSecondLine - 2) + " reached by 100 of 128 lanes"),
                    HasSubstr("28 lanes wait at the barrier at host_rendezvous_test.cpp:" +
                              std::to_string(kSecondLine))));
}

__global__ void divergent_shuffle(float* out) {
  float v = 1;
  if (lane_id() < 8) v = wave_shuffle_xor(v, 1);
  out[threadIdx.x] = v;
}
__global__ void wave_against_barrier() {
  if (lane_id() < 8) {
    wave_sync();
  } else {
    __syncthreads();
  }
}
__global__ void waves_apart() {
  if (lane_id() % 2) {
    wave_sync();
  } else {
    wave_sync();
  }
}

TEST_P(Rendezvous, WaveCollectiveNotReachedByAll) {
  const std::string wave = std::to_string(GetParam()), rest = std::to_string(GetParam() - 8);
  DeviceBuffer<float> out(128);
  hipLaunchKernelGGL(divergent_shuffle, 1, 128, 0, nullptr, out.data());
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(), AllOf(HasSubstr("reached by 8 of " + wave + " lanes of wave 0"),
                                        HasSubstr(rest + " lanes have left")));
  hipLaunchKernelGGL(wave_against_barrier, 1, 128, 0, nullptr);
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(), HasSubstr(rest + " lanes wait at the barrier at"));
  hipLaunchKernelGGL(waves_apart, 1, 128, 0, nullptr);
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_THAT(host::last_error(), HasSubstr(" lanes wait at the wave collective at"));
}

// Each lane gives its value to the lane opposite; correct only with the barrier.
template <bool kBarrier>
__global__ void mirror(float* data) {
  GRETA_SHARED(float, staged, 256);
  staged[threadIdx.x] = data[threadIdx.x];
  if (kBarrier) __syncthreads();
  data[threadIdx.x] = staged[255 - threadIdx.x];
}

TEST_P(Rendezvous, MissingBarrierIsReported) {
  std::vector<float> in(256);
  std::iota(in.begin(), in.end(), 1.0f);
  DeviceBuffer<float> data(256);
  const auto run = [&](auto kernel) {
    return host::order_dependence(
        [&] {
          data.upload(in.data(), in.size());
          hipLaunchKernelGGL(kernel, 1, 256, 0, nullptr, data.data());
        },
        {{"data", data.data(), data.bytes()}});
  };
  EXPECT_EQ(run(mirror<true>), std::nullopt);
  const auto found = run(mirror<false>);
  ASSERT_TRUE(found);
  EXPECT_THAT(*found,
              AllOf(HasSubstr("a barrier is missing"), HasSubstr("data[0] is NaN in natural order and 256")));
}

__global__ void throws(int lane) {
  if (static_cast<int>(threadIdx.x) == lane) throw std::runtime_error("no such token");
  __syncthreads();
}

TEST_P(Rendezvous, ExceptionInALane) {
  for (int lane : {0, 77}) {
    hipLaunchKernelGGL(throws, 1, 128, 0, nullptr, lane);
    EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
    EXPECT_THAT(host::last_error(), HasSubstr("lane " + std::to_string(lane) + " threw: no such token"));
  }
}

// Lanes' own objects are destroyed when their block is abandoned (LeakSanitizer sees it otherwise).
__global__ void holds_memory(int* alive) {
  struct Count {
    int* alive;
    explicit Count(int* a) : alive(a) { atomicAdd(alive, 1); }
    ~Count() { atomicAdd(alive, -1); }
  } count(alive);
  if (threadIdx.x == 0) return;
  __syncthreads();
}

TEST_P(Rendezvous, AbandonedLanesUnwind) {
  DeviceBuffer<int> alive(std::vector<int>{0});
  hipLaunchKernelGGL(holds_memory, 1, 256, 0, nullptr, alive.data());
  EXPECT_EQ(hipDeviceSynchronize(), hipErrorLaunchFailure);
  EXPECT_EQ(alive.download()[0], 0);
}

__global__ void many_barriers(int* data, int rounds) {
  GRETA_DYNAMIC_SHARED(int, ring);
  const unsigned n = blockDim.x * blockDim.y, me = threadIdx.y * blockDim.x + threadIdx.x;
  ring[me] = static_cast<int>(me);
  for (int r = 0; r < rounds; ++r) {
    __syncthreads();
    const int next = ring[(me + 1) % n];
    __syncthreads();
    ring[me] = next;
  }
  data[blockIdx.z * n + me] = ring[me];
}

TEST_P(Rendezvous, ManyBarriersManyShapes) {
  for (dim3 block : {dim3(1), dim3(3), dim3(64), dim3(50, 3), dim3(1024)}) {
    const int n = static_cast<int>(block.count());
    DeviceBuffer<int> out(2 * n);
    hipLaunchKernelGGL(many_barriers, dim3(1, 1, 2), block, n * sizeof(int), nullptr, out.data(), 41);
    const std::vector<int> got = out.download();
    for (int i = 0; i < 2 * n; ++i) ASSERT_EQ(got[i], (i + 41) % n) << "of " << n;
  }
}

}  // namespace
}  // namespace greta::kernels
