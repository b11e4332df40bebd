// Every probe that is registered has a planted fault that it catches and a harmless change that it lets pass,
// both through the whole runner. To add a probe: one row of pairs().
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <sstream>

#include "datasets/test_seed.hpp"
#include "probes/probe.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using engine::ForwardResult;
using engine::TapRecord;
using engine::TapSink;
using probes::Status;

constexpr float kInf = std::numeric_limits<float>::infinity();

// What is done to the engine, and to the second one that runs the repeats.
struct Change {
  std::string what;
  Tampering engine, repeat;
};
struct Pair {
  std::string probe, mode;  // of the options, where the probe has one
  Change planted, harmless;
  std::string stage;  // empty: all of the probe's
};

// usual_rules judges nothing: it notes which rules refuse a tensor.
bool judges(const Pair& pair) { return pair.probe != "usual_rules"; }
bool noticed(const probes::Finding& finding) {
  return finding.status == Status::fail || finding.message.text().starts_with("refused by");
}

// Changes one element, drawn at random, of a stage in every call for which `when` holds.
Tampering change_one(Stage stage, std::mt19937_64& random, const std::function<float(float)>& to,
                     const std::function<bool(const CallInfo&)>& when) {
  return {.record = [=, draw = random()](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (record.stage == stage && record.layer <= 0 && when(info))
      change(record, draw % static_cast<uint64_t>(record.tensor->size()), to);
    sink(std::move(record));
  }};
}

bool always(const CallInfo&) { return true; }
bool decode(const CallInfo& info) { return info.tokens == 1; }
float one_ulp(float x) { return std::nextafter(x, kInf); }
float much(float x) { return x + 0.01f; }

Tampering change_result(const std::function<void(const CallInfo&, ForwardResult&)>& with) {
  return {.result = with};
}

// The least likely token becomes less likely still, in the tap and for the caller alike.
Tampering lower_the_lowest() {
  return {.record =
              [](const CallInfo&, TapRecord&& record, const TapSink& sink) {
                if (record.stage == Stage::logits) {
                  const auto row =
                      record.tensor->f32().last(static_cast<size_t>(record.tensor->shape().back()));
                  const auto at = std::min_element(row.begin(), row.end()) - record.tensor->f32().begin();
                  change(record, static_cast<size_t>(at), [](float x) { return x - 1; });
                }
                sink(std::move(record));
              },
          .result =
              [](const CallInfo&, ForwardResult& result) {
                *std::min_element(result.last_logits.begin(), result.last_logits.end()) -= 1;
              }};
}

std::vector<Pair> pairs(std::mt19937_64& random) {
  const auto one = [&](Stage stage, const auto& to, const auto& when = always) {
    return change_one(stage, random, to, when);
  };
  const Tampering bit = one(Stage::ffn_act, one_ulp, always);
  const auto move_logit = [](const CallInfo&, ForwardResult& result) {
    result.last_logits[1] = one_ulp(result.last_logits[1]);
  };
  return {
      {"stage_parity",
       "local",
       {"an attention weight of decode is off by 0.01", one(Stage::softmax, much, decode), {}},
       {"a logit is off by one ulp", one(Stage::logits, one_ulp, always), {}}},
      {"stage_parity",
       "chained",
       {"a residual of decode is off by 0.01", one(Stage::ffn_residual, much, decode), {}},
       {"a logit is off by one ulp", one(Stage::logits, one_ulp, always), {}}},
      {"phase_parity",
       "",
       {"decode reads a value of the cache that is off by 1",
        one(
            Stage::v_cache, [](float x) { return x + 1; }, decode),
        {}},
       {"a residual of decode is off by one ulp", one(Stage::ffn_residual, one_ulp, decode), {}}},
      {"top1_coherence",
       "",
       {"the argmax kernel takes the next token",
        change_result([](const CallInfo&, ForwardResult& result) { result.top1 = (result.top1 + 1) % 100; }),
        {}},
       {"the least likely token is less likely still", lower_the_lowest(), {}}},
      {"finite",
       "",
       {"one NaN",
        one(
            Stage::ffn_act, [](float) { return std::nanf(""); }, always),
        {}},
       {"a value is 1e30",
        one(
            Stage::ffn_act, [](float) { return 1e30f; }, always),
        {}}},
      {"determinism",
       "",
       {"the repeat has one other bit", {}, bit},
       {"both runs have the same other bit", bit, bit}},
      {"tap_neutrality",
       "",
       {"a logit is off by one ulp without taps",
        change_result([=](const CallInfo& info, ForwardResult& result) {
          if (!info.tapped) move_logit(info, result);
        }),
        {}},
       {"a logit is off by one ulp with taps and without", change_result(move_logit), {}}},
      {"chunking",
       "",
       {"a residual of later chunks is off by 0.01", one(Stage::ffn_residual, much, decode), {}},
       {"a logit that the caller gets is off by one ulp", change_result(move_logit), {}}},
      {"weight_layout",
       "",
       {"a query of decode is off by 0.01", one(Stage::q, much, decode), {}},
       {"a logit is off by one ulp", one(Stage::logits, one_ulp, always), {}}},
      {"kernels",
       "",
       {"a query of decode is off by 0.01", one(Stage::q, much, decode), {}},
       {"a logit is off by one ulp", one(Stage::logits, one_ulp, always), {}}},
      {"v_layout",
       "",
       {"decode reads a value of the cache that is off by 0.01", one(Stage::v_cache, much, decode), {}},
       {"a weight of the attention is off by one ulp", one(Stage::softmax, one_ulp, always), {}}},
      {"window_hash",
       "",
       {"a value of decode is off by 1",
        one(
            Stage::v, [](float x) { return x + 1; }, decode),
        {}},
       {"a residual of decode is off by one ulp", one(Stage::ffn_residual, one_ulp, decode), {}}},
      {"transfer",
       "",
       {"a query of decode is off by one ulp when it arrives", one(Stage::q, one_ulp, decode), {}},
       {"a logit that the caller gets is off by one ulp", change_result(move_logit), {}}},
      {"usual_rules",
       "",
       {"a query of decode is off by 0.01", one(Stage::q, much, decode), {}},
       {"a query of decode is off by one ulp", one(Stage::q, one_ulp, decode), {}},
       "q"},
  };
}

