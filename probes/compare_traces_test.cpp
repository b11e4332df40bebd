#include "probes/compare_traces.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "datasets/error.hpp"
#include "datasets/trace_testing.hpp"

namespace greta::probes {
namespace {

using namespace trace_testing;
using testing::HasSubstr;

class CompareTraces : public testing::Test {
 protected:
  const TraceReader& write(const std::string& name, const std::vector<TraceRecord>& records,
                           RunIdentity who = identity()) {
    TraceWriter writer(folder.file(name), who);
    for (const auto& one : records) writer.submit(one);
    writer.close();
    return *readers.emplace_back(std::make_unique<TraceReader>(folder.file(name)));
  }
  // Four stages with the same coded values; element `at` of stage q is changed by `factor`.
  static std::vector<TraceRecord> records(const std::string& arm, int64_t at = 0, double factor = 1) {
    std::vector<TraceRecord> out;
    for (const std::string stage : {"q", "k", "v"}) {
      Tensor tensor = index_coded(DType::f32, {3, 5, 7})->rows(0, 3);
      if (stage == "q") tensor.f32()[static_cast<size_t>(at)] *= static_cast<float>(factor);
      out.push_back(record({"p0_short", arm, "prefill", 2, stage}, std::make_shared<Tensor>(tensor)));
    }
    out.push_back(record({"weights", "", "", -1, "output.weight"}, index_coded(DType::f16, {4, 4})));
    return out;
  }
  std::string error(const TraceReader& a, const TraceReader& b) {
    try {
      compare_traces(a, b);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::invalid);
      return e.what();
    }
    return "";
  }
  const TemporaryFolder folder;
  std::vector<std::unique_ptr<TraceReader>> readers;
};

Status worst_of(const std::vector<Finding>& findings) {
  Status status = Status::pass;
  for (const auto& finding : findings) status = worse(status, finding.status);
  return status;
}

TEST_F(CompareTraces, EqualRunsPass) {
  const auto& a = write("a.h5", records("auto"));
  const auto& b = write("b.h5", records("auto"));
  const auto findings = compare_traces(a, b);
  ASSERT_EQ(findings.size(), 4u);
  EXPECT_EQ(worst_of(findings), Status::pass);
  EXPECT_EQ(findings[0].key(), "p0_short/auto/prefill/layer_02/k compare");
  EXPECT_EQ(findings[3].stage, "weight/output.weight");
  EXPECT_EQ(findings[3].metrics.count, 16);
}

TEST_F(CompareTraces, OneElementIsSeenAndNamed) {
  const auto& a = write("a.h5", records("auto", 2 * 35 + 3 * 7 + 4, 1 + 1e-6));
  const auto& b = write("b.h5", records("auto"));
  auto findings = compare_traces(a, b);
  EXPECT_EQ(worst_of(findings), Status::fail);
  ASSERT_EQ(findings[1].stage, "q");
  EXPECT_EQ(findings[1].status, Status::fail);
  EXPECT_THAT(findings[1].message.text(), HasSubstr("[2, 3, 4]"));
  EXPECT_EQ(findings[1].metrics.out_of_bound, 1);
  const auto status = [&](const char* tolerance) {
    return worst_of(compare_traces(a, b, {.tolerance = TraceTolerance::parse(tolerance)}));
  };
  EXPECT_EQ(status("rel=2e-6"), Status::pass);
  EXPECT_EQ(status("rel=5e-7"), Status::fail);
  const double ulps = static_cast<double>(findings[1].metrics.max_ulp);
  EXPECT_GT(ulps, 1);
  EXPECT_EQ(status(("ulp=" + std::to_string(ulps)).c_str()), Status::pass);
  EXPECT_EQ(status(("ulp=" + std::to_string(ulps - 1)).c_str()), Status::fail);
}

TEST_F(CompareTraces, ArmsCanBePaired) {
  const auto& a = write("a.h5", records("valu"));
  const auto& b = write("b.h5", records("mfma"));
  EXPECT_EQ(worst_of(compare_traces(a, b)), Status::invalid) << "only the weights are in both";
  const auto findings = compare_traces(a, b, {.arms = {{"valu", "mfma"}}});
  EXPECT_EQ(findings.size(), 4u);
  EXPECT_EQ(worst_of(findings), Status::pass);
}

TEST_F(CompareTraces, MissingTensorsAreInvalid) {
  auto fewer = records("auto");
  fewer.erase(fewer.begin());
  const auto& a = write("a.h5", records("auto"));
  const auto& b = write("b.h5", fewer);
  for (const auto& [x, y, where] : {std::tie(a, b, "trace A"), std::tie(b, a, "trace B")}) {
    const auto findings = compare_traces(x, y);
    ASSERT_EQ(findings.size(), 4u);
    EXPECT_EQ(worst_of(findings), Status::invalid);
    const auto only =
        std::find_if(findings.begin(), findings.end(), [](auto& f) { return f.status == Status::invalid; });
    EXPECT_EQ(only->stage, "q");
    EXPECT_THAT(only->message.text(), HasSubstr(std::string("layer_02/q is only in ") + where));
  }
  const auto& empty = write("c.h5", {});
  const auto nothing = compare_traces(empty, empty);
  ASSERT_EQ(nothing.size(), 1u);
  EXPECT_EQ(nothing[0].status, Status::invalid);
}

TEST_F(CompareTraces, ShapesTypesAndWindowsAreInvalid) {
  const auto one = [&](auto change) {
    auto changed = records("auto");
    change(changed[0]);
    return write("x" + std::to_string(readers.size()) + ".h5", {changed[0]}).keys().size() > 0
               ? readers.back().get()
               : nullptr;
  };
  const auto* plain = one([](TraceRecord&) {});
  const auto message = [&](const TraceReader* other) {
    const auto findings = compare_traces(*plain, *other);
    EXPECT_EQ(findings.size(), 1u);
    EXPECT_EQ(findings[0].status, Status::invalid);
    return findings[0].message.text();
  };
  EXPECT_THAT(message(one([](TraceRecord& r) {
                r.tensor = index_coded(DType::f32, {5, 3, 7});
              })),
              HasSubstr("shape"));
  EXPECT_THAT(message(one([](TraceRecord& r) {
                r.tensor = index_coded(DType::bf16, {3, 5, 7});
              })),
              HasSubstr("type"));
  EXPECT_THAT(message(one([](TraceRecord& r) { r.window = "rows 0..2"; })), HasSubstr("window"));
  EXPECT_THAT(message(one([](TraceRecord& r) { r.axes = "S,H,T"; })), HasSubstr("axes"));
  EXPECT_THAT(error(*plain, *one([](TraceRecord& r) { r.positions = {1, 2, 3}; })), HasSubstr("positions"));
}

TEST_F(CompareTraces, DifferentRunsAreRefused) {
  const auto& a = write("a.h5", records("auto"));
  auto who = identity();
  who.model_digest = "ffff";
  EXPECT_THAT(error(a, write("b.h5", records("auto"), who)), HasSubstr("different models"));
  who = identity();
  who.prompt_tokens["p0_short"] = {1, 2, 4};
  EXPECT_THAT(error(a, write("c.h5", records("auto"), who)),
              HasSubstr("prompt p0_short has different tokens"));
  who.prompt_tokens.clear();
  EXPECT_THAT(error(a, write("d.h5", records("auto"), who)), HasSubstr("trace B does not say which tokens"));
}

TEST_F(CompareTraces, ATraceCutShortIsInvalid) {
  const auto& a = write("a.h5", records("auto"));
  {
    TraceWriter writer(folder.file("b.h5"), identity());
    for (const auto& one : records("auto")) writer.submit(one);
  }
  const auto findings = compare_traces(a, TraceReader(folder.file("b.h5")));
  EXPECT_EQ(worst_of(findings), Status::invalid);
  EXPECT_THAT(findings.back().message.text(), HasSubstr("trace B was cut short"));
}

TEST(TraceToleranceTest, ParsesStrictly) {
  EXPECT_EQ(TraceTolerance::parse("").text(), "bitwise");
  EXPECT_EQ(TraceTolerance::parse("ulp=4").ulp, 4);
  EXPECT_EQ(TraceTolerance::parse("rel=1e-3").rel, 1e-3);
  for (const char* wrong : {"4", "ulp", "ulp=", "ulp=x", "rel=-1", "rel=nan", "abs=1", "rel=1e-3x"})
    EXPECT_THROW(TraceTolerance::parse(wrong), Error) << wrong;
}

}  // namespace
}  // namespace greta::probes
