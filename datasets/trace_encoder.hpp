// Turns records into HDF5 datasets of a TraceFile. One thread at a time; takes the HDF5 lock itself, but not
// while bytes go to disk.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "datasets/trace.hpp"
#include "datasets/trace_tree.hpp"

namespace greta {

class TraceEncoder {
 public:
  TraceEncoder(const std::string& path, const RunIdentity& identity);
  ~TraceEncoder();

  void write(const TraceRecord& record);
  void write_tokens(const std::string& prompt, std::span<const int32_t> tokens);
  void write_verdicts(std::span<const VerdictRow> rows);
  void publish(bool complete);

 private:
  struct Placed {
    Hdf5Dataset dataset;
    uint64_t address = 0;
  };
  Placed place(hid_t type, std::span<const int64_t> shape, size_t bytes);
  uint64_t write_hashed(uint64_t address, std::span<const std::byte> bytes);
  void write_root(hid_t root, bool complete) const;

  struct Shared;  // HDF5 types and property lists, made once

  const RunIdentity identity_;
  // Released last in, first out, under the lock.
  std::unique_ptr<Shared> shared_;
  std::unique_ptr<TraceFile> file_;
  std::unique_ptr<TraceTree> tree_;
};

}  // namespace greta