std::string key(const std::string& probe, const std::string& mode) {
  return mode.empty() ? probe : fmt::format("{}({})", probe, mode);
}

// Probes, each in each of its modes, that have no row.
std::set<std::string> without_pair(const std::vector<Pair>& rows) {
  std::set<std::string> out;
  for (const auto* entry : probes::registered_probes()) {
    out.insert(entry->name);
    for (const auto& option : entry->options) {
      if (option.name != "mode") continue;
      out.erase(entry->name);
      std::istringstream values{std::string(option.values)};
      for (std::string mode; std::getline(values, mode, '|');) out.insert(key(entry->name, mode));
    }
  }
  for (const auto& row : rows) out.erase(key(row.probe, row.mode));
  return out;
}

reports::RunResult run_with(const Pair& pair, const Change& change) {
  const RunFolder folder;
  auto options = folder.options();
  options.keep_trace = false;
  std::string toml =
      "prompts = [\"tokens:5,9,2,7\"]\nphases = [\"prefill\", \"decode0\"]\n[[probe]]\nuse = \"" +
      pair.probe + "\"\n";
  if (!pair.mode.empty()) toml += "mode = \"" + pair.mode + "\"\n";
  if (!pair.stage.empty()) toml += "stages = [\"" + pair.stage + "\"]\n";
  int made = 0;
  return run(parse_suite(toml, "pair.toml"), options,
             [&](const GgufFile& file, const engine::Settings& settings) {
               return tampered(made++ == 0 ? change.engine : change.repeat)(file, settings);
             });
}

TEST(ProbePairs, EveryRegisteredProbeHasOne) {
  std::mt19937_64 random(test_seed());
  auto rows = pairs(random);
  EXPECT_THAT(without_pair(rows), testing::IsEmpty()) << "give it a row in suites/probe_pairs_test.cpp";
  const auto dropped = key(rows.back().probe, rows.back().mode);
  rows.pop_back();
  EXPECT_THAT(without_pair(rows), testing::ElementsAre(dropped)) << "a missing row is seen";
  EXPECT_THAT(without_pair({}), testing::Contains("stage_parity(chained)"));
}

TEST(ProbePairs, ThePlantedFaultIsCaughtAndTheHarmlessChangePasses) {
  const uint64_t seed = test_seed();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  for (const auto& pair : pairs(random)) {
    SCOPED_TRACE(fmt::format("{}, GRETA_TEST_SEED={}", key(pair.probe, pair.mode), seed));
    const auto caught = run_with(pair, pair.planted);
    EXPECT_TRUE(std::any_of(caught.findings.begin(), caught.findings.end(), noticed)) << pair.planted.what;
    EXPECT_EQ(caught.status, judges(pair) ? Status::fail : Status::pass) << caught.interrupted.text();
    EXPECT_EQ(caught.compared, caught.planned);
    const auto passed = run_with(pair, pair.harmless);
    EXPECT_EQ(passed.status, Status::pass) << pair.harmless.what << " " << passed.interrupted.text();
    EXPECT_GT(passed.findings.size(), 0u);
    for (const auto& finding : passed.findings) {
      EXPECT_EQ(finding.status, Status::pass) << finding.key() << ": " << finding.message.text();
      EXPECT_FALSE(noticed(finding)) << finding.key() << ": " << finding.message.text();
    }
    for (const auto& finding : caught.findings) EXPECT_EQ(finding.probe, pair.probe);
  }
}

}  // namespace
}  // namespace greta::suites
