// Packs are read again by tar, not by the library that wrote them.
#include "reports/pack.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "datasets/error.hpp"
#include "datasets/trace.hpp"
#include "reports/example_runs_test.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::reports {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  for (int c; (c = fgetc(pipe)) != EOF;) text += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return text;
}

class Pack : public testing::Test {
 protected:
  Pack()
      : folder_(fs::path(testing::TempDir()) / ("greta_pack_" + std::to_string(getpid()))),
        run_(folder_ / "b3_25") {
    fs::remove_all(folder_);
    fs::create_directories(run_ / "plots");
    write_verdicts_json(failing_run(), run_ / "verdicts.json");
    write("report.md", "# report\n");
    write("plots/layer 0.svg", std::string(3'000'000, 'x') + "é");
    write("empty.txt", "");
  }
  ~Pack() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(run_ / name, std::ios::binary) << text;
  }
  void write_trace() const {
    TraceWriter writer(run_ / "trace.h5", {.model_digest = "00ff", .created = "2026-11-21T08:00:00Z"});
    for (const int layer : {0, 1})
      writer.submit(
          {{"p0", "auto", "prefill", layer, "q"},
           std::make_shared<const Tensor>(Tensor::from_f32({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6})),
           "S,D",
           {0, 1},
           "",
           "matmul",
           "op=matmul"});
    writer.close();
  }
  std::string tgz() const { return folder_ / "b3_25.tgz"; }
  void expect_refusal(ExitCode code, const std::string& text) const {
    try {
      write_pack(run_, tgz());
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
    EXPECT_FALSE(fs::exists(tgz()));
    EXPECT_LE(std::distance(fs::directory_iterator(folder_), {}), 1) << "nothing half-written stays";
  }

  fs::path folder_, run_;
};

TEST_F(Pack, TarGivesBackEveryByte) {
  write_trace();
  write_pack(run_, tgz());
  const fs::path out = folder_ / "out";
  fs::create_directories(out);
  EXPECT_EQ(output_of("tar -tzf " + tgz()),
            "b3_25/\nb3_25/empty.txt\nb3_25/plots/\nb3_25/plots/layer 0.svg\nb3_25/report.md\n"
            "b3_25/trace-index.json\nb3_25/verdicts.json\n");
  output_of("tar -xzf " + tgz() + " -C " + out.string());
  for (const char* name : {"empty.txt", "plots/layer 0.svg", "report.md", "verdicts.json"})
    EXPECT_EQ(content(out / "b3_25" / name), content(run_ / name)) << name;
  EXPECT_FALSE(fs::exists(out / "b3_25/trace.h5"));
}

TEST_F(Pack, TheIndexSaysWhatTheTraceHolds) {
  write_trace();
  const auto index = nlohmann::json::parse(trace_index(run_ / "trace.h5"));
  EXPECT_EQ(index["schema"], "greta/trace-index");
  EXPECT_EQ(index["bytes"], fs::file_size(run_ / "trace.h5"));
  EXPECT_EQ(index["complete"], true);
  ASSERT_EQ(index["tensors"].size(), 2u);
  EXPECT_EQ(index["tensors"][1]["path"], "/p0/auto/prefill/layer_01/q");
  EXPECT_EQ(index["tensors"][1]["shape"], (std::vector<int>{2, 3}));
  EXPECT_EQ(index["tensors"][1]["bytes"], 24);
  EXPECT_EQ(index["tensors"][0]["xxh3"], index["tensors"][1]["xxh3"]) << "the same values";
  if (output_of("command -v xxhsum || true").empty()) return;  // an independent XXH3, where there is one
  EXPECT_THAT(output_of("xxhsum -H3 " + (run_ / "trace.h5").string()),
              HasSubstr(index["xxh3"].get<std::string>()));
}

TEST_F(Pack, TheSameRunGivesTheSameBytes) {
  write_trace();
  write_pack(run_, tgz());
  const std::string first = content(tgz());
  fs::last_write_time(run_ / "report.md", fs::file_time_type::clock::now() + std::chrono::hours(24));
  fs::permissions(run_ / "report.md", fs::perms::owner_all);
  write_pack(run_, tgz());
  EXPECT_EQ(content(tgz()), first);
  EXPECT_THAT(output_of("TZ=UTC tar -tvzf " + tgz()),
              AllOf(HasSubstr("2026-11-21 08:00"), HasSubstr("greta/greta")));
  write("report.md", "# Report\n");
  write_pack(run_, tgz());
  EXPECT_NE(content(tgz()), first);
}

TEST_F(Pack, NothingIsLeftOutInSilence) {
  fs::create_symlink("report.md", run_ / "link");
  expect_refusal(ExitCode::bad_input, "link' is neither a file nor a folder");
  fs::remove(run_ / "link");
  write("trace.h5", "no trace");
  expect_refusal(ExitCode::bad_input, "trace.h5");
  fs::remove(run_ / "trace.h5");
  fs::remove(run_ / "verdicts.json");
  expect_refusal(ExitCode::bad_input, "cannot open '");
  fs::remove_all(run_);
  expect_refusal(ExitCode::bad_input, "there is no run directory");
}

// A file-size limit stands for a full disk: write(2) refuses in the middle.
TEST_F(Pack, AFullDiskLeavesNothing) {
  std::string noise(2'000'000, 0);
  uint64_t state = 1;
  for (auto& c : noise)
    c = static_cast<char>((state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 56);
  write("noise.bin", noise);
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit small{500'000, limit.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  expect_refusal(ExitCode::invalid, "cannot write '" + tgz() + "': File too large");
  setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, handler);
}

TEST(PackPath, IsBesideTheDirectory) {
  EXPECT_EQ(pack_path("runs/b3_25"), "runs/b3_25.tgz");
  EXPECT_EQ(pack_path("/tmp/a/b/"), "/tmp/a/b.tgz");
  EXPECT_EQ(pack_path("."), fs::current_path().string() + ".tgz");
}

}  // namespace
}  // namespace greta::reports
