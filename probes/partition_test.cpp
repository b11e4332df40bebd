// Which tensors share a cause, on tensors made by hand.
#include "probes/partition.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/test_seed.hpp"
#include "probes/made_tensors_test.hpp"

namespace greta::probes {
namespace {

using Groups = std::vector<std::vector<size_t>>;
using ::testing::IsEmpty;

class PartitionTest : public testing::Test {
 protected:
  PartitionTest() : seed_(test_seed()), made_(seed_) { fmt::print("GRETA_TEST_SEED={}\n", seed_); }
  Failing planted(std::initializer_list<int> causes, const Effects& effects = kEffects) {
    std::vector<const Cause*> these;
    for (const int index : causes) these.push_back(cause(index));
    return made_.tensor(fmt::format("t{}", ++count_), effects, these);
  }
  Groups partition(const std::vector<Failing>& tensors) { return probes::partition(tensors, kAll, {}); }

  uint64_t seed_;
  Made made_;
  int count_ = 0;
};

TEST_F(PartitionTest, PlacesOfOneCauseAreOneGroup) {
  EXPECT_EQ(partition({planted({0}), planted({1}), planted({0}), planted({2}), planted({1})}),
            (Groups{{0, 2}, {1, 4}, {3}}));
}

TEST_F(PartitionTest, APairBesideEachOfItsHalves) {
  EXPECT_EQ(partition({planted({0, 2}), planted({2}), planted({0, 2}), planted({0})}),
            (Groups{{0, 2}, {1}, {3}}));
}

// Where one half of a pair has nothing to vary, what acts is the other half.
TEST_F(PartitionTest, AnIdleHalfDoesNotAct) {
  Effects idle = kEffects;
  idle[cause(2)].change = nullptr;
  EXPECT_EQ(partition({planted({0, 2}), planted({0}, idle), planted({0})}), (Groups{{0}, {1, 2}}));
}

TEST_F(PartitionTest, AWiderCauseTakesWhatTwoFit) {
  Effects same = kEffects;  // here cause 1 cannot be told from cause 0
  same[cause(1)].change = twice;
  EXPECT_EQ(partition({planted({0}, same), planted({1}), planted({1}), planted({2})}),
            (Groups{{0, 1, 2}, {3}}));
}

TEST_F(PartitionTest, OneThatFitsNothingSpoilsAll) {
  EXPECT_THAT(partition({planted({0}), planted({1}), made_.tensor("off", kEffects, {cause(0)}, 1)}),
              IsEmpty());
  const Failing gone{"gone", []() -> Subject { throw Missing(say("no trace of it")); }};
  EXPECT_THAT(partition({planted({0}), planted({1}), gone}), IsEmpty());
  EXPECT_THAT(partition({planted({0}), planted({1}), planted({0, 1, 2})}), IsEmpty()) << "three at once";
}

TEST_F(PartitionTest, OneGroupIsNoPartition) {
  EXPECT_THAT(partition({planted({0}), planted({0})}), IsEmpty());
  EXPECT_THAT(partition({}), IsEmpty());
}

TEST_F(PartitionTest, AnInterruptEndsIt) {
  const std::vector<Failing> tensors = {planted({0}), planted({1})};
  int trials = 0;
  EXPECT_THROW(probes::partition(tensors, kAll,
                                 {.check_interrupt =
                                      [&] {
                                        if (++trials == 3) throw std::runtime_error("stop");
                                      },
                                  .seen = {}}),
               std::runtime_error);
  EXPECT_EQ(trials, 3);
}

}  // namespace
}  // namespace greta::probes
