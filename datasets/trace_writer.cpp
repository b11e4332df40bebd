// TraceWriter: a queue bounded in bytes and the one thread that empties it.
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

#include "datasets/error.hpp"
#include "datasets/trace.hpp"
#include "datasets/trace_encoder.hpp"

namespace greta {
namespace {

constexpr size_t kQueueBytes = size_t{256} << 20;

}  // namespace

struct TraceWriter::State {
  struct Job {
    size_t bytes;
    std::function<void(TraceEncoder&)> run;
  };

  State(const std::string& path, const RunIdentity& identity) : encoder(path, identity) {}

  void put(Job job);
  void wait_until_empty();
  void rethrow() const {
    if (error) std::rethrow_exception(error);
  }
  void work();
  void stop();

  TraceEncoder encoder;
  std::mutex mutex;
  std::condition_variable work_or_room, idle;
  std::deque<Job> queue;
  size_t queued_bytes = 0;
  bool busy = false, stopping = false;
  std::exception_ptr error;  // the first one; from then on nothing more is written
  std::set<TraceKey> keys;
  std::map<std::string, std::vector<int32_t>> tokens;
  std::thread thread;
};

void TraceWriter::State::put(Job job) {
  std::unique_lock lock(mutex);
  if (stopping) fail_internal("the trace was closed; nothing can be added to it");
  work_or_room.wait(lock, [&] { return error || queue.empty() || queued_bytes + job.bytes <= kQueueBytes; });
  rethrow();
  queued_bytes += job.bytes;
  queue.push_back(std::move(job));
  work_or_room.notify_all();
}

void TraceWriter::State::wait_until_empty() {
  std::unique_lock lock(mutex);
  idle.wait(lock, [&] { return queue.empty() && !busy; });
  rethrow();
}

void TraceWriter::State::work() {
  std::unique_lock lock(mutex);
  while (true) {
    work_or_room.wait(lock, [&] { return stopping || !queue.empty(); });
    if (queue.empty()) return;
    Job job = std::move(queue.front());
    queue.pop_front();
    busy = true;
    if (!error) {
      lock.unlock();
      std::exception_ptr caught;
      try {
        job.run(encoder);
      } catch (...) {
        caught = std::current_exception();
      }
      lock.lock();
      if (caught) error = caught;
    }
    const size_t bytes = job.bytes;
    job = {};
    busy = false;
    queued_bytes -= bytes;
    work_or_room.notify_all();
    if (queue.empty()) idle.notify_all();
  }
}

void TraceWriter::State::stop() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  work_or_room.notify_all();
  if (thread.joinable()) thread.join();
}

TraceWriter::TraceWriter(const std::string& path, const RunIdentity& identity)
    : state_(std::make_unique<State>(path, identity)) {
  for (const auto& [prompt, tokens] : identity.prompt_tokens) state_->encoder.write_tokens(prompt, tokens);
  state_->tokens = identity.prompt_tokens;
  state_->encoder.publish(false);
  state_->thread = std::thread([state = state_.get()] { state->work(); });
}

TraceWriter::~TraceWriter() {
  try {
    if (!state_->stopping) flush();
  } catch (const std::exception&) {
    // Whoever wanted to know has called flush() or close(); the file keeps what was published.
  }
  state_->stop();
}

void TraceWriter::submit(TraceRecord record) {
  if (!record.tensor) fail_internal("no tensor was given for {}", record.key.path());
  const std::string path = record.key.path();  // also checks the key
  {
    const std::lock_guard lock(state_->mutex);
    if (!state_->keys.insert(record.key).second)
      fail_invalid("{} was captured twice in one run; two captures of one stage cannot both be right", path);
  }
  const size_t bytes = record.tensor->bytes();
  auto shared = std::make_shared<const TraceRecord>(std::move(record));
  state_->put({bytes, [shared](TraceEncoder& encoder) { encoder.write(*shared); }});
}

void TraceWriter::set_prompt_tokens(const std::string& prompt, std::span<const int32_t> tokens) {
  std::vector<int32_t> copy(tokens.begin(), tokens.end());
  {
    const std::lock_guard lock(state_->mutex);
    const auto [entry, is_new] = state_->tokens.emplace(prompt, copy);
    if (!is_new && entry->second != copy)
      fail_invalid("prompt {} has two different lists of tokens in one trace", prompt);
    if (!is_new) return;
  }
  state_->put({copy.size() * sizeof(int32_t), [prompt, copy = std::move(copy)](TraceEncoder& encoder) {
                 encoder.write_tokens(prompt, copy);
               }});
}

void TraceWriter::flush() {
  state_->put({0, [](TraceEncoder& encoder) { encoder.publish(false); }});
  state_->wait_until_empty();
}

void TraceWriter::write_verdicts(const std::vector<VerdictRow>& rows) {
  state_->put({0, [rows](TraceEncoder& encoder) { encoder.write_verdicts(rows); }});
}

void TraceWriter::close() {
  state_->put({0, [](TraceEncoder& encoder) { encoder.publish(true); }});
  state_->wait_until_empty();
  state_->stop();
}

}  // namespace greta
