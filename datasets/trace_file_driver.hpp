// The HDF5 file driver of the trace: what readers see changes in one step, in publish(), and never in
// between.
//
// HDF5 updates its metadata in place and in many writes, so a process killed among them leaves a file that
// does not open. Here the library's writes stay in memory. publish() puts them into the file, and last, in
// one write of 96 bytes, the superblock that names a root group. The caller (trace_tree) builds each
// published tree in space that no earlier tree uses, so before that last write the file shows the earlier
// tree, whole, and after it the new one, whole. A process kill never tears a write inside a page; power
// failure is not covered (nothing is fsynced).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "datasets/hdf5_handle.hpp"

namespace greta {

class TraceFile {
 public:
  // Creates `path` (through a temporary name beside it, renamed at the first publish()). Error (bad_input)
  // when it cannot. All members but write_raw want lock_hdf5() held.
  explicit TraceFile(const std::string& path);
  ~TraceFile();  // what was not published is dropped
  TraceFile(const TraceFile&) = delete;

  hid_t id() const { return file_; }
  // Tensor bytes, straight to the file at an address that HDF5 allocated; with forget() called first for the
  // whole range.
  void write_raw(uint64_t address, std::span<const std::byte> bytes);
  // Drops metadata that waits for a range which HDF5 has freed and given to raw data.
  void forget(uint64_t address, uint64_t bytes);
  // `root_address`: the object header of a group that readers shall see as "/".
  void publish(uint64_t root_address);

 private:
  struct Driver;
  static hid_t driver_class();
  [[noreturn]] void fail(int error) const;

  std::string path_, temporary_;
  Driver* driver_ = nullptr;  // owned by file_
  Hdf5File file_;
};

}  // namespace greta
