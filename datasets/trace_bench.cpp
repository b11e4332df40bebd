// TraceWriter (checksums included) beside plain write(2) of the same bytes to the same folder, turn by turn.
// Neither syncs: a trace must survive its process, not the machine. GRETA_BENCH_DIR chooses the folder.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "datasets/stage.hpp"
#include "datasets/trace_testing.hpp"

namespace {

using namespace greta;
using Clock = std::chrono::steady_clock;

// Wall time and the processor time of all threads: a busy machine stretches only the first.
struct Cost {
  double wall = 0, processor = 0;
};

double processor_seconds() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// `piece`: the most bytes that one call is given.
Cost write_plainly(const std::string& path, const std::vector<TensorPtr>& tensors, size_t piece) {
  const double processor = processor_seconds();
  const auto start = Clock::now();
  const int fd = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0666);
  for (const auto& tensor : tensors)
    for (size_t done = 0; done < tensor->bytes();) {
      const ssize_t now = ::write(fd, tensor->data() + done, std::min(piece, tensor->bytes() - done));
      if (now <= 0) std::abort();
      done += static_cast<size_t>(now);
    }
  ::close(fd);
  const Cost cost{seconds_since(start), processor_seconds() - processor};
  ::unlink(path.c_str());
  return cost;
}

Cost write_trace(const std::string& path, const std::vector<TensorPtr>& tensors) {
  const double processor = processor_seconds();
  const auto start = Clock::now();
  {
    TraceWriter writer(path, trace_testing::identity());
    for (size_t i = 0; i < tensors.size(); ++i)
      writer.submit(trace_testing::record(
          {"p6_long", "auto", "prefill", static_cast<int>(i / 20), "stage" + std::to_string(i % 20)},
          tensors[i]));
    writer.close();
  }
  const Cost cost{seconds_since(start), processor_seconds() - processor};
  ::unlink(path.c_str());
  return cost;
}

double median(const std::vector<Cost>& costs, double Cost::*member) {
  std::vector<double> values;
  for (const Cost& cost : costs) values.push_back(cost.*member);
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// A write a tensor is what one would do; some kernels are faster with small pieces, as the trace writes them.
constexpr size_t kWhole = size_t{1} << 40, kPiece = 64 * 1024;

void measure(benchmark::State& state, const std::vector<TensorPtr>& tensors) {
  const char* folder = std::getenv("GRETA_BENCH_DIR");
  const std::string path =
      std::string(folder ? folder : "/tmp") + "/greta_trace_bench_" + std::to_string(::getpid());
  double bytes = 0;
  for (const auto& tensor : tensors) bytes += static_cast<double>(tensor->bytes());
  std::vector<Cost> plain, pieces, trace;
  write_plainly(path, tensors, kWhole);
  for (auto _ : state) {
    plain.push_back(write_plainly(path, tensors, kWhole));
    pieces.push_back(write_plainly(path, tensors, kPiece));
    trace.push_back(write_trace(path, tensors));
    state.SetIterationTime(trace.back().wall);
  }
  state.counters["trace_GB/s"] = bytes / median(trace, &Cost::wall) * 1e-9;
  state.counters["write_GB/s"] = bytes / median(plain, &Cost::wall) * 1e-9;
  state.counters["share"] = median(plain, &Cost::wall) / median(trace, &Cost::wall);
  state.counters["share_of_pieces"] = median(pieces, &Cost::wall) / median(trace, &Cost::wall);
  state.counters["cpu_share_of_pieces"] = median(pieces, &Cost::processor) / median(trace, &Cost::processor);
  state.counters["share_of_cpu_time"] = median(plain, &Cost::processor) / median(trace, &Cost::processor);
}

// Arguments: tensors, KiB a tensor.
void BM_TraceWriter(benchmark::State& state) {
  std::mt19937_64 random(1);
  std::vector<TensorPtr> tensors;
  for (int64_t i = 0; i < state.range(0); ++i)
    tensors.push_back(trace_testing::random_tensor({state.range(1) * 256}, random));
  measure(state, tensors);
}
BENCHMARK(BM_TraceWriter)
    ->ArgNames({"tensors", "KiB"})
    ->Args({64, 16384})
    ->Args({512, 1024})
    ->Args({1024, 256})
    ->Args({2048, 64})
    ->Args({4096, 16})
    ->UseManualTime()
    ->Iterations(9)
    ->Unit(benchmark::kMillisecond);

// What a run leaves: every stage of some layers of a model of Llama-3-8B's shape, a prompt of 205 tokens and
// one decoded token. Argument: layers.
void BM_TraceOfARun(benchmark::State& state) {
  std::mt19937_64 random(1);
  std::vector<TensorPtr> tensors;
  for (const int64_t S : {205, 1})
    for (int64_t layer = 0; layer < state.range(0); ++layer)
      for (const auto& stage : stages())
        if (stage.per_layer)
          tensors.push_back(trace_testing::random_tensor(
              shape_of(stage.stage, {S, 205 + (S == 1), 4096, 32, 8, 128, 14336, 128256}), random));
  measure(state, tensors);
}
BENCHMARK(BM_TraceOfARun)
    ->ArgName("layers")
    ->Arg(6)
    ->UseManualTime()
    ->Iterations(7)
    ->Unit(benchmark::kMillisecond);

}  // namespace
