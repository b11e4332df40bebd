// weight_layout and v_layout: each reading is told from the other, neither is an answer, and a window is the
// instrument's fault.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "datasets/error.hpp"
#include "datasets/synthesise.hpp"
#include "probes/fake_evidence.hpp"
#include "probes/figures.hpp"
#include "probes/keys_window.hpp"
#include "reference/hypothesis.hpp"

namespace greta::probes {
namespace {

using testing::HasSubstr;

const reference::Model& tiny_model() {
  static const auto path =
      std::filesystem::temp_directory_path() / ("greta_layouts_" + std::to_string(getpid()) + ".gguf");
  static const GgufFile file = [] {
    synthesise({.preset = "tiny", .quant = "q8_0", .seed = 3}, path.string());
    auto opened = GgufFile::open(path.string());
    std::filesystem::remove(path);  // the mapping keeps it
    return opened;
  }();
  static const reference::Model model(file);
  return model;
}

std::string text_of(const Finding& finding, std::string_view name, const std::string& of = "") {
  for (const auto& figure : finding.figures)
    if (figure.name == name && figure.of == of) return figure.text;
  return "no figure";
}
double value_of(const Finding& finding, std::string_view name, const std::string& of = "") {
  for (const auto& figure : finding.figures)
    if (figure.name == name && figure.of == of) return figure.value;
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<float> rounded(const reference::Matrix& m) { return {m.data(), m.data() + m.size()}; }

constexpr int64_t kRows = 20;  // a full tile of 16 and some

struct Layouts : testing::Test {
  Layouts() : seed(test_seed()), random(seed), phase(evidence.add("prefill", call(), sizes())) {
    RecordProperty("seed", std::to_string(seed));
    evidence.prompt = "p";
    evidence.arm = "auto";
    evidence.model = &tiny_model();
  }
  static StageSizes sizes() { return tiny_model().config().sizes(kRows, kRows); }
  static reference::Call call() { return {std::vector<int32_t>(kRows, 1), 0}; }
  reference::Fetch fetch() const {
    return [this](const reference::OperandRef& ref) { return operand(phase, tiny_model().config(), ref); };
  }
  void put(Stage stage, const std::vector<float>& values, const std::string& contract) {
    phase.forget(0, std::vector{stage}, Run::first);
    phase.put(0, stage, tap_of(phase, stage, values, contract));
  }
  uint64_t seed;
  std::mt19937_64 random;
  Evidence evidence;
  Phase& phase;
};

struct WeightLayoutTest : Layouts {
  static constexpr const char* kContract = "op=matmul x=f32 w=f32 acc=f32 chain=256 out=f32 unit=ieee";
  WeightLayoutTest() {
    put(Stage::attn_norm, random_values(static_cast<size_t>(kRows * sizes().D), random), "op=rmsnorm");
  }
  // k: a weight that is not square.
  std::vector<float> output(const char* cause) const {
    const auto contract = reference::Contract::parse(kContract);
    const auto from = fetch();
    const auto of_this_call = call();
    const reference::Matrix unused;
    std::vector<const Cause*> causes;
    if (*cause) causes.push_back(&find_cause(cause));
    return rounded(
        reference::suppose({tiny_model(), Stage::k, 0, of_this_call, contract, from, unused}, causes)
            .value()
            .value);
  }
  Finding judged(const std::vector<float>& values) {
    put(Stage::k, values, kContract);
    return only(ProbeRun("weight_layout").layer(evidence, phase, 0, {Stage::k}));
  }
};

TEST_F(WeightLayoutTest, ARightProductIsRow) {
  auto values = output("");
  values[7] = std::nextafter(values[7], 9.0f);
  const auto finding = judged(values);
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
  EXPECT_EQ(text_of(finding, "layout"), "row");
  EXPECT_EQ(text_of(finding, "smaller"), "row");
  EXPECT_GT(value_of(finding, "ratio_col"), 1);
}

TEST_F(WeightLayoutTest, AProductByColumnIsCol) {
  const auto finding = judged(output("weight_layout=col"));
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_EQ(text_of(finding, "layout"), "col");
  EXPECT_LE(value_of(finding, "ratio_col"), 1);
  EXPECT_LT(value_of(finding, "mae_col"), value_of(finding, "mae_row"));
  EXPECT_THAT(finding.message.text(), HasSubstr("read by column"));
}

TEST_F(WeightLayoutTest, TransposedTilesAreNeitherAndTheSmallerMisfitIsNoCause) {
  const auto finding = judged(output("tile_store=transposed"));
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_EQ(text_of(finding, "layout"), "neither");
  EXPECT_THAT(text_of(finding, "smaller"), testing::AnyOf("row", "col"));
  EXPECT_THAT(finding.message.text(),
              testing::AllOf(HasSubstr("neither reading fits"), HasSubstr("no cause")));
}

TEST_F(WeightLayoutTest, WhatDidNotComeIsNoVerdict) {
  EXPECT_EQ(only(ProbeRun("weight_layout").layer(evidence, phase, 0, {Stage::k})).status, Status::invalid);
}

struct VLayoutTest : Layouts {
  static constexpr const char* kSum = "op=pv x=f32 w=f32 acc=f32 chain=64 out=f32 unit=ieee";
  VLayoutTest() {
    const auto s = sizes();
    written = random_values(static_cast<size_t>(s.T * s.Hkv * s.Dh), random);
    put(Stage::v, written, "op=matmul");
    put(Stage::v_cache, written, "op=copy");
    weights.assign(static_cast<size_t>(s.S * s.H * s.T), 0);
    for (int64_t row = 0; row < s.S * s.H; ++row)
      for (int64_t key = 0; key <= row / s.H; ++key)
        weights[static_cast<size_t>(row * s.T + key)] = 1.0f / static_cast<float>(row / s.H + 1);
    put(Stage::softmax, weights, "op=softmax");
    attend(written);
  }
  // pv and attn_out as a right engine makes them of these V rows.
  void attend(const std::vector<float>& values) {
    const auto s = sizes();
    std::vector<float> out(static_cast<size_t>(s.S * s.H * s.Dh));
    for (int64_t row = 0; row < s.S; ++row)
      for (int64_t h = 0; h < s.H; ++h)
        for (int64_t d = 0; d < s.Dh; ++d) {
          double sum = 0;
          for (int64_t t = 0; t < s.T; ++t)
            sum += static_cast<double>(weights[static_cast<size_t>((row * s.H + h) * s.T + t)]) *
                   values[static_cast<size_t>((t * s.Hkv + h / (s.H / s.Hkv)) * s.Dh + d)];
          out[static_cast<size_t>((row * s.H + h) * s.Dh + d)] = static_cast<float>(sum);
        }
    put(Stage::pv, out, kSum);
    put(Stage::attn_out, out, "op=copy");
  }
  Finding judged(Stage stage, const std::string& heads = "all") {
    return only(ProbeRun("v_layout", {{"heads", heads}}).layer(evidence, phase, 0, {stage}));
  }
  std::vector<float> written, weights;
};

TEST_F(VLayoutTest, ARightCacheIsRowAndItsSumsFollow) {
  const auto finding = judged(Stage::v_cache);
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
  EXPECT_EQ(text_of(finding, "v_layout_best"), "row");
  EXPECT_EQ(text_of(finding, "v_layout_best", "head 5"), "row");
  EXPECT_EQ(value_of(finding, "v_mae_row"), 0);
  EXPECT_GT(value_of(finding, "v_mae_col"), 0.1);
  for (const Stage stage : {Stage::pv, Stage::attn_out}) {
    const auto sums = judged(stage);
    EXPECT_EQ(sums.status, Status::pass) << sums.message.text();
    EXPECT_LT(value_of(sums, std::string(name_of(stage)) + "_mae", "head 7"), 1e-6);
  }
}

TEST_F(VLayoutTest, ATransposedCacheIsColAndTheSumsOfItAreWrong) {
  const auto s = sizes();
  const auto width = static_cast<size_t>(s.Hkv * s.Dh), rows = static_cast<size_t>(s.T);
  std::vector<float> by_column(written.size());
  for (size_t t = 0; t < rows; ++t)
    for (size_t i = 0; i < width; ++i) by_column[t * width + i] = written[i * rows + t];
  put(Stage::v_cache, by_column, "op=copy");
  attend(by_column);
  const auto finding = judged(Stage::v_cache, "0,2");
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_EQ(text_of(finding, "v_layout_best"), "col");
  EXPECT_EQ(text_of(finding, "v_layout_best", "head 2"), "col");
  EXPECT_EQ(text_of(finding, "v_layout_best", "head 1"), "no figure") << "not asked for";
  const auto sums = judged(Stage::pv);
  EXPECT_EQ(sums.status, Status::fail);
  EXPECT_THAT(sums.message.text(),
              HasSubstr("follows from what attention read, but not from the V that was written"));
}

TEST_F(VLayoutTest, AnotherLayersCacheIsNoLayout) {
  put(Stage::v_cache, random_values(written.size(), random), "op=copy");
  const auto finding = judged(Stage::v_cache);
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_EQ(text_of(finding, "v_layout_best"), "neither");
  EXPECT_THAT(finding.message.text(), HasSubstr("this is not a layout"));
}

TEST_F(VLayoutTest, AWindowThatLeavesKeysOutIsTheInstrumentsFault) {
  evidence.keys_window = 8;
  for (const Stage stage : {Stage::pv, Stage::attn_out}) {
    const auto finding = judged(stage);
    const std::string mae = std::string(name_of(stage)) + "_mae";
    EXPECT_EQ(finding.status, Status::invalid);
    EXPECT_THAT(finding.message.text(), HasSubstr("the instrument, not the engine, makes the difference"));
    EXPECT_LT(value_of(finding, mae), 1e-6) << "as a whole it is right";
    EXPECT_GT(value_of(finding, mae + "_window"), 1e-3);
    EXPECT_EQ(text_of(finding, kWindow, "head 0"), "keys 0-7 of 20");
    EXPECT_EQ(value_of(finding, kKeysLeftOut), 12);
    EXPECT_NEAR(value_of(finding, "weight_left_out"), 12.0 / 20, 1e-6);
    EXPECT_GT(finding.metrics.count, 0) << "there was evidence";
  }
}

TEST_F(VLayoutTest, AWindowThatLeavesNothingOutPasses) {
  for (const int64_t window : {kRows, kRows + 100}) {
    evidence.keys_window = window;
    const auto finding = judged(Stage::pv);
    EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
    EXPECT_EQ(text_of(finding, kWindow), "all 20 keys");
    EXPECT_TRUE(std::isnan(value_of(finding, kKeysLeftOut)));
  }
}

TEST_F(VLayoutTest, AWindowExcusesNoEngineThatIsWrong) {
  evidence.keys_window = 8;
  const auto pv = phase.tap(0, Stage::pv).f32();
  std::vector<float> moved(pv.begin(), pv.end());
  moved[std::uniform_int_distribution<size_t>(0, moved.size() - 1)(random)] += 0.01f;
  put(Stage::pv, moved, kSum);
  const auto finding = judged(Stage::pv);
  EXPECT_EQ(finding.status, Status::fail) << finding.message.text() << " seed " << seed;
}

TEST_F(VLayoutTest, HeadsAreHeldToTheOptionAndToTheModel) {
  const auto& probe = find_probe("v_layout");
  for (const char* wrong : {"", "0,0", "-1", "1,", "one", "0;1", "01"})
    EXPECT_THROW(complete_options(probe, {{"heads", wrong}}), Error) << wrong;
  for (const char* right : {"all", "0", "0,1,2"}) {
    const auto options = complete_options(probe, {{"heads", right}});
    EXPECT_NO_THROW(probe.fit(options, tiny_model().config())) << right;
  }
  EXPECT_THROW(probe.fit({{"heads", "0,8"}}, tiny_model().config()), Error) << "tiny has heads 0 to 7";
}

}  // namespace
}  // namespace greta::probes
