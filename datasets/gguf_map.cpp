// GgufFile::open: the file, mapped read-only for as long as a GgufFile (or a copy of it) lives.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "datasets/error.hpp"
#include "datasets/gguf.hpp"

namespace greta {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (number_ >= 0) return;
    if (errno == ENOENT) fail_input("{}: no such model file; check the path", path);
    fail_input("{}: cannot open the model file ({}); check its permissions", path, std::strerror(errno));
  }
  ~Descriptor() { ::close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

GgufFile GgufFile::open(const std::string& path) {
  const Descriptor file(path);
  struct stat status {};
  if (::fstat(file.number(), &status) != 0)
    fail_input("{}: cannot read the model file's size ({})", path, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail_input("{}: is a directory; name the .gguf file inside it", path);
  if (!S_ISREG(status.st_mode)) fail_input("{}: is not a regular file; name a .gguf file", path);
  if (status.st_size == 0) fail_input("{}: header: the file is empty; download or convert it again", path);

  const auto bytes = static_cast<size_t>(status.st_size);
  void* address = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.number(), 0);
  if (address == MAP_FAILED)
    fail_input("{}: cannot map {} bytes into memory ({})", path, bytes, std::strerror(errno));
  const std::shared_ptr<const void> mapping(
      address, [bytes](const void* mapped) { ::munmap(const_cast<void*>(mapped), bytes); });

  GgufFile model = parse({static_cast<const std::byte*>(address), bytes}, path);
  model.mapping_ = mapping;
  return model;
}

}  // namespace greta
