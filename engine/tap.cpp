#include "engine/tap.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "kernels/evidence.hpp"

namespace greta::engine::inline GRETA_MACHINE {

using kernels::hip_check;

namespace {

constexpr size_t kMostPinned = size_t{32} << 20;

}  // namespace

TapDelivery::TapDelivery(const Machine& machine, hipStream_t compute)
    : machine_(machine), compute_(compute), thread_([this] { run(); }) {}

TapDelivery::~TapDelivery() {
  abandon();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void TapDelivery::open(const TapSink& sink, const Call& call) {
  const auto [largest, total, sections, proofs] = call;
  sink_ = &sink;
  proofs_ = proofs;
  sections_ = 0;
  if (proofs && sums_.size() < static_cast<size_t>(sections) * kSums)
    sums_ = kernels::DeviceBuffer<uint64_t>(static_cast<size_t>(sections) * kSums);
  failure_ = nullptr;
  held_.clear();
  head_ = 0;
  // With three of the largest there is room beside the section that is still read, wherever that lies.
  const int64_t wanted = std::min(total, std::max(3 * largest, machine_.staging_bytes()));
  if (static_cast<int64_t>(ring_.size()) < wanted) {
    ring_ = {};  // first: both may be too much
    ring_ = kernels::DeviceBuffer<std::byte>(static_cast<size_t>(wanted));
  }
  const size_t pinned = std::clamp<size_t>(static_cast<size_t>(largest), 1 << 16, kMostPinned);
  for (auto& buffer : pinned_)
    if (buffer.size() < pinned) buffer = kernels::PinnedBuffer<std::byte>(pinned);
}

int64_t TapDelivery::room(int64_t bytes) {
  // The last section's outputs are read by the one that is to begin.
  while (held_.size() > 1 && held_.front()->delivered) {
    spare_.push_back(std::move(held_.front()->ready));
    held_.pop_front();
  }
  const auto capacity = static_cast<int64_t>(ring_.size());
  int64_t tail = -1;  // where what is in use begins
  for (const auto& section : held_)
    if (section->bytes > 0) {
      tail = section->offset;
      break;
    }
  if (tail < 0) return bytes <= capacity ? 0 : -1;
  if (head_ > tail) {
    if (head_ + bytes <= capacity) return head_;
    return bytes <= tail ? 0 : -1;
  }
  return head_ + bytes <= tail ? head_ : -1;
}

std::byte* TapDelivery::begin(int64_t bytes) {
  std::unique_lock lock(mutex_);
  int64_t offset = 0;
  changed_.wait(lock, [&] { return failure_ || (offset = room(bytes)) >= 0; });
  if (failure_) std::rethrow_exception(failure_);
  auto section = std::make_unique<Section>();
  if (!spare_.empty()) {
    section->ready = std::move(spare_.back());
    spare_.pop_back();
  }
  section->offset = offset;
  section->bytes = bytes;
  section->number = sections_++;
  if (bytes > 0) head_ = offset + bytes;
  held_.push_back(std::move(section));
  return ring_.data() + offset;
}

std::byte* TapDelivery::take(int64_t bytes) {
  Section& section = *held_.back();
  std::byte* const data = ring_.data() + section.offset + section.taken;
  section.taken += aligned(bytes);
  return data;
}

void TapDelivery::send(TapRecord record, DType dtype, std::vector<int64_t> shape, const void* data) {
  auto tensor = std::make_shared<Tensor>(dtype, std::move(shape));
  record.tensor = tensor;
  Section& section = *held_.back();
  if (proofs_)
    kernels::checksum(compute_, data, static_cast<int64_t>(tensor->bytes()),
                      sums_.data() + section.number * kSums + section.items.size());
  section.items.push_back({std::move(record), std::move(tensor), static_cast<const std::byte*>(data)});
}

void TapDelivery::send_pattern() {
  std::byte* const data = begin(kPatternBytes);
  TapRecord record;
  record.pattern_seed = ++patterns_;
  kernels::fill_pattern(compute_, *record.pattern_seed, take(kPatternBytes), kPatternBytes);
  send(std::move(record), DType::f32, {kPatternBytes / static_cast<int64_t>(sizeof(float))}, data);
  end();
}

void TapDelivery::fetch_checksums(Section& section) {
  if (!proofs_ || section.items.empty()) return;
  hip_check(hipMemcpyAsync(host_sums_.data(), sums_.data() + section.number * kSums,
                           section.items.size() * sizeof(uint64_t), hipMemcpyDeviceToHost, copies_.get()),
            "hipMemcpyAsync of checksums");
  hip_check(hipStreamSynchronize(copies_.get()), "hipStreamSynchronize");
  for (size_t i = 0; i < section.items.size(); ++i)
    section.items[i].record.device_checksum = host_sums_.data()[i];
}

void TapDelivery::end() {
  Section& section = *held_.back();
  section.ready.record(compute_);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(&section);
  }
  changed_.notify_all();
}

void TapDelivery::close() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
  if (failure_) std::rethrow_exception(failure_);
}

