// Runs whose arms run several models: every file is named, and a cell that the run did not come to shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reports/example_runs_test.hpp"
#include "reports/markdown.hpp"
#include "reports/summary.hpp"
#include "reports/terminal.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::reports {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

RunResult run_of_two() {
  RunResult run = passing_run();
  run.models = {{"auto", "a.gguf", "00112233445566ff", "q8_0", 1},
                {"valu", "b.gguf", "ffeeddccbbaa9988", "f16", 7}};
  return run;
}

TEST(SeveralModels, FilesAreNamedOnce) {
  RunResult run = run_of_two();
  run.models.push_back({"third", "a.gguf", "00112233445566ff", "q8_0", 1});
  const auto files = model_files(run);
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "a.gguf");
  EXPECT_THAT(files[0].arms, ElementsAre("auto", "third"));
  EXPECT_EQ(files[1].digest, "ffeeddccbbaa9988");
  const auto single = model_files(passing_run());
  ASSERT_EQ(single.size(), 1u);
  EXPECT_EQ(single[0].path, passing_run().identity.model_path);
  EXPECT_TRUE(single[0].arms.empty());
}

TEST(SeveralModels, GoThroughVerdictsJson) {
  const auto back = from_verdicts_json(to_verdicts_json(run_of_two()), "test");
  ASSERT_EQ(back.models.size(), 2u);
  EXPECT_EQ(back.models[1].arm, "valu");
  EXPECT_EQ(back.models[1].path, "b.gguf");
  EXPECT_EQ(back.models[1].digest, "ffeeddccbbaa9988");
  EXPECT_EQ(back.models[1].quant, "f16");
  EXPECT_EQ(back.models[1].seed, 7u);
  EXPECT_THAT(to_verdicts_json(passing_run()), Not(HasSubstr("\"models\"")));
}

TEST(SeveralModels, ReportsShowFilesAndCells) {
  const RunResult run = run_of_two();
  for (const auto& text : {terminal_report(run, {}), markdown_report(run)}) {
    EXPECT_THAT(text, HasSubstr("a.gguf"));
    EXPECT_THAT(text, HasSubstr("b.gguf"));
    EXPECT_THAT(text, HasSubstr("ffeeddccbbaa9988"));
    EXPECT_THAT(text, HasSubstr("arm \\ prompt"));
  }
  EXPECT_THAT(terminal_report(passing_run(), {}), Not(HasSubstr("arm \\ prompt")));
}

TEST(SeveralModels, ACellWithoutFindingsShows) {
  RunResult run = run_of_two();
  run.prompts.push_back("p9_missing");
  const Grid grid = by_prompt(run, Language::english);
  ASSERT_EQ(grid.rows, (std::vector<std::string>{"auto", "valu"}));
  ASSERT_EQ(grid.columns.back(), "p9_missing");
  for (const auto& row : grid.cells) {
    EXPECT_EQ(to_string(row.back()), "·");
    EXPECT_GT(row[row.size() - 2].findings, 0);
  }
}

}  // namespace
}  // namespace greta::reports
