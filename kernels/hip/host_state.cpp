#include "kernels/hip/host_state.hpp"

#include <algorithm>
#include <stdexcept>
#include <thread>
#include <utility>

namespace greta::kernels::host {

constinit thread_local hipError_t last_code = hipSuccess;

namespace {
int threads_of(const Settings& s) {
  constexpr int kMost = 32;  // each has up to 1,024 stacks
  return s.threads > 0 ? s.threads
                       : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, kMost);
}
}  // namespace

Device& Device::get() {
  static Device device;
  return device;
}

Device::Device() : null_(std::make_shared<Stream>(true, lazy_)) { grid.resize(threads_of(settings_)); }

Device::~Device() {
  for (auto& [handle, stream] : streams_) stream->finish();
  null_->finish();
}

std::shared_ptr<Stream> Device::stream(hipStream_t handle) {
  if (!handle) return null_;
  std::lock_guard lock(streams_mutex_);
  const auto found = streams_.find(handle);
  return found == streams_.end() ? nullptr : found->second;
}

bool Device::push(hipStream_t handle, Stream::Task task, uint64_t* ticket) {
  std::lock_guard lock(streams_mutex_);
  std::shared_ptr<Stream> to = null_;
  const auto after = [&](const std::shared_ptr<Stream>& s) {
    const uint64_t last = s->last();
    if (last > 0) task.after.push_back({s, last});
  };
  if (!handle) {
    for (const auto& [other, s] : streams_) {
      if (s->blocking()) after(s);
    }
  } else {
    const auto found = streams_.find(handle);
    if (found == streams_.end()) return false;
    to = found->second;
    if (to->blocking()) after(null_);
  }
  const uint64_t number = to->push(std::move(task));
  if (ticket) *ticket = number;
  return true;
}

hipStream_t Device::create_stream(bool blocking) {
  auto created = std::make_shared<Stream>(blocking, lazy_);
  const hipStream_t handle = created.get();
  std::lock_guard lock(streams_mutex_);
  streams_.emplace(handle, std::move(created));
  return handle;
}

bool Device::destroy_stream(hipStream_t handle) {
  std::shared_ptr<Stream> gone;
  {
    std::lock_guard lock(streams_mutex_);
    const auto found = streams_.find(handle);
    if (found == streams_.end()) return false;
    gone = std::move(found->second);
    streams_.erase(found);
  }
  gone->finish();
  return true;
}

std::vector<std::shared_ptr<Stream>> Device::all_streams(bool blocking_only) {
  std::vector<std::shared_ptr<Stream>> all{null_};
  std::lock_guard lock(streams_mutex_);
  for (const auto& [handle, s] : streams_) {
    if (s->blocking() || !blocking_only) all.push_back(s);
  }
  return all;
}

void Device::wait_for_all() {
  for (const auto& s : all_streams(false)) s->wait(s->last());
}

std::string Device::synchronise(bool blocking_only) {
  std::string first;
  for (const auto& s : all_streams(blocking_only)) {
    s->wait(s->last());
    std::string failure = s->take_failure();
    if (first.empty()) first = std::move(failure);
  }
  return first;
}

void Device::configure(const Settings& s) {
  if (s.wave != 64 && s.wave != 32) {
    throw std::invalid_argument("a wave has 64 or 32 lanes, not " + std::to_string(s.wave));
  }
  if (s.threads < 0) throw std::invalid_argument("the number of threads cannot be negative");
  wait_for_all();
  std::lock_guard lock(mutex_);
  grid.resize(threads_of(s));
  settings_ = s;
  wave_ = s.wave;
  matrix_unit_ = s.matrix_unit;
  lazy_ = s.lazy_streams;
}

Settings Device::settings() const {
  std::lock_guard lock(mutex_);
  return settings_;
}

hipError_t Device::report(hipError_t code, std::string sentence) {
  last_code = code;
  std::lock_guard lock(mutex_);
  last_error_ = std::move(sentence);
  return code;
}

std::string Device::last_error() const {
  std::lock_guard lock(mutex_);
  return last_error_;
}

}  // namespace greta::kernels::host
