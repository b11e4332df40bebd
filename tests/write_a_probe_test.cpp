// docs/write-a-probe.md does what it says: its probe, which the build has taken from the page, runs under its
// suite to a verdict on a tiny model: PASS on the clean engine and after harmless changes, FAIL on each
// planted fault.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <random>

#include "datasets/test_seed.hpp"
#include "probes/probe.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using engine::TapRecord;
using engine::TapSink;
using probes::Finding;
using probes::Status;
using testing::HasSubstr;

std::string read(const std::string& name) {
  std::ifstream file(std::string(GRETA_SOURCE_DIR) + "/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// The fenced block that begins with `opening`, without its fences.
std::string block(const std::string& page, const std::string& language, const std::string& opening) {
  const std::string fence = "```" + language + "\n";
  const auto begin = page.find(fence + opening);
  const auto end = page.find("\n```", begin);
  EXPECT_NE(end, std::string::npos) << opening;
  if (begin == std::string::npos || end == std::string::npos) return {};
  return page.substr(begin + fence.size(), end + 1 - begin - fence.size());
}

// A probe that forgets to judge what the plan has promised.
struct Forgetful {
  static constexpr std::string_view name = "forgetful";
  static constexpr std::string_view doc = "says nothing of the second layer";
  void check_layer(const probes::LayerView& at, probes::Judge& judge) const {
    for (const Stage stage : at.stages)
      if (at.layer != 1)
        judge(at.place(stage),
              [&](Finding& finding) { finding.metrics.count = at.tap(stage).tensor->size(); });
  }
};
REGISTER_PROBE(Forgetful);

struct WriteAProbe : testing::Test {
  WriteAProbe() : seed(test_seed()), random(seed), page(read("docs/write-a-probe.md")) {
    RecordProperty("seed", std::to_string(seed));
  }
  // The page's suite with the given softmax records; `more`: further probes.
  reports::RunResult run_with(const std::function<void(const CallInfo&, TapRecord&)>& tamper,
                              const std::string& more = "") const {
    const RunFolder folder;
    auto options = folder.options();
    options.keep_trace = false;
    const Tampering tampering{.record = [&](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
      if (tamper) tamper(info, record);
      sink(std::move(record));
    }};
    return run(parse_suite(block(page, "toml", "# rows.toml") + more, "rows.toml"), options,
               tampered(tampering));
  }
  static void edit(TapRecord& record, const std::function<void(std::span<float>)>& with) {
    Tensor copy = Tensor::from_f32(record.tensor->shape(), record.tensor->f32());
    with(copy.f32());
    record.tensor = std::make_shared<const Tensor>(std::move(copy));
  }
  const uint64_t seed;
  std::mt19937_64 random;
  const std::string page;
};

std::vector<Finding> failing(const reports::RunResult& result) {
  std::vector<Finding> out;
  for (const auto& finding : result.findings)
    if (finding.status != Status::pass) out.push_back(finding);
  return out;
}

std::string texts(const std::vector<Finding>& findings) {
  std::string out;
  for (const auto& finding : findings) out += finding.key() + ": " + finding.message.text() + "\n";
  return out;
}

TEST_F(WriteAProbe, TheExampleIsShortAndTheSameInTheReadme) {
  const auto code = block(page, "cpp", "// probes/softmax_rows.cpp");
  EXPECT_LT(std::count(code.begin(), code.end(), '\n'), 40);
  EXPECT_EQ(code, block(read("README.md"), "cpp", "// probes/softmax_rows.cpp"));
}

TEST_F(WriteAProbe, TheCleanEnginePasses) {
  const auto result = run_with({});
  EXPECT_EQ(result.status, Status::pass) << texts(failing(result)) << result.interrupted.text();
  EXPECT_EQ(result.compared, result.planned);
  ASSERT_FALSE(result.findings.empty());
  for (const auto& finding : result.findings) {
    EXPECT_EQ(finding.probe, "softmax_rows");
    EXPECT_GT(finding.metrics.count, 0);
    EXPECT_GT(finding.metrics.worst_bound, 0);
  }
}

TEST_F(WriteAProbe, WeightOnALaterKeyFails) {
  const auto result = run_with([&](const CallInfo& info, TapRecord& record) {
    if (record.stage != Stage::softmax || record.layer != 0 || info.tokens < 2) return;
    edit(record, [&](std::span<float> weights) {  // the first row sees the first key alone
      weights[1] = 1e-30f;
    });
  });
  EXPECT_EQ(result.status, Status::fail) << result.interrupted.text();
  const auto found = failing(result);
  ASSERT_FALSE(found.empty());
  for (const auto& finding : found) {
    EXPECT_EQ(finding.key(), found.front().key());
    EXPECT_THAT(finding.key(), HasSubstr("/prefill/layer_00/softmax softmax_rows"));
    EXPECT_THAT(finding.message.text(), HasSubstr("worst at [0, 0]: inf"));
  }
}

// What stage_parity's bound, which has to leave room for the exponential, lets pass.
TEST_F(WriteAProbe, AScaledLayerFailsWhereStageParityPasses) {
  const auto result = run_with(
      [&](const CallInfo&, TapRecord& record) {
        if (record.stage != Stage::softmax || record.layer != 1) return;
        edit(record, [](std::span<float> weights) {
          for (float& w : weights) w = static_cast<float>(w * (1 + 11 * 0x1p-24));
        });
      },
      "[[probe]]\nuse = \"stage_parity\"\nstages = [\"softmax\"]\n");
  EXPECT_EQ(result.status, Status::fail) << result.interrupted.text();
  const auto found = failing(result);
  EXPECT_EQ(found.size(), 3u) << "prefill, prefill_last, decode0\n" << texts(found);
  for (const auto& finding : found) {
    EXPECT_EQ(finding.probe, "softmax_rows") << finding.message.text();
    EXPECT_EQ(finding.layer, 1);
    EXPECT_THAT(finding.message.text(), HasSubstr(", reference 1 (bound "));
  }
}

TEST_F(WriteAProbe, HarmlessChangesPass) {
  const auto result = run_with([&](const CallInfo& info, TapRecord& record) {
    if (record.stage == Stage::q) change(record, random() % 64, [](float x) { return x + 1; });
    if (record.stage != Stage::softmax || info.tokens > 1) return;
    edit(record, [&](std::span<float> weights) {  // of one row of decode0
      const auto T = static_cast<size_t>(record.tensor->shape().back());
      std::shuffle(weights.begin(), weights.begin() + static_cast<long>(T), random);
    });
  });
  EXPECT_EQ(result.status, Status::pass)
      << texts(failing(result)) << result.interrupted.text() << " seed " << seed;
}

TEST_F(WriteAProbe, AContractWithoutAChainIsInvalid) {
  const auto result = run_with([&](const CallInfo&, TapRecord& record) {
    if (record.stage == Stage::softmax && record.layer == 0) record.contract = "op=add";
  });
  EXPECT_EQ(result.status, Status::invalid);
}

TEST_F(WriteAProbe, APlaceWithoutAFindingIsInvalid) {
  const auto result = run_with({}, "[[probe]]\nuse = \"forgetful\"\nstages = [\"q\"]\n");
  EXPECT_EQ(result.status, Status::invalid);
  const auto found = failing(result);
  ASSERT_EQ(found.size(), 3u) << texts(found);
  for (const auto& finding : found) {
    EXPECT_EQ(finding.layer, 1);
    EXPECT_THAT(finding.message.text(), HasSubstr("the probe gave no verdict on " + finding.phase));
  }
}

}  // namespace
}  // namespace greta::suites
