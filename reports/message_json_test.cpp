// Messages through verdicts.json: whatever was said is said again, in any language.
#include "reports/message_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "datasets/test_seed.hpp"
#include "reports/example_runs_test.hpp"
#include "reports/verdicts_json.hpp"

namespace greta::reports {
namespace {

using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

// Patterns, arguments and depth at random.
class Sayer {
 public:
  explicit Sayer(uint64_t seed) : random_(seed) {}

  Message message(int depth = 0) {
    static constexpr const char* kWords[] = {"of", " {{x}} ", "\"quoted\"", "wörtlich", "√Dh", ""};
    Message out;
    const size_t fields = pick(4);
    for (size_t i = 0; i < fields; ++i) {
      out.pattern += std::string(kWords[pick(std::size(kWords))]) + "{" + std::to_string(i);
      out.arguments.push_back(argument(depth, out.pattern));
    }
    out.pattern += "tail";
    return out;
  }

  size_t pick(size_t count) { return random_() % count; }

 private:
  Message::Argument argument(int depth, std::string& pattern) {
    switch (pick(depth < 4 ? 5 : 3)) {
      case 0:
        pattern += "}";
        return static_cast<int64_t>(random_());
      case 1: {
        static constexpr double kSpecial[] = {0,
                                              -0.0,
                                              3,
                                              1e22,
                                              1e-310,
                                              std::numeric_limits<double>::infinity(),
                                              -std::numeric_limits<double>::infinity(),
                                              std::numeric_limits<double>::quiet_NaN()};
        pattern += pick(2) ? ":.9g}" : "}";
        const size_t which = pick(std::size(kSpecial) + 4);
        return which < std::size(kSpecial) ? kSpecial[which] : std::generate_canonical<double, 53>(random_);
      }
      case 2:
        pattern += "}";
        return std::string(pick(2) ? "NaN" : "p0/auto {q} \\ \"\n");
      default:
        pattern += "}";
        return message(depth + 1);
    }
  }

  std::mt19937_64 random_;
};

TEST(MessageJson, WhateverIsSaidIsSaidAgain) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("GRETA_TEST_SEED=" + std::to_string(seed));
  Sayer sayer(seed);
  for (int round = 0; round < 200; ++round) {
    RunResult run = explained_run();
    for (auto& finding : run.findings)
      if (sayer.pick(3) == 0) finding.message = sayer.message();
    run.controls[0].line = sayer.message();
    run.interrupted = sayer.message();
    auto& e = run.explanations[0];
    for (Message* message : {&e.scope, &e.note, &e.observed, &e.tells, &e.not_applicable[0].note})
      *message = sayer.message();
    const std::string text = to_verdicts_json(run);
    const RunResult back = from_verdicts_json(text, "t");
    ASSERT_EQ(to_verdicts_json(back), text);
    for (size_t i = 0; i < run.findings.size(); ++i) {
      ASSERT_EQ(back.findings[i].message.pattern, run.findings[i].message.pattern);
      ASSERT_EQ(back.findings[i].message.text(), run.findings[i].message.text());
    }
    ASSERT_EQ(back.interrupted.pattern, run.interrupted.pattern);
    ASSERT_EQ(back.controls[0].line.pattern, run.controls[0].line.pattern);
    ASSERT_EQ(back.explanations[0].tells.pattern, e.tells.pattern);
    ASSERT_EQ(back.explanations[0].conclusion().text(), e.conclusion().text());
  }
}

TEST(MessageJson, WhatIsVerbatimIsWrittenOnce) {
  RunResult run = passing_run();
  run.controls.clear();
  run.findings[0].message = verbatim("another program's words");
  EXPECT_THAT(to_verdicts_json(run), Not(HasSubstr("\"says\"")));
  run.findings[0].message = say("{} of {}", 1, 2);
  EXPECT_THAT(to_verdicts_json(run),
              HasSubstr("\"message\":\"1 of 2\",\"says\":{\"pattern\":\"{} of {}\",\"arguments\":[1,2]}"));
}

TEST(MessageJson, ADocumentWithoutItIsVerbatim) {
  auto json = Json::parse(to_verdicts_json(failing_run()));
  bool any = false;
  for (auto& finding : json["findings"]) any |= finding.erase("says") > 0;
  ASSERT_TRUE(any);
  for (const auto& finding : from_verdicts_json(json.dump(), "t").findings)
    EXPECT_EQ(finding.message, finding.message.empty() ? Message{} : verbatim(finding.message.text()));
}

TEST(MessageJson, TheEnglishTextCounts) {
  const Json says = message_to_json(say("{} of {}", 1, 2));
  EXPECT_EQ(message_from_json(says, "1 of 2"), say("{} of {}", 1, 2));
  EXPECT_EQ(message_from_json(says, "3 of 2"), verbatim("3 of 2")) << "somebody edited the text";
  const Json misfit = message_to_json(say("{:d} of {}", "x"));
  EXPECT_EQ(message_from_json(misfit, "text"), verbatim("text"));
}

TEST(MessageJson, WhatIsNoMessageIsRefused) {
  const auto refused = [](Json says) { EXPECT_ANY_THROW(message_from_json(says, "text")) << says.dump(); };
  refused({{"arguments", Json::array()}});
  refused({{"pattern", 5}, {"arguments", Json::array()}});
  refused({{"pattern", "{:>2000000000}"}, {"arguments", {1}}});
  refused({{"pattern", "{0:>{1}}"}, {"arguments", {1, 2000000000}}});
  refused({{"pattern", "{}"}, {"arguments", {true}}});
  refused({{"pattern", "{}"}, {"arguments", {{{"number", "many"}}}}});
  Json deep = {{"pattern", "end"}, {"arguments", Json::array()}};
  for (int i = 0; i < 100; ++i) deep = {{"pattern", "{}"}, {"arguments", Json::array({deep})}};
  refused(deep);
  auto json = Json::parse(to_verdicts_json(failing_run()));
  for (auto& finding : json["findings"])
    if (finding.contains("says")) finding["says"] = "no object";
  EXPECT_THROW(from_verdicts_json(json.dump(), "t"), Error);
}

}  // namespace
}  // namespace greta::reports
