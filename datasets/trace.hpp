// The trace: one HDF5 file a run, written by one writer thread while the engine runs, readable with h5py without our code.
//
//   /<prompt>/<arm>/<phase>/layer_<LL>/<stage>     a stage of a layer
//   /<prompt>/<arm>/<phase>/<stage>                embed, final_norm, logits
//   /weights/<gguf name>                           the engine's own view of a weight, in the run's first arm
//   /weights/<arm>/<gguf name>                     the same in another arm, where it is not what it should be
//   /verdicts                                      compound table, a row a comparison
// Attributes of a dataset: axes, positions, window (absent: whole), kernel, contract, xxh3.
// Root attributes: see RunIdentity; `complete` is 0 until close(), so that a trace cut short says so.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "datasets/tensor.hpp"

namespace greta {

inline constexpr int kTraceSchema = 1;

struct TraceKey {
  std::string prompt, arm, phase;
  int layer = -1;     // -1: no layer
  std::string stage;  // a stage's name; or with prompt = "weights" and the rest but perhaps `arm` empty, a GGUF tensor's name
  std::string path() const;
  auto operator<=>(const TraceKey&) const = default;
};

struct TraceRecord {
  TraceKey key;
  TensorPtr tensor;
  std::string axes;                // "S,H,T"
  std::vector<int32_t> positions;  // of the rows of axis S (or T)
  std::string window;              // empty: the whole tensor
  std::string kernel;              // as attested by the code that launched it
  std::string contract;            // the arithmetic that it declares
  std::string device_checksum;     // by the device, before the tensor left it (datasets/checksum.hpp); empty: none
};

struct RunIdentity {
  std::string greta_version, build, command_line;
  std::string model_path, model_digest, model_metadata_json;
  std::string device, backend, created;  // created: ISO 8601, UTC
  std::map<std::string, std::vector<int32_t>> prompt_tokens;
};

// One row of /verdicts.
struct VerdictRow {
  std::string prompt, arm, phase, probe, mode, stage, status, worst_index, kernel, contract;
  int32_t layer = -1;
  int64_t count = 0, out_of_bound = 0, nan_count = 0, inf_count = 0;
  double bound_ratio = 0, certain_ratio = 0, max_abs = 0, mae = 0, rmse = 0, nmse = 0, cosine = 0, bias_z = 0, actual = 0,
         expected = 0;
};

class TraceWriter {
 public:
  // Errors (bad_input): the file cannot be created.
  TraceWriter(const std::string& path, const RunIdentity& identity);
  ~TraceWriter();  // closes without marking the trace complete
  TraceWriter(const TraceWriter&) = delete;

  // Queues a tensor (bounded by bytes: blocks when the disk is slower than the engine). A duplicate key, or an earlier write
  // that failed (full disk), throws Error here or at the next call.
  void submit(TraceRecord record);
  void set_prompt_tokens(const std::string& prompt, std::span<const int32_t> tokens);
  // Returns when all that was submitted is on disk and the file would open if the process died now.
  void flush();
  void write_verdicts(const std::vector<VerdictRow>& rows);
  void close();  // flush, then complete = 1

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class TraceReader {
 public:
  explicit TraceReader(const std::string& path);  // Error (bad_input): unreadable, not a trace, a newer schema
  ~TraceReader();
  TraceReader(const TraceReader&) = delete;

  bool complete() const;
  const RunIdentity& identity() const;
  std::vector<TraceKey> keys() const;  // in path order
  bool contains(const TraceKey&) const;
  TraceRecord read(const TraceKey&) const;      // checks xxh3; Error (bad_input) naming the dataset when it does not match
  TraceRecord describe(const TraceKey&) const;  // the attributes; tensor has its shape, no data is read
  std::vector<VerdictRow> verdicts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace greta
