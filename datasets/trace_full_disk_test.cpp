// A full disk: one clear error, then nothing more is written, and what was flushed before is there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "datasets/error.hpp"
#include "datasets/trace_testing.hpp"

namespace greta {
namespace {

using namespace trace_testing;
using testing::HasSubstr;

// Writes until the disk is full, with a flush every few tensors; returns how many tensors were flushed, and
// the error.
std::pair<int, std::string> fill(const std::string& path, int64_t elements) {
  std::mt19937_64 random(1);
  int flushed = 0;
  std::string message;
  TraceWriter writer(path, identity());
  try {
    for (int i = 0; i < 100000; ++i) {
      writer.submit(record({"p", "a", "prefill", i, "q"}, random_tensor({elements}, random)));
      if (i % 4 != 3) continue;
      writer.flush();
      flushed = i + 1;
    }
    ADD_FAILURE() << "the disk never became full";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    message = error.what();
  }
  EXPECT_THROW(writer.flush(), Error) << "and it stays an error";
  EXPECT_THROW(writer.submit(record({"p", "a", "prefill", 0, "k"}, index_coded(DType::f32, {2}))), Error);
  EXPECT_THROW(writer.close(), Error);
  return {flushed, message};
}

void expect_kept(const std::string& path, int flushed) {
  const TraceReader reader(path);
  EXPECT_FALSE(reader.complete());
  EXPECT_EQ(static_cast<int>(reader.keys().size()), flushed);
  for (const auto& key : reader.keys()) EXPECT_NO_THROW(reader.read(key));
}

class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(TraceFullDisk, FileSizeLimit) {
  const uint64_t seed = fresh_seed();
  SCOPED_TRACE(testing::Message() << "GRETA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  for (const int64_t elements : {int64_t{100}, int64_t{3000}, int64_t{100000}}) {
    const TemporaryFolder folder;
    const std::string path = folder.file("t.h5");
    std::pair<int, std::string> result;
    {
      const FileSizeLimit limit((1 << 20) + random() % (1 << 20));
      result = fill(path, elements);
    }
    EXPECT_THAT(result.second, HasSubstr("cannot write trace " + path + ": File too large; "));
    expect_kept(path, result.first);
  }
}

TEST(TraceFullDisk, SmallFilesystem) {
  const TemporaryFolder folder;
  if (::mount("tmpfs", folder.file("").c_str(), "tmpfs", 0, "size=2m") != 0)
    GTEST_SKIP() << "needs the right to mount a tmpfs: " << std::strerror(errno);
  for (const int64_t elements : {int64_t{50}, int64_t{5000}}) {
    const std::string path = folder.file("t" + std::to_string(elements) + ".h5");
    const auto [flushed, message] = fill(path, elements);
    EXPECT_THAT(message, HasSubstr("cannot write trace " + path + ": No space left on device; "));
    EXPECT_GT(flushed, 0);
    expect_kept(path, flushed);
    std::filesystem::remove(path);
  }
  // A file that has not even room for its first state: an error, and nothing is left behind.
  {
    std::ofstream filler(folder.file("filler"), std::ios::binary);
    const std::string block(4096, 'x');
    while (filler.write(block.data(), 4096).flush()) {
    }
  }
  EXPECT_THROW(TraceWriter(folder.file("late.h5"), identity()), Error);
  EXPECT_FALSE(std::filesystem::exists(folder.file("late.h5")));
  EXPECT_FALSE(std::filesystem::exists(folder.file("late.h5.new")));
  ::umount2(folder.file("").c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace greta
