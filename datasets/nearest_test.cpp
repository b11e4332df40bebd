#include "datasets/nearest.hpp"

#include <gtest/gtest.h>

namespace greta {
namespace {

TEST(Nearest, DistancesByHand) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("sofmtax", "softmax"), 1) << "one transposition";
}

TEST(Nearest, NamesTheRightOne) {
  const std::vector<std::string> stages = {"qk", "softmax", "pv"};
  EXPECT_EQ(nearest("sofmax", stages), "softmax");
  EXPECT_EQ(unknown_name("stage", "sofmax", stages),
            "unknown stage 'sofmax'; did you mean 'softmax'? (known: qk, softmax, pv)");
  EXPECT_EQ(unknown_name("stage", "x", {}), "unknown stage 'x'; none is known here");
}

}  // namespace
}  // namespace greta
