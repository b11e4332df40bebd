#include "engine/choices.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/error.hpp"

namespace greta::engine {
namespace {

std::string refusal(std::string_view name, std::string_view value) {
  Settings settings;
  try {
    choose(settings, name, value);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "";
}

TEST(Choices, EachValueReachesItsField) {
  Settings s;
  choose(s, "unit", "mfma");
  EXPECT_EQ(s.unit, Unit::mfma);
  choose(s, "shape", "gemv");
  EXPECT_EQ(s.shape, Shape::gemv);
  choose(s, "operand", "bf16");
  EXPECT_EQ(s.operand, Operand::bf16);
  choose(s, "tuning", "plain");
  EXPECT_EQ(s.tuning, Tuning::plain);
  choose(s, "tuning", "wide");
  EXPECT_EQ(s.tuning, Tuning::wide);
  choose(s, "attention", "fused");
  EXPECT_EQ(s.attention, Attention::fused);
  choose(s, "kv", "f16");
  EXPECT_EQ(s.kv, DType::f16);
  choose(s, "kv", "bf16");
  EXPECT_EQ(s.kv, DType::bf16);
  choose(s, "fusion", "off");
  EXPECT_EQ(s.fusion, Toggle::off);
  choose(s, "graph", "on");
  EXPECT_EQ(s.graph, Toggle::on);
  choose(s, "matrix_unit", "hopper");
  EXPECT_EQ(s.matrix_unit, "hopper");
}

// The first of a row's values is what a Settings holds that nobody has touched.
TEST(Choices, DefaultsComeFirst) {
  for (const Choice& choice : choices()) {
    Settings touched;
    choose(touched, choice.name, choice.default_value());
    const Settings untouched;
    EXPECT_TRUE(touched.unit == untouched.unit && touched.shape == untouched.shape &&
                touched.operand == untouched.operand && touched.tuning == untouched.tuning &&
                touched.attention == untouched.attention && touched.kv == untouched.kv &&
                touched.fusion == untouched.fusion && touched.graph == untouched.graph &&
                touched.matrix_unit == untouched.matrix_unit)
        << choice.name;
  }
}

TEST(Choices, RefuseWithTheNearestRightName) {
  EXPECT_THAT(refusal("attention", "fuse"), ::testing::HasSubstr("did you mean 'fused'"));
  EXPECT_THAT(refusal("kv", "fp16"), ::testing::HasSubstr("did you mean 'f16'"));
  EXPECT_THAT(refusal("grph", "on"), ::testing::HasSubstr("did you mean 'graph'"));
  EXPECT_THAT(refusal("matrix_unit", "cdna"), ::testing::HasSubstr("cdna2"));
  EXPECT_THAT(refusal("fusion", ""), ::testing::HasSubstr("unknown fusion"));
}

}  // namespace
}  // namespace greta::engine
