// Host machine: a block's shared memory. Arrays are found by their declaration, NaN-filled at the first use
// in a block, with red zones that are checked when the block ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/hip/host_device.hpp"

namespace greta::kernels::host {

// What AMD gives a block (LDS); NVIDIA gives 48 KiB of static shared memory and more on request.
inline constexpr size_t kSharedBytes = 64 * 1024;

class SharedArena {
 public:
  SharedArena();
  ~SharedArena();
  SharedArena(const SharedArena&) = delete;
  SharedArena& operator=(const SharedArena&) = delete;

  // Both throw std::length_error when the block would have more than kSharedBytes.
  void begin_block(size_t dynamic_bytes);
  void* array(const SharedSite* site, size_t bytes);
  void* dynamic() { return arrays_.front().data; }
  // The first damaged red zone as a sentence, or "".
  std::string damage() const;

 private:
  struct Array {
    const SharedSite* site;
    uint8_t* data;
    size_t bytes;
  };
  void* add(const SharedSite* site, size_t bytes);
  std::unique_ptr<uint8_t[]> memory_;
  uint8_t* next_ = nullptr;
  size_t used_ = 0;
  std::vector<Array> arrays_;
};

}  // namespace greta::kernels::host
