// Taps: kernels write what is tapped into memory of its own, so that nothing has to be read before the next
// kernel overwrites it; a copy stream moves it to pinned memory behind an event, and a thread of ours hands
// it on, all while the kernels go on. What runs and in which order does not change.
//
// A call is cut into sections (embed, each layer, the head). A section's memory comes from a ring and is used
// again when the section has been delivered and the next one, which reads what it left, has been enqueued.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "engine/engine.hpp"
#include "engine/machine.hpp"
#include "kernels/hip/checked.hpp"

namespace greta::engine::inline GRETA_MACHINE {

class TapDelivery {
 public:
  // `machine` and `compute`, the stream of the kernels, outlive this.
  TapDelivery(const Machine& machine, hipStream_t compute);
  ~TapDelivery();

  // Bytes that an array takes in a section.
  static int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

  // A call begins, whose `sections` take `largest` bytes at most and `total` together. The sink outlives it.
  // `proofs`: each record gets a checksum by the device and the copy's delay.
  struct Call {
    int64_t largest = 0, total = 0, sections = 1;
    bool proofs = false;
  };
  void open(const TapSink& sink, const Call& call);
  // A section of so many bytes begins; waits until the ring has room. Returns where it starts.
  std::byte* begin(int64_t bytes);
  // Memory in the section for what will be tapped.
  std::byte* take(int64_t bytes);
  // Words that both sides know (datasets/checksum.hpp), down the same way: a section of its own, before all
  // others. Its bytes are kPatternBytes of `largest` and `total`.
  void send_pattern();
  static constexpr int64_t kPatternBytes = 1 << 16;
  // `data`: in the section, or memory that nobody writes before close().
  void send(TapRecord record, DType dtype, std::vector<int64_t> shape, const void* data);
  // The section's kernels are enqueued.
  void end();
  // Waits until all is delivered; throws what a sink or a copy threw.
  void close();
  // After an error of the caller's: waits until nothing is in flight; the rest is not delivered.
  void abandon() noexcept;

  // What is copied and how; public for its test.
  struct Item {
    TapRecord record;
    std::shared_ptr<Tensor> tensor;
    const std::byte* data;
  };
  // So many bytes from `data` on, in one copy: parts of items that lie side by side.
  struct Part {
    Item* item;
    size_t at, bytes, in_piece;  // from the item's start; from the piece's
  };
  struct Piece {
    const std::byte* data;
    size_t bytes;
    std::vector<Part> parts;
  };
  // Copies of at most `most` bytes. Only what lies in the ring is joined: the runtime refuses a copy that
  // reaches from one allocation into another, and two of them (caches) may lie side by side.
  static std::vector<Piece> pieces_of(std::vector<Item>& items, std::span<const std::byte> ring, size_t most);

 private:
  struct Section {
    int64_t offset = 0, bytes = 0, taken = 0;
    bool delivered = false;
    kernels::Event ready;
    size_t number = 0;  // of the call
    std::vector<Item> items;
  };

  void run();
  void deliver(Section& section);
  void fetch_checksums(Section& section);
  void hand_over(const Piece& piece, const std::byte* pinned);
  void fail(std::exception_ptr failure) noexcept;
  int64_t room(int64_t bytes);  // an offset, or -1

  const Machine& machine_;
  hipStream_t compute_;
  kernels::Stream copies_;
  kernels::DeviceBuffer<std::byte> ring_;
  kernels::PinnedBuffer<std::byte> pinned_[2];
  kernels::Event began_[2], landed_[2];
  const TapSink* sink_ = nullptr;
  bool proofs_ = false;
  size_t sections_ = 0;                // begun in this call
  static constexpr size_t kSums = 32;  // of a section: more than it has taps
  kernels::DeviceBuffer<uint64_t> sums_;
  kernels::PinnedBuffer<uint64_t> host_sums_ = kernels::PinnedBuffer<uint64_t>(kSums);
  uint64_t patterns_ = 0;              // sent so far: seeds
  std::vector<kernels::Event> spare_;  // of sections that are done

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Section>> held_;  // in order; the last is being filled or was the last to be
  std::deque<Section*> queue_;                 // to be delivered
  int64_t head_ = 0;                           // where the next section may start
  bool busy_ = false, stopping_ = false;
  std::exception_ptr failure_;
  std::thread thread_;  // last: it uses what stands above
};

}  // namespace greta::engine::inline GRETA_MACHINE
