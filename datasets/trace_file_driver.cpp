#include "datasets/trace_file_driver.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#if __has_include(<H5FDdevelop.h>)
#include <H5FDdevelop.h>
#endif

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "datasets/error.hpp"

namespace greta {
namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kLongestRun = 1 << 20;
constexpr hsize_t kMetadataBlock =
    64 * 1024;  // object headers of many tensors lie together, between the tensors

// Version 0 of the superblock (HDF5 File Format Specification, II.A): offsets of the fields that publish()
// sets.
constexpr size_t kSuperblockBytes = 96, kEndOfFileField = 40, kRootHeaderField = 64, kRootCacheField = 72;

// 0, or errno. A write never crosses a page while `within_pages`, so that a kill leaves each page old or new.
int write_all(int fd, uint64_t address, std::span<const std::byte> bytes, bool within_pages) {
  while (!bytes.empty()) {
    const uint64_t room = within_pages ? kPage - address % kPage : bytes.size();
    const ssize_t done =
        ::pwrite(fd, bytes.data(), std::min<uint64_t>(room, bytes.size()), static_cast<off_t>(address));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return done < 0 ? errno : ENOSPC;
    bytes = bytes.subspan(static_cast<size_t>(done));
    address += static_cast<uint64_t>(done);
  }
  return 0;
}

}  // namespace

struct TraceFile::Driver {
  H5FD_t base;  // the library's view of this object: must be first
  int fd = -1;
  haddr_t end_of_allocation = 0;
  uint64_t published = 0;                              // the file's size as the last superblock says it
  std::map<uint64_t, std::vector<std::byte>> waiting;  // disjoint ranges, by address

  static Driver& of(H5FD_t* file) { return *reinterpret_cast<Driver*>(file); }
  static const Driver& of(const H5FD_t* file) { return *reinterpret_cast<const Driver*>(file); }

  void forget(uint64_t begin, uint64_t end);
  int read(uint64_t address, std::span<std::byte> out) const;
  int write_waiting() const;
  int publish(uint64_t root_address);

  static H5FD_t* open(const char* name, unsigned flags, hid_t, haddr_t);
  static herr_t close(H5FD_t* file);
};

void TraceFile::Driver::forget(uint64_t begin, uint64_t end) {
  auto it = waiting.upper_bound(begin);
  if (it != waiting.begin()) --it;
  while (it != waiting.end() && it->first < end) {
    const uint64_t first = it->first, last = first + it->second.size();
    if (last <= begin) {
      ++it;
      continue;
    }
    if (last > end) {
      const auto tail = it->second.end() - static_cast<ptrdiff_t>(last - end);
      waiting.emplace(end, std::vector<std::byte>(tail, it->second.end()));
    }
    if (first < begin) {
      it->second.resize(begin - first);
      ++it;
    } else {
      it = waiting.erase(it);
    }
  }
}

