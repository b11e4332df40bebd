// Arms over several models: what a [matrix] makes of a suite's arms, and a run of them.
#include "suites/matrix.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/error.hpp"
#include "reports/verdicts_json.hpp"
#include "suites/explain_run.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using probes::Status;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kRest = R"(
[[probe]]
use = "stage_parity"
)";

Suite suite_of(const std::string& toml) {
  return parse_suite(
      "model = \"tiny\"\nprompts = [\"tokens:5,9,2,7\"]\nphases = [\"prefill\", \"decode0\"]\n" + toml +
          kRest,
      "m.toml");
}

std::string error_of(const std::string& toml) {
  try {
    suite_of(toml);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

std::vector<std::string> names_of(const Suite& suite) {
  std::vector<std::string> out;
  for (const auto& arm : suite.arms) out.push_back(arm.name);
  return out;
}

TEST(Matrix, MultipliesTheArms) {
  const auto suite = suite_of(
      "[matrix]\nquant = [\"q8_0\", \"f16\"]\nseed = [3, 4]\n"
      "[[arm]]\nname = \"a\"\nunit = \"mfma\"\n"
      "[[arm]]\nname = \"b\"\nunit = \"valu\"\ndiffers_from = \"a\"\n");
  EXPECT_THAT(names_of(suite), ElementsAre("a q8_0 seed=3", "b q8_0 seed=3", "a q8_0 seed=4", "b q8_0 seed=4",
                                           "a f16 seed=3", "b f16 seed=3", "a f16 seed=4", "b f16 seed=4"));
  EXPECT_EQ(suite.arms[5].quant, "f16");
  EXPECT_EQ(suite.arms[5].seed, 3u);
  EXPECT_EQ(suite.arms[5].differs_from, "a f16 seed=3");
  EXPECT_EQ(suite.arms[5].unit, "valu");
  EXPECT_THAT(names_of(suite_of("[matrix]\nseed = [1, 2]\n")), ElementsAre("auto seed=1", "auto seed=2"));
  const auto own = suite_of("[[arm]]\nname = \"a\"\nquant = \"f32\"\nseed = 9\n[[arm]]\nname = \"b\"\n");
  EXPECT_TRUE(own.arms[0].own_model());
  EXPECT_EQ(own.arms[0].seed, 9u);
  EXPECT_FALSE(own.arms[1].own_model());
}

TEST(Matrix, RefusesWhatItCannotMean) {
  EXPECT_THAT(error_of("[matrix]\nquant = [\"q8_1\"]\n"), HasSubstr("did you mean 'q8_0'"));
  EXPECT_THAT(error_of("[matrix]\nquants = [\"q8_0\"]\n"), HasSubstr("did you mean 'quant'"));
  EXPECT_THAT(error_of("[matrix]\nseed = [1, 1]\n"), HasSubstr("names 1 twice"));
  EXPECT_THAT(error_of("[matrix]\n"), HasSubstr("the matrix is empty"));
  EXPECT_THAT(error_of("matrix = 3\n"), HasSubstr("must be a table"));
  EXPECT_THAT(error_of("[matrix]\nquant = [\"f16\"]\n[[arm]]\nname = \"a\"\nquant = \"f32\"\n"),
              HasSubstr("has a quant of its own"));
  EXPECT_THAT(error_of("[matrix]\nseed = [1]\n[[arm]]\nname = \"a\"\nseed = 2\n"),
              HasSubstr("has a seed of its own"));
  EXPECT_THAT(error_of("[[arm]]\nname = \"a\"\nquant = \"f23\"\n"), HasSubstr("did you mean"));
}

// Files for the arms of a suite, as `greta run` makes them.
class Files {
 public:
  std::string file(const std::string& quant, uint64_t seed) {
    folders_.push_back(std::make_unique<RunFolder>(
        SynthesisOptions{.preset = "tiny", .quant = quant, .seed = seed, .layers = 2}));
    return folders_.back()->model();
  }
  RunOptions options(const Suite& suite) {
    RunOptions out{
        .model_path = {}, .out_dir = folder_.out(), .command_line = "greta run test", .threads = 1};
    for (const auto& arm : suite.arms) out.arm_models[arm.name] = file(arm.quant, *arm.seed);
    out.model_path = out.arm_models.begin()->second;
    return out;
  }
  std::string out() const { return folder_.out(); }

 private:
  RunFolder folder_;
  std::vector<std::unique_ptr<RunFolder>> folders_;
};

std::vector<std::string> reasons_of(const reports::RunResult& result) {
  std::vector<std::string> out;
  for (const auto& reason : reports::invalid_reasons(result)) out.push_back(reason.text());
  return out;
}

const std::string kTwo = "[matrix]\nquant = [\"q8_0\", \"q4_k_m\"]\nseed = [5]\n";

TEST(Matrix, EachArmRunsOnItsOwnModel) {
  const auto suite = suite_of(kTwo);
  Files files;
  const auto options = files.options(suite);
  const auto result = run(suite, options);
  EXPECT_EQ(result.interrupted.text(), "");
  EXPECT_EQ(result.status, Status::pass);
  ASSERT_EQ(result.models.size(), 2u);
  EXPECT_EQ(result.models[1].arm, "auto q4_k_m seed=5");
  EXPECT_EQ(result.models[1].quant, "q4_k_m");
  EXPECT_EQ(result.models[1].seed, 5u);
  EXPECT_EQ(result.models[1].path, options.arm_models.at("auto q4_k_m seed=5"));
  EXPECT_NE(result.models[0].digest, result.models[1].digest);
  EXPECT_EQ(result.identity.model_digest, result.models[0].digest);
  EXPECT_EQ(reports::model_files(result).size(), 2u);
  const auto back = reports::read_verdicts_json(files.out() + "/verdicts.json");
  ASSERT_EQ(back.models.size(), 2u);
  EXPECT_EQ(back.models[1].digest, result.models[1].digest);
  EXPECT_EQ(back.models[1].seed, 5u);
  for (const auto& control : result.controls) EXPECT_EQ(control.status, Status::pass) << control.line.text();
  int q4 = 0, q8 = 0;
  for (const auto& finding : result.findings) {
    q4 += finding.arm == "auto q4_k_m seed=5" && finding.kernel.find("q4_K") != std::string::npos;
    q8 += finding.arm == "auto q8_0 seed=5" && finding.kernel.find("q8_0") != std::string::npos;
  }
  EXPECT_GT(q4, 0);
  EXPECT_GT(q8, 0);
}

TEST(Matrix, AnEngineOnAnotherArmsModelIsInvalid) {
  const auto suite = suite_of(kTwo);
  Files files;
  const auto options = files.options(suite);
  const auto wrong = GgufFile::open(options.arm_models.at("auto q8_0 seed=5"));
  const auto result = run(suite, options, [&](const GgufFile&, const engine::Settings& settings) {
    return make_engine(wrong, settings);
  });
  EXPECT_EQ(result.exit_code(), ExitCode::invalid);
  EXPECT_THAT(reasons_of(result), testing::Contains(HasSubstr("control model of arm 'auto q4_k_m")));
}

// Every cell is in the plan: a run that ends before the last one is INVALID and says how much is missing.
TEST(Matrix, AMissingCellIsInvalid) {
  const auto suite = suite_of(kTwo);
  Files files;
  int made = 0;
  const auto result =
      run(suite, files.options(suite), [&](const GgufFile& file, const engine::Settings& settings) {
        if (++made == 2) throw std::runtime_error("no room for the second model");
        return make_engine(file, settings);
      });
  EXPECT_EQ(result.exit_code(), ExitCode::invalid);
  EXPECT_LT(result.compared, result.planned);
  EXPECT_THAT(reasons_of(result), testing::Contains(HasSubstr("arm 'auto q4_k_m seed=5' has no finding")));
}

TEST(Matrix, AFaultInOneArmIsExplainedOnItsModel) {
  const auto suite = suite_of(
      "[[arm]]\nname = \"right\"\nquant = \"q8_0\"\nseed = 5\n"
      "[[arm]]\nname = \"wrong\"\nquant = \"q4_k_m\"\nseed = 6\n"
      "faults = [\"q4_k_scales=linear\", \"rope_pairs=halves\"]\n");
  Files files;
  const auto result = run(suite, files.options(suite));
  const std::vector<std::string> causes = {"q4_k_scales=linear", "rope_pairs=halves"};
  EXPECT_EQ(reports::causes_of(result, "wrong"), causes);
  EXPECT_EQ(reports::conclude_arm(result, "right"), Status::pass);
  const auto again = explain_run({.directory = files.out()});
  EXPECT_EQ(reports::causes_of(again, "wrong"), causes);
  EXPECT_THROW(explain_run({.directory = files.out(), .model_path = files.file("q8_0", 5)}), Error);
}

TEST(Matrix, ModelsOfOtherSizesDoNotGoTogether) {
  const auto suite = suite_of(kTwo);
  Files files;
  auto options = files.options(suite);
  const RunFolder larger({.preset = "tiny", .quant = "q8_0", .seed = 5, .layers = 3});
  options.arm_models["auto q4_k_m seed=5"] = larger.model();
  EXPECT_THROW(run(suite, options), Error);
}

}  // namespace
}  // namespace greta::suites
