#include "kernels/hip/host_memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "kernels/hip/host_redzone.hpp"

namespace greta::kernels::host {
namespace {

constexpr size_t kZone = 256;  // on each side; the alignment of a card's allocations as well

size_t padded(size_t bytes) { return (bytes + kZone - 1) / kZone * kZone; }
// The red zone after the data: from its very end.
size_t tail(size_t bytes) { return padded(bytes) - bytes + kZone; }

std::string hex(const void* pointer) {
  char text[32];
  std::snprintf(text, sizeof text, "%p", pointer);
  return text;
}

// What the machine has: the fill touches every page, so more than that would not fail but bring the system
// down.
size_t device_bytes() {
  return static_cast<size_t>(sysconf(_SC_PAGESIZE)) * static_cast<size_t>(sysconf(_SC_PHYS_PAGES));
}

}  // namespace

void* DeviceMemory::allocate(size_t bytes) {
  {
    std::shared_lock lock(mutex_);
    size_t free = device_bytes();
    for (const Allocation& a : live_) free -= std::min(free, a.bytes);
    if (bytes > free) return nullptr;
  }
  auto* const base = static_cast<uint8_t*>(std::aligned_alloc(kZone, padded(bytes) + 2 * kZone));
  if (!base) return nullptr;
  uint8_t* const data = base + kZone;
  std::memset(data, kUnwritten, bytes);
  paint_red_zone(base, kZone);
  paint_red_zone(data + bytes, tail(bytes));
  std::unique_lock lock(mutex_);
  const auto place = std::upper_bound(live_.begin(), live_.end(), data,
                                      [](const uint8_t* d, const Allocation& a) { return d < a.data; });
  live_.insert(place, {data, bytes});
  return data;
}

const DeviceMemory::Allocation* DeviceMemory::at_or_before(const void* pointer) const {
  const auto after = std::upper_bound(live_.begin(), live_.end(), static_cast<const uint8_t*>(pointer),
                                      [](const uint8_t* p, const Allocation& a) { return p < a.data; });
  return after == live_.begin() ? nullptr : &*(after - 1);
}

std::string DeviceMemory::release(void* pointer) {
  std::unique_lock lock(mutex_);
  const Allocation* const found = at_or_before(pointer);
  if (!found || found->data != pointer) {
    return "hipFree of " + hex(pointer) + ", which is no live allocation (freed before, or never allocated)";
  }
  const Allocation a = *found;
  live_.erase(live_.begin() + (found - live_.data()));
  lock.unlock();
  std::string damage = damage_of(a);
  unpoison_for_asan(a.data - kZone, kZone);
  unpoison_for_asan(a.data + a.bytes, tail(a.bytes));
  std::free(a.data - kZone);
  return damage.empty() ? damage : "hipFree: " + damage;
}

std::string DeviceMemory::outside(const void* pointer, size_t bytes) const {
  std::shared_lock lock(mutex_);
  const Allocation* const found = at_or_before(pointer);
  const auto* const start = static_cast<const uint8_t*>(pointer);
  if (!found || start > found->data + found->bytes ||
      (start == found->data + found->bytes && found->bytes > 0)) {
    return hex(pointer) + " is not device memory";
  }
  const size_t offset = static_cast<size_t>(start - found->data);
  if (bytes <= found->bytes - offset) return "";
  return std::to_string(bytes) + " bytes from byte " + std::to_string(offset) + " of an allocation of " +
         std::to_string(found->bytes) + " bytes run over its end";
}

bool DeviceMemory::touches(const void* pointer, size_t bytes) const {
  if (bytes == 0) return false;
  std::shared_lock lock(mutex_);
  const auto* const start = static_cast<const uint8_t*>(pointer);
  const Allocation* const found = at_or_before(start + bytes - 1);
  return found && start < found->data + found->bytes;
}

std::string DeviceMemory::damage_of(const Allocation& a) {
  const std::string size = "an allocation of " + std::to_string(a.bytes) + " bytes was written ";
  if (!red_zone_intact(a.data + a.bytes, tail(a.bytes))) {
    return size + std::to_string(first_damage(a.data + a.bytes)) + " bytes past its end (byte " +
           std::to_string(a.bytes + first_damage(a.data + a.bytes)) + ")";
  }
  if (!red_zone_intact(a.data - kZone, kZone)) {
    return size + std::to_string(kZone - last_damage(a.data - kZone, kZone)) + " bytes before its start";
  }
  return "";
}

std::string DeviceMemory::damage() {
#ifdef GRETA_ASAN
  return "";  // the write itself was reported
#endif
  std::shared_lock lock(mutex_);
  for (const Allocation& a : live_) {
    if (red_zone_intact(a.data - kZone, kZone) && red_zone_intact(a.data + a.bytes, tail(a.bytes))) continue;
    std::string sentence = damage_of(a);
    paint_red_zone(a.data - kZone, kZone);
    paint_red_zone(a.data + a.bytes, tail(a.bytes));
    return sentence;
  }
  return "";
}

DeviceMemory::~DeviceMemory() {
  for (const Allocation& a : live_) {
    unpoison_for_asan(a.data - kZone, kZone);
    unpoison_for_asan(a.data + a.bytes, tail(a.bytes));
    std::free(a.data - kZone);
  }
}

void* PinnedMemory::allocate(size_t bytes) {
  void* const data = std::aligned_alloc(kZone, padded(bytes ? bytes : 1));
  if (!data) return nullptr;
  std::memset(data, kUnwritten, bytes);
  std::unique_lock lock(mutex_);
  live_.push_back(data);
  return data;
}

bool PinnedMemory::release(void* pointer) {
  {
    std::unique_lock lock(mutex_);
    const auto found = std::find(live_.begin(), live_.end(), pointer);
    if (found == live_.end()) return false;
    live_.erase(found);
  }
  std::free(pointer);
  return true;
}

PinnedMemory::~PinnedMemory() {
  for (void* data : live_) std::free(data);
}

}  // namespace greta::kernels::host
