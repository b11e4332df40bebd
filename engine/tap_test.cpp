#include "engine/tap.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "datasets/checksum.hpp"

namespace greta::engine {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class TapDeliveryTest : public ::testing::Test {
 protected:
  TapDeliveryTest() : machine_(Settings{}), delivery_(machine_, stream_.get()) {}

  // A section of one tensor of `bytes`, whose kernel adds 1 to each byte of the section before.
  const std::byte* section(int64_t bytes, const std::byte* before, int number) {
    delivery_.begin(TapDelivery::aligned(bytes));
    std::byte* const data = delivery_.take(bytes);
    if (before) {  // reads what the last section left, as a layer does
      kernels::hip_check(
          hipMemcpyAsync(data, before, static_cast<size_t>(bytes), hipMemcpyDeviceToDevice, stream_.get()),
          "copy");
    } else {
      kernels::hip_check(hipMemsetAsync(data, number, static_cast<size_t>(bytes), stream_.get()), "fill");
    }
    TapRecord record;
    record.layer = number;
    delivery_.send(std::move(record), DType::f32, {bytes / 4}, data);
    delivery_.end();
    return data;
  }

  Machine machine_;
  kernels::Stream stream_;
  TapDelivery delivery_;
};

bool all_bytes_are(const Tensor& tensor, int value) {
  return std::all_of(tensor.data(), tensor.data() + tensor.bytes(),
                     [&](std::byte b) { return b == static_cast<std::byte>(value); });
}

// Two caches of one size lie side by side on a card, and no copy may reach from one into the other; what lies
// in the ring goes in one.
TEST(TapPieces, OnlyTheRingIsCopiedAcrossTensors) {
  std::vector<std::byte> memory(4096);
  const auto item = [&](size_t at, int64_t bytes) {
    return TapDelivery::Item{
        {}, std::make_shared<Tensor>(DType::f32, std::vector<int64_t>{bytes / 4}), memory.data() + at};
  };
  const auto extents = [&](std::vector<TapDelivery::Item> items, std::span<const std::byte> ring,
                           size_t most) {
    std::vector<std::pair<size_t, size_t>> out;
    for (const auto& piece : TapDelivery::pieces_of(items, ring, most))
      out.emplace_back(piece.data - memory.data(), piece.bytes);
    return out;
  };
  using Extents = std::vector<std::pair<size_t, size_t>>;
  const std::span<const std::byte> none, all = memory, front = all.first(1024);
  EXPECT_EQ(extents({item(0, 512), item(512, 512)}, none, 4096), (Extents{{0, 512}, {512, 512}}));
  EXPECT_EQ(extents({item(0, 512), item(512, 512)}, all, 4096), (Extents{{0, 1024}}));
  EXPECT_EQ(extents({item(0, 500), item(512, 512)}, all, 4096), (Extents{{0, 1024}}));  // with the gap
  EXPECT_EQ(extents({item(512, 512), item(1024, 512)}, front, 4096), (Extents{{512, 512}, {1024, 512}}));
  EXPECT_EQ(extents({item(1024, 512), item(0, 512)}, front, 4096), (Extents{{1024, 512}, {0, 512}}));
  EXPECT_EQ(extents({item(0, 2048)}, none, 1024),
            (Extents{{0, 1024}, {1024, 1024}}));  // no larger than pinned
}

// Three times as much as the ring holds: sections wait, wrap round and are used again, and each arrives as it
// was, in order. Even sections are filled, odd ones read the one before.
TEST_F(TapDeliveryTest, SectionsArriveInOrderAndWholeWhenTheRingGoesRound) {
  const uint64_t seed = std::random_device{}();
  std::fprintf(stderr, "GRETA_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  std::vector<int64_t> sizes;
  int64_t largest = 0, total = 0;
  while (total < 3 * machine_.staging_bytes()) {
    sizes.push_back(4 * static_cast<int64_t>(1 + random() % (3 * kMiB)));
    largest = std::max(largest, sizes.back());
    total += TapDelivery::aligned(sizes.back());
  }
  std::vector<int> order;
  int wrong = 0;
  const TapSink sink = [&](TapRecord&& record) {
    const int value = record.layer - record.layer % 2;
    if (!all_bytes_are(*record.tensor, value % 256)) ++wrong;
    order.push_back(record.layer);
  };
  delivery_.open(sink, {.largest = TapDelivery::aligned(largest), .total = total});
  const std::byte* before = nullptr;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const bool reads = i % 2 == 1;
    const int64_t bytes = reads ? std::min(sizes[i], sizes[i - 1]) : sizes[i];
    before = section(bytes, reads ? before : nullptr, static_cast<int>(i));
  }
  delivery_.close();
  EXPECT_EQ(wrong, 0);
  ASSERT_EQ(order.size(), sizes.size());
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

// What the next kernel writes may not reach a tap that is still on its way: sinks are slow, kernels are not.
TEST_F(TapDeliveryTest, ASlowSinkGetsWhatWasThereWhenItsKernelHadFinished) {
  int delivered = 0, wrong = 0;
  const TapSink sink = [&](TapRecord&& record) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    wrong += !all_bytes_are(*record.tensor, record.layer);
    ++delivered;
  };
  for (int call = 0; call < 3; ++call) {
    delivery_.open(sink, {.largest = 4096, .total = 4096 * 20});
    for (int i = 0; i < 20; ++i) section(4096, nullptr, 20 * call + i);
    delivery_.close();
    EXPECT_EQ(delivered, 20 * (call + 1)) << "close() returns when all is delivered";
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(TapDeliveryTest, TensorsLargerThanThePinnedBuffersComeInParts) {
  bool right = false;
  const int64_t bytes = 70 * kMiB + 12;
  const TapSink sink = [&](TapRecord&& record) {
    right = static_cast<int64_t>(record.tensor->bytes()) == bytes && all_bytes_are(*record.tensor, 9);
  };
  delivery_.open(sink, {.largest = TapDelivery::aligned(bytes), .total = TapDelivery::aligned(bytes)});
  section(bytes, nullptr, 9);
  delivery_.close();
  EXPECT_TRUE(right);
}

// Checksums and times are of the device's own; a tensor in parts, one of a few bytes and the pattern alike.
TEST_F(TapDeliveryTest, ProofsHoldForEveryTensor) {
  std::vector<TapRecord> records;
  const TapSink sink = [&](TapRecord&& record) { records.push_back(std::move(record)); };
  const std::vector<int64_t> sizes = {4, 70 * kMiB, 4092};
  delivery_.open(sink, {.largest = 70 * kMiB, .total = 71 * kMiB, .sections = 4, .proofs = true});
  delivery_.send_pattern();
  for (size_t i = 0; i < sizes.size(); ++i) section(sizes[i], nullptr, static_cast<int>(i) + 1);
  delivery_.close();
  ASSERT_EQ(records.size(), 4u);
  ASSERT_TRUE(records[0].pattern_seed);
  const auto bytes = [](const TapRecord& r) { return std::span(r.tensor->data(), r.tensor->bytes()); };
  EXPECT_EQ(check_pattern(*records[0].pattern_seed, bytes(records[0])).wrong, 0);
  EXPECT_GT(check_pattern(*records[0].pattern_seed + 1, bytes(records[0])).wrong, 0);
  for (const TapRecord& record : records) {
    ASSERT_TRUE(record.device_checksum && record.copy_delay);
    EXPECT_EQ(*record.device_checksum, checksum(bytes(record)));
    EXPECT_GE(*record.copy_delay, 0);
  }
  EXPECT_NE(*records[1].device_checksum, *records[3].device_checksum);
}

TEST_F(TapDeliveryTest, AFailureEndsTheCallAndTheNextOneIsWhole) {
  int delivered = 0;
  const TapSink fails = [&](TapRecord&&) {
    if (++delivered == 3) throw std::runtime_error("disk full");
  };
  delivery_.open(fails, {.largest = 4096, .total = 4096 * 8});
  EXPECT_THROW(
      {
        for (int i = 0; i < 8; ++i) section(4096, nullptr, i);
        delivery_.close();
      },
      std::runtime_error);
  delivery_.abandon();
  EXPECT_EQ(delivered, 3);
  delivered = 0;
  const TapSink counts = [&](TapRecord&&) { ++delivered; };
  delivery_.open(counts, {.largest = 4096, .total = 4096 * 8});
  for (int i = 0; i < 8; ++i) section(4096, nullptr, i);
  delivery_.close();
  EXPECT_EQ(delivered, 8);
}

}  // namespace
}  // namespace greta::engine
