#include "reports/pack.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>

#include "datasets/error.hpp"
#include "reports/atomic_file.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::reports {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTrace = "trace.h5";
constexpr const char* kIndex = "trace-index.json";

// "2026-11-21T08:00:00Z" in seconds since 1970; 0 where a run does not know.
std::time_t time_of(const std::string& created) {
  std::tm utc{};
  return strptime(created.c_str(), "%Y-%m-%dT%H:%M:%SZ", &utc) ? timegm(&utc) : 0;
}

// libarchive writes through `file`, whose Error may not pass through its C frames: it is kept.
struct Sink {
  AtomicFile& file;
  std::exception_ptr problem;
};

la_ssize_t write_to(archive* writer, void* data, const void* buffer, size_t bytes) {
  auto& sink = *static_cast<Sink*>(data);
  try {
    sink.file.write({static_cast<const char*>(buffer), bytes});
    return static_cast<la_ssize_t>(bytes);
  } catch (...) {
    sink.problem = std::current_exception();
    archive_set_error(writer, EIO, "cannot write");
    return -1;
  }
}

class Tar {
 public:
  Tar(const std::string& path, std::time_t time) : path_(path), time_(time), file_(path), sink_{file_, {}} {
    check(archive_write_set_format_pax_restricted(writer_.get()));
    check(archive_write_add_filter_gzip(writer_.get()));
    check(archive_write_set_options(writer_.get(), "gzip:!timestamp,gzip:compression-level=6"));
    check(archive_write_open(writer_.get(), &sink_, nullptr, write_to, nullptr));
  }

  void add_folder(const std::string& name) { header(name, AE_IFDIR, 0755, 0); }

  void add_text(const std::string& name, const std::string& text) {
    header(name, AE_IFREG, 0644, text.size());
    data(text.data(), text.size());
  }

  void add_file(const std::string& name, const fs::path& from) {
    std::ifstream file(from, std::ios::binary);
    std::error_code problem;
    const auto size = fs::file_size(from, problem);
    if (!file || problem) fail_input("cannot read '{}'", from.string());
    header(name, AE_IFREG, 0644, size);
    std::vector<char> block(1 << 20);
    uintmax_t done = 0;
    while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0) {
      data(block.data(), static_cast<size_t>(file.gcount()));
      done += static_cast<uintmax_t>(file.gcount());
    }
    if (done != size || file.bad())
      fail_input("'{}' changed while it was packed; pack it again", from.string());
  }

  void close() {
    check(archive_write_close(writer_.get()));
    file_.commit();
  }

 private:
  void header(const std::string& name, unsigned type, int mode, uintmax_t size) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                              archive_entry_free);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), type);
    archive_entry_set_perm(entry.get(), static_cast<mode_t>(mode));
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    archive_entry_set_mtime(entry.get(), time_, 0);
    archive_entry_set_uid(entry.get(), 0);
    archive_entry_set_gid(entry.get(), 0);
    archive_entry_set_uname(entry.get(), "greta");
    archive_entry_set_gname(entry.get(), "greta");
    check(archive_write_header(writer_.get(), entry.get()));
  }
  void data(const char* bytes, size_t size) {
    if (archive_write_data(writer_.get(), bytes, size) != static_cast<la_ssize_t>(size)) check(ARCHIVE_FATAL);
  }
  void check(int result) {
    if (sink_.problem) std::rethrow_exception(sink_.problem);
    if (result == ARCHIVE_OK) return;
    const char* reason = archive_error_string(writer_.get());
    fail_invalid("cannot write '{}': {}", path_, reason ? reason : "libarchive gives no reason");
  }

  // In this order: the writer's end writes through sink and file.
  std::string path_;
  std::time_t time_;
  AtomicFile file_;
  Sink sink_;
  std::unique_ptr<archive, decltype(&archive_write_free)> writer_{archive_write_new(), archive_write_free};
};

// Relative paths, sorted; a folder before what is in it.
std::vector<fs::path> contents(const fs::path& directory) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_symlink() || (!entry.is_regular_file() && !entry.is_directory()))
      fail_input("'{}' is neither a file nor a folder, and cannot be packed; remove it",
                 entry.path().string());
    out.push_back(entry.path().lexically_relative(directory));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

std::string pack_path(const std::string& directory) {
  fs::path path = fs::absolute(directory).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const fs::path given(directory);
  const bool plain = given.has_filename() && *given.filename().c_str() != '.';
  return (plain ? given : path).string() + ".tgz";
}

void write_pack(const std::string& directory, const std::string& path) try {
  if (!fs::is_directory(directory)) fail_input("there is no run directory '{}'", directory);
  const RunResult run = read_verdicts_json(directory + "/verdicts.json");
  const std::string root = fs::path(pack_path(directory)).stem();
  const auto files = contents(directory);
  const fs::path index = kIndex;
  const bool has_trace = std::find(files.begin(), files.end(), kTrace) != files.end();
  Tar tar(path, time_of(run.identity.created));
  tar.add_folder(root + "/");
  for (const auto& file : files) {
    const std::string name = root + "/" + file.generic_string();
    const fs::path from = fs::path(directory) / file;
    if (file == kTrace)
      tar.add_text(root + "/" + kIndex, trace_index(from));
    else if (has_trace && file == index)
      fail_input("'{}' has a {} of its own beside {}; remove it", directory, kIndex, kTrace);
    else if (fs::is_directory(from))
      tar.add_folder(name + "/");
    else
      tar.add_file(name, from);
  }
  tar.close();
} catch (const fs::filesystem_error& error) {
  fail_input("cannot read '{}': {}", directory, error.code().message());
}

}  // namespace greta::reports
