// Who is excluded and who is not, on tensors made by hand: a cause multiplies, adds or spoils.
#include "probes/trials.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "datasets/test_seed.hpp"
#include "probes/evidence.hpp"

namespace greta::probes {
namespace {

using reference::Bounded;
using reference::Matrix;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr double kBound = 1e-6;

// Three causes of the catalogue lend their names; what they do here is the test's.
const Cause* cause(int index) {
  const char* names[] = {"weight_layout=col", "head_scale=applied", "tile_store=transposed"};
  return &find_cause(names[index]);
}
const std::vector<const Cause*> kAll = {cause(0), cause(1), cause(2)};

// What a cause does to one tensor: to its values, or nothing that could be told (idle), or evidence that is
// not there.
struct Effect {
  std::function<double(double, Eigen::Index)> change;  // null: idle
  bool missing = false;
};
using Effects = std::map<const Cause*, Effect>;

class Made {
 public:
  explicit Made(uint64_t seed) : random_(seed) {}

  // A tensor that went wrong by `planted`, among `effects`.
  Failing tensor(const std::string& name, Effects effects, const std::vector<const Cause*>& planted,
                 double off = 0) {
    Matrix right(5, 7);
    std::normal_distribution<double> normal(0, 1);
    for (Eigen::Index i = 0; i < right.size(); ++i) right.data()[i] = normal(random_);
    const Bounded wrong = *apply(right, effects, planted, nullptr);
    auto output = std::make_shared<std::vector<float>>();
    for (Eigen::Index i = 0; i < right.size(); ++i)
      output->push_back(static_cast<float>(wrong.value.data()[i]));
    (*output)[11] += static_cast<float>(off);
    return {name, [=] {
              Subject subject{.name = name, .shape = {5, 7}, .output = *output, .holds = output};
              subject.right = [=] { return bounded(right); };
              subject.suppose = [=](Causes causes, Message* why) {
                return apply(right, effects, causes, why);
              };
              return subject;
            }};
  }

 private:
  static Bounded bounded(const Matrix& value) {
    const Matrix bound = Matrix::Constant(value.rows(), value.cols(), kBound);
    return {value, bound, bound, "made by hand"};
  }
  static std::optional<Bounded> apply(Matrix value, const Effects& effects, Causes causes, Message* why) {
    for (const Cause* one : causes) {
      const Effect& effect = effects.at(one);
      if (effect.missing) throw Missing(say("v of layer 1 did not come from the engine"));
      if (!effect.change) {
        if (why) *why = say("one row");
        return std::nullopt;
      }
      for (Eigen::Index i = 0; i < value.size(); ++i) value.data()[i] = effect.change(value.data()[i], i);
    }
    return bounded(value);
  }
  std::mt19937_64 random_;
};

double twice(double x, Eigen::Index) { return 2 * x; }
double shifted(double x, Eigen::Index i) { return x + 1 + 0.1 * static_cast<double>(i); }
double negated(double x, Eigen::Index i) { return i % 2 ? -x : x + 0.5; }

const Effects kEffects = {{cause(0), {twice}}, {cause(1), {shifted}}, {cause(2), {negated}}};

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
