// A writer killed at a random moment leaves a file that opens, says that it is incomplete, and holds what was
// flushed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <thread>

#include "datasets/trace_testing.hpp"

namespace greta {
namespace {

using namespace trace_testing;

struct Progress {
  std::atomic<int> flushed{0};  // tensors known to be on disk
  std::atomic<bool> opened{false};
};

TraceKey key_of(int i) {
  return {"p" + std::to_string(i % 3), "auto", "decode" + std::to_string(i % 2), i % 4,
          "s" + std::to_string(i)};
}

TensorPtr tensor_of(int i) {
  auto tensor = std::make_shared<Tensor>(DType::f32, std::vector<int64_t>{3, 100 + 37 * (i % 50)});
  for (size_t at = 0; float& value : tensor->f32())
    value = static_cast<float>(i) + static_cast<float>(at++) / 4096;
  return tensor;
}

[[noreturn]] void write_for_ever(const std::string& path, Progress& progress) {
  try {
    TraceWriter writer(path, identity());
    progress.opened = true;
    for (int i = 0;; ++i) {
      writer.submit(record(key_of(i), tensor_of(i)));
      if (i % 3 != 2) continue;
      writer.flush();
      progress.flushed = i + 1;
    }
  } catch (const std::exception&) {
    std::_Exit(1);
  }
}

TEST(TraceKill, OpensWhateverTheMoment) {
  const uint64_t seed = fresh_seed();
  SCOPED_TRACE(testing::Message() << "GRETA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  void* shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  const char* many = std::getenv("GRETA_KILL_TRIALS");
  const int trials = many ? std::atoi(many) : 60;
  int64_t flushed = 0, opened = 0;
  const TemporaryFolder folder;
  for (int trial = 0; trial < trials; ++trial) {
    const std::string path = folder.file("t" + std::to_string(trial % 40) + ".h5");
    std::filesystem::remove(path);
    auto& progress = *new (shared) Progress;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_for_ever(path, progress);
    while (!progress.opened && ::waitpid(child, nullptr, WNOHANG) == 0) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ::waitpid(child, nullptr, 0);

    const TraceReader reader(path);  // throws when the file does not open
    ++opened;
    EXPECT_FALSE(reader.complete());
    const int known = progress.flushed;
    flushed += known;
    EXPECT_GE(static_cast<int>(reader.keys().size()), known);
    for (int i = 0; i < known; ++i) EXPECT_TRUE(reader.contains(key_of(i))) << i;
    for (const auto& key : reader.keys()) {
      const auto got = reader.read(key).tensor;  // checks xxh3
      const auto wanted = tensor_of(std::atoi(key.stage.c_str() + 1));
      ASSERT_EQ(got->shape(), wanted->shape());
      ASSERT_EQ(std::memcmp(got->data(), wanted->data(), got->bytes()), 0) << key.path();
    }
  }
  ::munmap(shared, 4096);
  EXPECT_EQ(opened, trials);
  EXPECT_GT(flushed, 0) << "the children were killed while writing";
  RecordProperty("flushed_tensors", std::to_string(flushed));

  // The same files by h5py: each opens, and each dataset can be read.
  std::ofstream(folder.file("script.py")) << R"(
import glob, h5py, sys
for name in glob.glob(sys.argv[1] + '/*.h5'):
    with h5py.File(name, 'r') as f:
        assert f.attrs['complete'] == 0, name
        f.visititems(lambda path, item: (dict(item.attrs), item[()] if isinstance(item, h5py.Dataset) else 0) and None)
)";
  if (std::system("/usr/bin/python3 -c 'import h5py'") != 0) GTEST_SKIP() << "*** h5py IS MISSING ***";
  EXPECT_EQ(std::system(("/usr/bin/python3 " + folder.file("script.py") + " " + folder.file("")).c_str()), 0);
}

}  // namespace
}  // namespace greta
