// Checked wrappers for host code: a failed call throws HipError with the call, the size, the place and (on
// the host machine) the full sentence.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/hip/hip.hpp"
#include "kernels/hip/source_location.hpp"

namespace greta::kernels::inline GRETA_MACHINE {

class HipError : public std::runtime_error {
 public:
  HipError(hipError_t code, const std::string& sentence) : std::runtime_error(sentence), code_(code) {}
  hipError_t code() const { return code_; }

 private:
  hipError_t code_;
};

// what: "hipMalloc of 4096 bytes".
inline void hip_check(hipError_t code, const std::string& what,
                      SourceLocation where = SourceLocation::current()) {
  if (code == hipSuccess) return;
  (void)hipGetLastError();  // it is told here: a later launch is not to blame
  std::string sentence = what + " failed: " + hipGetErrorString(code);
#ifdef GRETA_HIP_HOST
  if (const std::string more = host::last_error(); !more.empty()) sentence += ": " + more;
#endif
  const std::string file = where.file_name();
  sentence += " (at " + file.substr(file.find_last_of('/') + 1) + ":" + std::to_string(where.line()) + ")";
  throw HipError(code, sentence);
}
inline void hip_check(hipError_t code, const char* what, SourceLocation where = SourceLocation::current()) {
  if (code != hipSuccess) hip_check(code, std::string(what), where);
}

// After a launch: throws when its configuration was refused. What goes wrong inside the kernel comes with the
// next synchronise.
inline void hip_check_launch(const char* kernel, SourceLocation where = SourceLocation::current()) {
  const hipError_t code = hipGetLastError();
  if (code != hipSuccess) hip_check(code, std::string("launch of ") + kernel, where);
}

class Stream {
 public:
  Stream() { hip_check(hipStreamCreate(&stream_), "hipStreamCreate"); }
  ~Stream() {
    if (stream_) (void)hipStreamDestroy(stream_);
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  hipStream_t get() const { return stream_; }
  operator hipStream_t() const { return stream_; }  // NOLINT: a stream is passed where HIP wants one
  void synchronize(SourceLocation where = SourceLocation::current()) const {
    hip_check(hipStreamSynchronize(stream_), "hipStreamSynchronize", where);
  }

 private:
  hipStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { hip_check(hipEventCreate(&event_), "hipEventCreate"); }
  ~Event() {
    if (event_) (void)hipEventDestroy(event_);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  hipEvent_t get() const { return event_; }
  void record(hipStream_t stream, SourceLocation where = SourceLocation::current()) const {
    hip_check(hipEventRecord(event_, stream), "hipEventRecord", where);
  }
  void synchronize(SourceLocation where = SourceLocation::current()) const {
    hip_check(hipEventSynchronize(event_), "hipEventSynchronize", where);
  }
  // Both events have happened.
  double seconds_since(const Event& start, SourceLocation where = SourceLocation::current()) const {
    float milliseconds = 0;
    hip_check(hipEventElapsedTime(&milliseconds, start.event_, event_), "hipEventElapsedTime", where);
    return milliseconds * 1e-3;
  }

 private:
  hipEvent_t event_ = nullptr;
};

// Host memory that the device copies to and from while the program goes on.
template <typename T>
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(size_t size, SourceLocation where = SourceLocation::current()) : size_(size) {
    if (size == 0) return;
    hip_check(hipHostMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)),
              "hipHostMalloc of " + std::to_string(size * sizeof(T)) + " bytes", where);
  }
  ~PinnedBuffer() {
    if (data_) (void)hipHostFree(data_);
  }
  PinnedBuffer(PinnedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  T* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

// `size()` elements of T in device memory, uninitialised.
template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(size_t size, SourceLocation where = SourceLocation::current()) : size_(size) {
    if (size == 0) return;
    const hipError_t code = hipMalloc(reinterpret_cast<void**>(&data_), bytes());
    if (code != hipSuccess) hip_check(code, "hipMalloc of " + std::to_string(bytes()) + " bytes", where);
  }
  // Uploaded at once.
  explicit DeviceBuffer(const std::vector<T>& values, SourceLocation where = SourceLocation::current())
      : DeviceBuffer(values.size(), where) {
    upload(values.data(), values.size(), 0, where);
  }
  ~DeviceBuffer() {
    if (data_) (void)hipFree(data_);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  T* data() const { return data_; }
  size_t size() const { return size_; }
  size_t bytes() const { return size_ * sizeof(T); }

  // Both wait until the copy is done. first: the element of this buffer where the range begins.
  void upload(const T* from, size_t count, size_t first = 0,
              SourceLocation where = SourceLocation::current()) {
    if (count == 0) return;
    copied(hipMemcpy(data_ + first, from, count * sizeof(T), hipMemcpyHostToDevice), "upload", count, where);
  }
  void download(T* to, size_t count, size_t first = 0,
                SourceLocation where = SourceLocation::current()) const {
    if (count == 0) return;
    copied(hipMemcpy(to, data_ + first, count * sizeof(T), hipMemcpyDeviceToHost), "download", count, where);
  }
  std::vector<T> download(SourceLocation where = SourceLocation::current()) const {
    std::vector<T> values(size_);
    download(values.data(), size_, 0, where);
    return values;
  }
  // Frees now and throws what hipFree finds, such as a write outside the buffer.
  void free(SourceLocation where = SourceLocation::current()) {
    T* const data = std::exchange(data_, nullptr);
    const size_t size = std::exchange(size_, 0);
    const hipError_t code = hipFree(data);
    if (code != hipSuccess)
      hip_check(code, "hipFree of " + std::to_string(size * sizeof(T)) + " bytes", where);
  }

 private:
  void copied(hipError_t code, const char* way, size_t count, SourceLocation where) const {
    if (code == hipSuccess) return;
    hip_check(code,
              std::string(way) + " of " + std::to_string(count * sizeof(T)) + " bytes (buffer of " +
                  std::to_string(bytes()) + ")",
              where);
  }
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace greta::kernels::inline GRETA_MACHINE
