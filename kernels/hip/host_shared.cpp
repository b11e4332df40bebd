#include "kernels/hip/host_shared.hpp"

#include <stdexcept>

#include "kernels/hip/host_redzone.hpp"

namespace greta::kernels::host {
namespace {

constexpr size_t kAlign = 64, kZone = 64;
constexpr size_t kMaxArrays = 256;
constexpr size_t kArenaBytes = kSharedBytes + kMaxArrays * (kZone + kAlign) + kAlign;
constexpr SharedSite kDynamicSite{"dynamic shared memory", "", 0};

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

std::string place_of(const SharedSite& site) {
  if (site.line == 0) return site.name;
  const std::string file = site.file;
  return std::string("shared array '") + site.name + "' (" + file.substr(file.find_last_of('/') + 1) + ":" +
         std::to_string(site.line) + ")";
}

}  // namespace

SharedArena::SharedArena() : memory_(new uint8_t[kArenaBytes]) {}
SharedArena::~SharedArena() { unpoison_for_asan(memory_.get(), kArenaBytes); }

void SharedArena::begin_block(size_t dynamic_bytes) {
  const auto start = reinterpret_cast<uintptr_t>(memory_.get());
  next_ = memory_.get() + (rounded_up(start, kAlign) - start);
  used_ = 0;
  arrays_.clear();
  paint_red_zone(next_, kZone);
  next_ += kZone;
  add(&kDynamicSite, dynamic_bytes);
}

void* SharedArena::array(const SharedSite* site, size_t bytes) {
  for (const Array& array : arrays_) {
    if (array.site == site) return array.data;
  }
  return add(site, bytes);
}

void* SharedArena::add(const SharedSite* site, size_t bytes) {
  used_ += bytes;
  if (used_ > kSharedBytes || arrays_.size() == kMaxArrays) {
    throw std::length_error(place_of(*site) + " brings the block to " + std::to_string(used_) +
                            " bytes of shared memory, and a block has " + std::to_string(kSharedBytes));
  }
  uint8_t* const data = next_;
  const size_t zone =
      rounded_up(bytes, kAlign) - bytes + kZone;  // from the very end: the odd bytes before it are red, too
  unpoison_for_asan(data, bytes);
  std::memset(data, kUnwritten, bytes);
  paint_red_zone(data + bytes, zone);
  next_ += bytes + zone;
  arrays_.push_back({site, data, bytes});
  return data;
}

std::string SharedArena::damage() const {
  for (const Array& array : arrays_) {
    const uint8_t* const zone = array.data + array.bytes;
    if (red_zone_intact(zone, rounded_up(array.bytes, kAlign) - array.bytes + kZone)) continue;
    const size_t at = array.bytes + first_damage(zone);
    return place_of(*array.site) + " has " + std::to_string(array.bytes) + " bytes and was written at byte " +
           std::to_string(at);
  }
  if (!arrays_.empty() && !red_zone_intact(arrays_.front().data - kZone, kZone)) {
    return place_of(*arrays_.front().site) + " was written before its first byte";
  }
  return "";
}

}  // namespace greta::kernels::host
