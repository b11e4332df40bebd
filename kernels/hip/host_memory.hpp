// Host machine: device memory. Each allocation is NaN-filled, has red zones on both sides, and is known by
// address, so that a stray pointer, a range that runs over its end and a second free are errors with a
// sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <shared_mutex>
#include <string>
#include <vector>

namespace greta::kernels::host {

class DeviceMemory {
 public:
  ~DeviceMemory();
  // nullptr: the system has no more. 256-byte aligned.
  void* allocate(size_t bytes);
  // What is wrong with the pointer or the red zones, or "". A pointer that is no allocation frees nothing.
  std::string release(void* pointer);
  // Why [pointer, pointer + bytes) is not inside one live allocation, or "".
  std::string outside(const void* pointer, size_t bytes) const;
  // Whether any byte of the range is device memory.
  bool touches(const void* pointer, size_t bytes) const;
  // The first damaged red zone as a sentence, which is then mended, or "".
  std::string damage();

 private:
  struct Allocation {
    uint8_t* data;
    size_t bytes;
  };
  const Allocation* at_or_before(const void* pointer) const;
  static std::string damage_of(const Allocation& a);

  mutable std::shared_mutex mutex_;
  std::vector<Allocation> live_;  // by address
};

// Host memory from hipHostMalloc.
class PinnedMemory {
 public:
  ~PinnedMemory();
  void* allocate(size_t bytes);
  bool release(void* pointer);

 private:
  std::shared_mutex mutex_;
  std::vector<void*> live_;
};

}  // namespace greta::kernels::host
