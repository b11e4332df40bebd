#include "reports/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reports/table.hpp"

namespace greta::reports {
namespace {

ProgressState at(double seconds, int64_t done = 250) {
  return {.done = done,
          .total = 1000,
          .seconds = seconds,
          .eta_seconds = 3 * seconds,
          .what = "p0_short/auto decode0"};
}

TEST(Progress, PlainLinesComeAtIntervals) {
  ProgressLine line(false, 80);
  EXPECT_EQ(line.update(at(0.5)), " 25 %  250 of 1,000  0.50 s, 1.50 s left  p0_short/auto decode0\n");
  EXPECT_EQ(line.update(at(10.4)), "");
  EXPECT_EQ(line.update(at(10.5)), " 25 %  250 of 1,000  10.5 s, 31.5 s left  p0_short/auto decode0\n");
  EXPECT_EQ(line.finish(), "") << "a log has nothing to clear";
}

TEST(Progress, ATerminalsLineIsDrawnOverItself) {
  ProgressLine line(true, 30);
  EXPECT_EQ(line.finish(), "") << "nothing drawn yet";
  const std::string drawn = line.update(at(1));
  EXPECT_THAT(drawn, testing::StartsWith("\r\x1b[K"));
  EXPECT_EQ(drawn.size(), 4 + 29u) << "cut to the terminal, so that it never wraps";
  EXPECT_EQ(line.update(at(1.05)), "");
  EXPECT_NE(line.update(at(1.2)), "");
  EXPECT_EQ(line.finish(), "\r\x1b[K");
}

TEST(Progress, NoEtaBeforeTheFirstComparison) {
  ProgressLine line(false, 80);
  EXPECT_EQ(line.update(at(2, 0)), "  0 %  0 of 1,000  2.00 s  p0_short/auto decode0\n");
}

TEST(Table, AlignsByWhatATerminalShows) {
  Table table({"stage", "0"});
  table.add_row({{"q", {}}, {"✗12", "31"}});
  table.add_row({{"softmax", {}}, {"·", {}}});
  EXPECT_EQ(table.text(false, 0), "stage      0\nq        ✗12\nsoftmax    ·\n");
  EXPECT_EQ(display_width("✗12"), 3);
}

TEST(Words, NumbersTimesAndShellWords) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-1234), "-1,234");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(duration(125), "2 min 05 s");
  EXPECT_EQ(duration(59.96), "60.0 s");
  EXPECT_EQ(duration(3725), "1 h 02 min");
  EXPECT_EQ(duration(-1), "?");
  EXPECT_EQ(shell_quoted("a/b.gguf"), "a/b.gguf");
  EXPECT_EQ(shell_quoted("it's (1)"), "'it'\\''s (1)'");
  EXPECT_EQ(shell_quoted(""), "''");
}

}  // namespace
}  // namespace greta::reports
