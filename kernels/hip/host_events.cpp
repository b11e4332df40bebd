// Host machine: the calls on streams and events.
#include <utility>

#include "kernels/hip/host_runtime.hpp"
#include "kernels/hip/host_state.hpp"

using greta::kernels::host::Device;
using greta::kernels::host::Event;
using greta::kernels::host::Mark;
using greta::kernels::host::Stream;

namespace {

hipError_t dead_stream(const char* call) {
  return Device::get().report(hipErrorInvalidHandle, std::string(call) + ": the stream does not exist");
}

std::shared_ptr<Mark> mark_of(hipEvent_t event) {
  if (!event) return nullptr;
  std::lock_guard lock(event->mutex);
  return event->mark;
}

}  // namespace

hipError_t hipStreamCreate(hipStream_t* stream) { return hipStreamCreateWithFlags(stream, hipStreamDefault); }

hipError_t hipStreamCreateWithFlags(hipStream_t* stream, unsigned flags) {
  if (!stream)
    return Device::get().report(hipErrorInvalidValue, "hipStreamCreate: the address to fill is null");
  *stream = Device::get().create_stream((flags & hipStreamNonBlocking) == 0);
  return hipSuccess;
}

hipError_t hipStreamDestroy(hipStream_t stream) {
  return stream && Device::get().destroy_stream(stream) ? hipSuccess : dead_stream("hipStreamDestroy");
}

hipError_t hipStreamSynchronize(hipStream_t handle) {
  const std::shared_ptr<Stream> stream = Device::get().stream(handle);
  if (!stream) return dead_stream("hipStreamSynchronize");
  stream->wait(stream->last());
  const std::string failure = stream->take_failure();
  return failure.empty() ? hipSuccess : Device::get().report(hipErrorLaunchFailure, failure);
}

hipError_t hipStreamQuery(hipStream_t handle) {
  const std::shared_ptr<Stream> stream = Device::get().stream(handle);
  if (!stream) return dead_stream("hipStreamQuery");
  return stream->done(stream->last()) ? hipSuccess : hipErrorNotReady;
}

hipError_t hipLaunchHostFunc(hipStream_t stream, hipHostFn_t function, void* data) {
  const auto call = [=]() -> std::string {
    function(data);
    return "";
  };
  return Device::get().push(stream, {call, {}, true}) ? hipSuccess : dead_stream("hipLaunchHostFunc");
}

hipError_t hipEventCreate(hipEvent_t* event) {
  if (!event)
    return Device::get().report(hipErrorInvalidValue, "hipEventCreate: the address to fill is null");
  *event = new Event;
  return hipSuccess;
}

hipError_t hipEventDestroy(hipEvent_t event) {
  if (!event) return Device::get().report(hipErrorInvalidHandle, "hipEventDestroy: the event is null");
  delete event;
  return hipSuccess;
}

hipError_t hipEventRecord(hipEvent_t event, hipStream_t handle) {
  if (!event) return Device::get().report(hipErrorInvalidHandle, "hipEventRecord: the event is null");
  auto mark = std::make_shared<Mark>();
  mark->stream = Device::get().stream(handle);
  const auto stamp =
      [weak = std::weak_ptr(mark)]() -> std::string {  // weak: the mark holds its stream, which holds this
    if (const auto alive = weak.lock()) alive->time = std::chrono::steady_clock::now();
    return "";
  };
  if (!mark->stream || !Device::get().push(handle, {stamp, {}, true}, &mark->ticket)) {
    return dead_stream("hipEventRecord");
  }
  std::lock_guard lock(event->mutex);
  event->mark = std::move(mark);
  return hipSuccess;
}

hipError_t hipStreamWaitEvent(hipStream_t stream, hipEvent_t event, unsigned) {
  const std::shared_ptr<Mark> mark = mark_of(event);
  if (!mark) return hipSuccess;  // never recorded: nothing to wait for
  Stream::Task task{[] { return std::string(); }, {{mark->stream, mark->ticket}}, true};
  return Device::get().push(stream, std::move(task)) ? hipSuccess : dead_stream("hipStreamWaitEvent");
}

hipError_t hipEventSynchronize(hipEvent_t event) {
  const std::shared_ptr<Mark> mark = mark_of(event);
  if (!mark) return hipSuccess;
  mark->stream->wait(mark->ticket);
  const std::string failure = mark->stream->take_failure();
  return failure.empty() ? hipSuccess : Device::get().report(hipErrorLaunchFailure, failure);
}

hipError_t hipEventQuery(hipEvent_t event) {
  const std::shared_ptr<Mark> mark = mark_of(event);
  return !mark || mark->stream->done(mark->ticket) ? hipSuccess : hipErrorNotReady;
}

hipError_t hipEventElapsedTime(float* milliseconds, hipEvent_t start, hipEvent_t stop) {
  const std::shared_ptr<Mark> a = mark_of(start), b = mark_of(stop);
  if (!a || !b)
    return Device::get().report(hipErrorInvalidHandle, "hipEventElapsedTime: an event was never recorded");
  if (!a->stream->done(a->ticket) || !b->stream->done(b->ticket)) return hipErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(b->time - a->time).count();
  return hipSuccess;
}
