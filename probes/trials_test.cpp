// Who is excluded and who is not, on tensors made by hand: a cause multiplies, adds or spoils.
#include "probes/trials.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "datasets/test_seed.hpp"
#include "probes/made_tensors_test.hpp"

namespace greta::probes {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

std::vector<std::string> texts(const std::vector<Trial>& trials) {
  std::vector<std::string> out;
  for (const auto& trial : trials) out.push_back(trial.text());
  return out;
}

class Trials : public testing::Test {
 protected:
  Trials() : seed_(test_seed()), made_(seed_) {
    RecordProperty("seed", std::to_string(seed_));
    fmt::print("GRETA_TEST_SEED={}\n", seed_);
  }
  uint64_t seed_;
  Made made_;
};

TEST_F(Trials, OneThatFitsEverywhereExplains) {
  const std::vector<Failing> tensors = {made_.tensor("a", kEffects, {cause(1)}),
                                        made_.tensor("b", kEffects, {cause(1)})};
  int seen = 0;
  const Search found = search(tensors, kAll, {.seen = [&](const Subject&, const Bounded&) { ++seen; }});
  EXPECT_EQ(found.answer(), Answer::explained);
  EXPECT_EQ(texts(found.fitting), std::vector<std::string>{cause(1)->text()});
  EXPECT_LE(found.fitting[0].ratio, 1);
  ASSERT_THAT(found.excluded, SizeIs(2));
  EXPECT_GT(found.excluded[0].ratio, 1);
  EXPECT_LE(found.excluded[0].ratio, found.excluded[1].ratio);
  EXPECT_EQ(found.tried, 2);
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(found.pairs, 0) << "one fits";
}

TEST_F(Trials, OneThatMissesOneTensorIsExcludedThere) {
  const std::vector<Failing> tensors = {made_.tensor("a", kEffects, {cause(0)}),
                                        made_.tensor("b", kEffects, {cause(0)}, 3 * kBound)};
  const Search found = search(tensors, kAll, {});
  EXPECT_EQ(found.answer(), Answer::unexplained);
  ASSERT_THAT(found.excluded, testing::Not(testing::IsEmpty()));
  EXPECT_EQ(found.excluded[0].text(), cause(0)->text()) << "the smallest misfit is no cause";
  EXPECT_EQ(found.excluded[0].place, "b");
  EXPECT_GT(found.excluded[0].ratio, 1);
  EXPECT_EQ(found.pairs, 3);
}

TEST_F(Trials, NaNNeverFits) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto spoiled = [=](double x, Eigen::Index i) { return i == 4 ? nan : 2 * x; };
  Effects effects = kEffects;
  const auto planted = made_.tensor("a", {{cause(0), {spoiled}}}, {cause(0)});
  // The same values but for the NaN.
  const std::vector<Failing> tensors = {
      {"a", [&] {
         Subject subject = planted.open();
         auto right = subject.right().value;
         subject.suppose = [right](Causes, Message*) {
           const Matrix bound = Matrix::Constant(5, 7, 1e30);
           return std::optional<Bounded>(Bounded{2 * right, bound, bound, ""});
         };
         return subject;
       }}};
  const Search found = search(tensors, std::vector<const Cause*>{cause(0)}, {});
  EXPECT_EQ(found.answer(), Answer::unexplained);
  ASSERT_THAT(found.excluded, SizeIs(1));
  EXPECT_EQ(found.excluded[0].ratio, std::numeric_limits<double>::infinity());
}

