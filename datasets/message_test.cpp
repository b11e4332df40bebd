#include "datasets/message.hpp"

#include <gtest/gtest.h>

#include "datasets/error.hpp"

namespace greta {
namespace {

TEST(Message, IsItsPatternWithWhatGoesIntoIt) {
  EXPECT_EQ(say("{} of {} elements, worst {:.3g} in {}", 5, int64_t{24}, 12.5, "q").text(),
            "5 of 24 elements, worst 12.5 in q");
  EXPECT_TRUE(Message{}.empty());
  EXPECT_EQ(Message{}.text(), "");
}

TEST(Message, IsTranslatedWithTheMessagesInIt) {
  const auto spanish = [](std::string_view pattern) -> std::string {
    if (pattern == "{0} of {1}") return "de {1}, {0}";
    if (pattern == "all {}") return "los {}";
    return "?";
  };
  EXPECT_EQ(say("{0} of {1}", say("all {}", 7), verbatim("{q}")).text(spanish), "de {q}, los 7");
}

TEST(Message, RefusesAPatternThatDoesNotFit) {
  EXPECT_THROW(say("{} of {}", 1).text(), Error);
  EXPECT_THROW(say("{:d}", "word").text(), Error);
}

}  // namespace
}  // namespace greta
