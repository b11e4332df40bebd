#include "probes/scope.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace greta::probes {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Finding at(const std::string& prompt, const std::string& phase, int layer, int64_t rows) {
  return {.probe = "stage_parity",
          .mode = "local",
          .prompt = prompt,
          .arm = "auto",
          .phase = phase,
          .layer = layer,
          .stage = "q",
          .shape = {rows, 4, 8}};
}

std::vector<const Finding*> refs(const std::vector<Finding>& findings) {
  std::vector<const Finding*> out;
  for (const auto& finding : findings) out.push_back(&finding);
  return out;
}

TEST(Scope, SaysWhereItFailsAndWhereItPasses) {
  const std::vector<Finding> failing = {at("p", "prefill", 0, 9), at("p", "prefill", 2, 9)};
  const std::vector<Finding> passing = {at("p", "prefill", 1, 9), at("p", "decode0", 0, 1)};
  EXPECT_EQ(scope_of(refs(failing), {}, refs(passing), {}).text(),
            "prefill only (decode0 passes); layers 0, 2 only (1 passes); prompt p");
}

TEST(Scope, SaysAllWhereNothingPasses) {
  const std::vector<Finding> failing = {at("a", "prefill", 0, 9), at("b", "decode0", 1, 1)};
  EXPECT_EQ(scope_of(refs(failing), {}, {}, {}).text(), "all 2 phases; all 2 layers; all 2 prompts");
}

TEST(Scope, NamesTheRowsFromWhichItFails) {
  const std::vector<Finding> failing = {at("long", "prefill", 0, 40), at("longer", "prefill", 0, 205)};
  const std::vector<Finding> passing = {at("short", "prefill", 0, 12), at("middle", "prefill", 0, 32)};
  const auto text = scope_of(refs(failing), {}, refs(passing), {}).text();
  EXPECT_THAT(text, HasSubstr("calls of 40 rows and more (32 and fewer pass)"));
  EXPECT_THAT(text, HasSubstr("prompts long, longer only (short, middle pass)"));
  // No threshold when a longer call passes.
  const std::vector<Finding> longer = {at("short", "prefill", 0, 100)};
  EXPECT_THAT(scope_of(refs(failing), {}, refs(longer), {}).text(), Not(HasSubstr("rows and more")));
}

TEST(Scope, WhatFailsOfSomethingElseDoesNotPass) {
  const std::vector<Finding> failing = {at("p", "prefill", 0, 9)}, other = {at("p", "decode0", 0, 1)};
  EXPECT_THAT(scope_of(refs(failing), refs(other), {}, {}).text(),
              HasSubstr("prefill only (decode0 fails of something else)"));
}

// [3, 4, 8] with `wrong` elements moved out of bound.
Marks marks_of(const std::vector<size_t>& wrong, float by) {
  std::vector<float> output(3 * 4 * 8, 1);
  for (const size_t i : wrong) output[i] += by;
  const Subject subject{.name = "p/prefill/layer_00/q", .shape = {3, 4, 8}, .output = output};
  const auto matrix = [](double x) -> reference::Matrix { return reference::Matrix::Constant(3, 32, x); };
  Marks marks;
  mark(marks, subject, {matrix(1), matrix(0.1), matrix(0.1), ""}, 0);
  return marks;
}

TEST(Scope, NamesHeadsRowsAndColumns) {
  const Finding failing = at("p", "prefill", 0, 3);
  const auto text = [&](const Marks& marks) { return scope_of({&failing}, {}, {}, marks).text(); };
  // Row 1, head 2, dims 0 and 7.
  EXPECT_THAT(text(marks_of({32 + 16, 32 + 23}, 0.2F)),
              HasSubstr("head 2 of 4 only; row 1 of 3, columns 16, 23 of 32 in p/prefill/layer_00/q"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(text(marks_of({0, 64}, nan)), HasSubstr("head 0 of 4 only; rows 0, 2 of 3, column 0 of 32"));
  std::vector<size_t> all(96);
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  EXPECT_THAT(text(marks_of(all, 1)), Not(HasSubstr("head")));
  EXPECT_THAT(text(marks_of({5}, 0.05F)), Not(HasSubstr("head"))) << "within its bound";
}

}  // namespace
}  // namespace greta::probes