TEST_F(Trials, NothingToVaryInAFailingTensorContradicts) {
  Effects idle = kEffects;
  idle[cause(2)].change = nullptr;
  // The first fits; the second fails in a way that the cause cannot have brought about.
  const std::vector<Failing> tensors = {made_.tensor("a", kEffects, {cause(2)}),
                                        made_.tensor("b", idle, {cause(0)})};
  const std::vector<const Cause*> one = {cause(2)};
  const Search found = search(tensors, one, {});
  EXPECT_EQ(found.answer(), Answer::unexplained);
  ASSERT_THAT(found.excluded, SizeIs(1));
  EXPECT_EQ(found.excluded[0].ratio, std::numeric_limits<double>::infinity());
  EXPECT_THAT(found.excluded[0].note.text(), HasSubstr("cannot have broken b: one row"));
  // Where it never applied it is not excluded but untested.
  const std::vector<Failing> never = {made_.tensor("b", idle, {cause(0)})};
  const Search untested = search(never, one, {});
  EXPECT_THAT(untested.excluded, SizeIs(0));
  ASSERT_THAT(untested.not_applicable, SizeIs(1));
  EXPECT_FALSE(untested.not_applicable[0].applies);
  EXPECT_THAT(untested.not_applicable[0].note.text(), HasSubstr("one row"));
}

TEST_F(Trials, MissingEvidenceNeitherFitsNorExcludes) {
  Effects effects = kEffects;
  effects[cause(1)].missing = true;
  const std::vector<Failing> tensors = {made_.tensor("a", effects, {cause(0)})};
  const Search found = search(tensors, kAll, {});
  EXPECT_EQ(texts(found.fitting), std::vector<std::string>{cause(0)->text()});
  ASSERT_THAT(found.not_applicable, SizeIs(1));
  EXPECT_EQ(found.not_applicable[0].text(), cause(1)->text());
  EXPECT_THAT(found.not_applicable[0].note.text(), HasSubstr("did not come"));
}

TEST_F(Trials, TwoThatPredictTheSameAreIndistinguishable) {
  Effects effects = kEffects;
  effects[cause(2)].change = twice;
  const std::vector<Failing> tensors = {made_.tensor("a", effects, {cause(0)})};
  const Search found = search(tensors, kAll, {});
  EXPECT_EQ(found.answer(), Answer::indistinguishable);
  EXPECT_EQ(texts(found.fitting), (std::vector<std::string>{cause(0)->text(), cause(2)->text()}));
}

TEST_F(Trials, APairIsFoundWhenNoneFitsAlone) {
  Effects idle = kEffects;
  idle[cause(2)].change = nullptr;
  // In the second tensor one half of the pair has nothing to vary: the other half alone is what is predicted.
  const std::vector<Failing> tensors = {made_.tensor("a", kEffects, {cause(0), cause(2)}),
                                        made_.tensor("b", idle, {cause(0)})};
  const Search found = search(tensors, kAll, {});
  EXPECT_EQ(found.answer(), Answer::explained);
  ASSERT_THAT(found.fitting, SizeIs(1));
  EXPECT_EQ(found.fitting[0].text(), cause(0)->text() + " + " + cause(2)->text());
  EXPECT_EQ(found.pairs, 3);
}

TEST_F(Trials, ATensorInBoundIsNotTried) {
  const std::vector<Failing> tensors = {made_.tensor("fine", kEffects, {}),
                                        made_.tensor("a", kEffects, {cause(0)}),
                                        {"gone", []() -> Subject { throw Missing(say("no trace of it")); }}};
  const Search found = search(tensors, kAll, {});
  EXPECT_EQ(found.answer(), Answer::explained);
  EXPECT_EQ(found.tried, 1);
  ASSERT_THAT(found.not_tried, SizeIs(2));
  EXPECT_THAT(found.not_tried[0].text(), HasSubstr("fine: the evidence does not show the failure"));
  EXPECT_THAT(found.not_tried[1].text(), HasSubstr("gone: no trace of it"));
  const std::vector<Failing> none = {tensors[0]};
  EXPECT_EQ(search(none, kAll, {}).answer(), Answer::unexplained) << "nothing was tried";
}

TEST_F(Trials, AnInterruptEndsTheSearch) {
  const std::vector<Failing> tensors = {made_.tensor("a", kEffects, {cause(0)})};
  int trials = 0;
  const SearchHooks hooks{.check_interrupt = [&] {
    if (++trials == 2) throw std::runtime_error("stop");
  }};
  EXPECT_THROW(search(tensors, kAll, hooks), std::runtime_error);
  EXPECT_EQ(trials, 2);
}

}  // namespace
}  // namespace greta::probes