int TraceFile::Driver::read(uint64_t address, std::span<std::byte> out) const {
  size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t got =
        ::pread(fd, out.data() + filled, out.size() - filled, static_cast<off_t>(address + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  std::fill(out.begin() + static_cast<ptrdiff_t>(filled), out.end(), std::byte{0});
  const uint64_t end = address + out.size();
  auto it = waiting.upper_bound(address);
  if (it != waiting.begin()) --it;
  for (; it != waiting.end() && it->first < end; ++it) {
    const uint64_t from = std::max(address, it->first),
                   to = std::min<uint64_t>(end, it->first + it->second.size());
    if (from < to)
      std::memcpy(out.data() + (from - address), it->second.data() + (from - it->first), to - from);
  }
  return 0;
}

// Neighbouring ranges go out as one write.
int TraceFile::Driver::write_waiting() const {
  std::vector<std::byte> run;
  uint64_t begin = 0;
  const auto write_run = [&] { return write_all(fd, begin, run, begin < published); };
  for (const auto& [address, bytes] : waiting) {
    if (address != begin + run.size() || run.size() > kLongestRun) {
      if (const int error = write_run()) return error;
      begin = address;
      run.clear();
    }
    run.insert(run.end(), bytes.begin(), bytes.end());
  }
  return write_run();
}

int TraceFile::Driver::publish(uint64_t root_address) {
  std::array<std::byte, kSuperblockBytes> superblock;
  if (const int error = read(0, superblock)) return error;
  if (superblock[8] != std::byte{0}) return ENOTSUP;  // not version 0: H5Pset_libver_bounds was lost
  std::memcpy(superblock.data() + kEndOfFileField, &end_of_allocation, 8);
  std::memcpy(superblock.data() + kRootHeaderField, &root_address, 8);
  std::memset(superblock.data() + kRootCacheField, 0, kSuperblockBytes - kRootCacheField);

  forget(0, kSuperblockBytes);
  if (const int error = write_waiting()) return error;
  struct stat status;
  if (::fstat(fd, &status) != 0) return errno;
  if (static_cast<uint64_t>(status.st_size) < end_of_allocation)
    if (::ftruncate(fd, static_cast<off_t>(end_of_allocation)) != 0) return errno;
  if (const int error = write_all(fd, 0, superblock, true)) return error;
  waiting.clear();
  published = end_of_allocation;
  return 0;
}

H5FD_t* TraceFile::Driver::open(const char* name, unsigned, hid_t, haddr_t) {
  const int fd = ::open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return nullptr;
  auto* driver = new Driver{};
  driver->fd = fd;
  return &driver->base;
}

herr_t TraceFile::Driver::close(H5FD_t* file) {
  auto* driver = &of(file);
  const int result = ::close(driver->fd);
  delete driver;
  return result;
}

hid_t TraceFile::driver_class() {
  static const H5FD_class_t driver = [] {
    H5FD_class_t c{};
#if H5_VERSION_GE(1, 13, 0)
    c.version = H5FD_CLASS_VERSION;
    c.value = H5FD_CLASS_VALUE_T(600);
#endif
    c.name = "greta_trace";
    c.maxaddr = static_cast<haddr_t>(std::numeric_limits<int64_t>::max());
    c.fc_degree = H5F_CLOSE_STRONG;
    c.open = Driver::open;
    c.close = Driver::close;
    c.query = [](const H5FD_t*, unsigned long* flags) -> herr_t {
      return *flags = H5FD_FEAT_AGGREGATE_METADATA, 0;
    };
    c.get_eoa = [](const H5FD_t* file, H5FD_mem_t) { return Driver::of(file).end_of_allocation; };
    c.set_eoa = [](H5FD_t* file, H5FD_mem_t, haddr_t end) -> herr_t {
      return Driver::of(file).end_of_allocation = end, 0;
    };
    c.get_eof = [](const H5FD_t* file, H5FD_mem_t) { return Driver::of(file).end_of_allocation; };
    c.get_handle = [](H5FD_t* file, hid_t, void** handle) -> herr_t {
      return *handle = &Driver::of(file), 0;
    };
    c.read = [](H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size, void* buffer) -> herr_t {
      return Driver::of(file).read(address, {static_cast<std::byte*>(buffer), size}) == 0 ? 0 : -1;
    };
    c.write = [](H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, size_t size,
                 const void* buffer) -> herr_t {
      auto& self = Driver::of(file);
      const auto* bytes = static_cast<const std::byte*>(buffer);
      self.forget(address, address + size);
      self.waiting.insert_or_assign(address, std::vector<std::byte>(bytes, bytes + size));
      return 0;
    };
    // Kinds of metadata need no address spaces of their own.
    std::fill(std::begin(c.fl_map), std::end(c.fl_map), H5FD_MEM_DEFAULT);
    return c;
  }();
  static const hid_t id = H5FDregister(&driver);
  return id;
}

TraceFile::TraceFile(const std::string& path) : path_(path), temporary_(path + ".new") {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) fail(EISDIR);
  const Hdf5Properties access(H5Pcreate(H5P_FILE_ACCESS), "cannot set up HDF5");
  check_hdf5(H5Pset_driver(access, driver_class(), nullptr), "cannot set up the trace's file driver");
  // Superblock version 0: no consistency flag that a killed process would leave set.
  check_hdf5(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), "cannot set up HDF5");
  // Tensors and the collections of strings (4096 bytes or more) start on a page: a string added later to a
  // collection changes one page, which no kill can tear.
  check_hdf5(H5Pset_alignment(access, kPage, kPage), "cannot set up HDF5");
  check_hdf5(H5Pset_meta_block_size(access, kMetadataBlock), "cannot set up HDF5");
  const hid_t id = H5Fcreate(temporary_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  if (id < 0) {
    const int error = errno;
    H5Eclear2(H5E_DEFAULT);
    fail(error);
  }
  file_ = Hdf5File(id, "H5Fcreate");
  void* handle = nullptr;
  check_hdf5(H5Fget_vfd_handle(file_, H5P_DEFAULT, &handle), "cannot reach the trace's file driver");
  driver_ = static_cast<Driver*>(handle);
}

TraceFile::~TraceFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void TraceFile::write_raw(uint64_t address, std::span<const std::byte> bytes) {
  if (const int error = write_all(driver_->fd, address, bytes, false)) fail(error);
}

void TraceFile::forget(uint64_t address, uint64_t bytes) { driver_->forget(address, address + bytes); }

void TraceFile::publish(uint64_t root_address) {
  check_hdf5(H5Fflush(file_, H5F_SCOPE_LOCAL), "cannot flush the trace's metadata");
  if (const int error = driver_->publish(root_address)) fail(error);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
  temporary_.clear();
}

void TraceFile::fail(int error) const {
  const char* advice = error == ENOSPC || error == EFBIG || error == EDQUOT
                           ? "free some space or write elsewhere; what was flushed before is safe"
                           : "choose a file in a directory that exists and can be written";
  fail_input("cannot write trace {}: {}; {}", path_, std::strerror(error), advice);
}

}  // namespace greta
