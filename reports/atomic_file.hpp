// A file that is there whole or not at all.
#pragma once

#include <string>
#include <string_view>

namespace greta::reports {

// Writes a temporary file beside `path`; commit() syncs it and renames it over `path`. Without commit() what
// was at `path` before stays, and so it does on an Error (invalid: what the run found is not on disk), which
// names the path and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::string_view content);
  void commit();

 private:
  [[noreturn]] void refuse(int reason);
  std::string path_, temporary_;
  int file_ = -1;
};

void write_atomically(const std::string& path, std::string_view content);

}  // namespace greta::reports