void TapDelivery::abandon() noexcept {
  std::unique_lock lock(mutex_);
  if (!failure_) failure_ = std::make_exception_ptr(std::runtime_error("the call was given up"));
  changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
}

void TapDelivery::fail(std::exception_ptr failure) noexcept {
  const std::lock_guard lock(mutex_);
  if (!failure_) failure_ = std::move(failure);
}

void TapDelivery::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Section& section = *queue_.front();
    queue_.pop_front();
    busy_ = true;
    const bool wanted = !failure_;
    lock.unlock();
    try {
      machine_.use_here();
      if (wanted)
        deliver(section);
      else
        section.ready.synchronize();  // its kernels may still write
    } catch (...) {
      fail(std::current_exception());
    }
    section.items.clear();
    lock.lock();
    section.delivered = true;
    busy_ = false;
    changed_.notify_all();
  }
}

std::vector<TapDelivery::Piece> TapDelivery::pieces_of(std::vector<Item>& items,
                                                       std::span<const std::byte> ring, size_t most) {
  const auto in_ring = [&](const std::byte* p) {
    return !std::less<>()(p, ring.data()) && std::less<>()(p, ring.data() + ring.size());
  };
  std::vector<Piece> pieces;
  for (Item& item : items) {
    for (size_t at = 0; at < item.tensor->bytes();) {
      const std::byte* const data = item.data + at;
      Piece* piece = pieces.empty() ? nullptr : &pieces.back();
      const bool beside = piece &&
                          (in_ring(data) ? in_ring(piece->data) : piece->parts.back().item == &item) &&
                          data >= piece->data + piece->bytes && data < piece->data + piece->bytes + 256 &&
                          data + 1 <= piece->data + most;
      if (!beside) piece = &pieces.emplace_back(Piece{data, 0, {}});
      const auto in_piece = static_cast<size_t>(data - piece->data);
      const size_t bytes = std::min(item.tensor->bytes() - at, most - in_piece);
      piece->parts.push_back({&item, at, bytes, in_piece});
      piece->bytes = in_piece + bytes;
      at += bytes;
    }
  }
  return pieces;
}

void TapDelivery::hand_over(const Piece& piece, const std::byte* pinned) {
  for (const Part& part : piece.parts) {
    std::memcpy(part.item->tensor->data() + part.at, pinned + part.in_piece, part.bytes);
    if (part.at + part.bytes == part.item->tensor->bytes()) (*sink_)(std::move(part.item->record));
  }
}

// One piece is copied while the one before is handed over.
void TapDelivery::deliver(Section& section) {
  hip_check(hipStreamWaitEvent(copies_.get(), section.ready.get(), 0), "hipStreamWaitEvent");
  const auto pieces = pieces_of(section.items, {ring_.data(), ring_.size()}, pinned_[0].size());
  const auto start = [&](size_t i) {
    if (proofs_) began_[i % 2].record(copies_.get());
    hip_check(hipMemcpyAsync(pinned_[i % 2].data(), pieces[i].data, pieces[i].bytes, hipMemcpyDeviceToHost,
                             copies_.get()),
              "hipMemcpyAsync of a tap");
    landed_[i % 2].record(copies_.get());
  };
  try {
    fetch_checksums(section);
    if (!pieces.empty()) start(0);
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i + 1 < pieces.size()) start(i + 1);
      landed_[i % 2].synchronize();
      if (proofs_)
        for (const Part& part : pieces[i].parts)
          if (part.at == 0) part.item->record.copy_delay = began_[i % 2].seconds_since(section.ready);
      hand_over(pieces[i], pinned_[i % 2].data());
    }
  } catch (...) {
    (void)hipStreamSynchronize(copies_.get());
    throw;
  }
  if (pieces.empty()) section.ready.synchronize();
}

}  // namespace greta::engine::inline GRETA_MACHINE
