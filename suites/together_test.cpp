// Several faults in one engine at once: each cause is named, whatever the others do, and no other. Random
// subsets of all that was wrong in the engine of the reports.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "datasets/test_seed.hpp"
#include "probes/evidence_from_trace.hpp"
#include "probes/explain.hpp"
#include "suites/explain_run.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using probes::Status;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

struct Planted {
  std::string fault, cause;
};
// In the order in which the loader and then the pipeline meet them.
const std::vector<Planted> kAll = {
    {"q4_k_scales=linear", "q4_k_scales=linear"},
    {"q6_k_high_bits=dropped", "q6_k_high_bits=dropped"},
    {"attn_k.load_layout=transposed", "load_layout=transposed"},
    {"attn_v.load_layout=transposed", "load_layout=transposed"},
    {"head_scale=applied", "head_scale=applied"},
    {"gemm.tile_store=transposed@rows>32", "tile_store=transposed"},
    {"rope_pairs=halves", "rope_pairs=halves"},
    {"kv.decode.layer_base=0", "layer_base=0"},
};

std::string tokens(std::mt19937_64& random, int count) {
  std::string out = "\"tokens:";
  for (int i = 0; i < count; ++i) out += (i ? "," : "") + std::to_string(random() % 400);
  return out + "\"";
}

// Calls of every kind: above the threshold of the tiles, between a tile and the threshold, below a tile.
struct Experiment {
  explicit Experiment(std::mt19937_64& random, bool long_calls = true)
      : folder({.preset = "tiny", .quant = "q4_k_m", .seed = random(), .layers = 3}) {
    prompts = tokens(random, 9) + ", " + tokens(random, 24);
    if (long_calls) prompts += ", " + tokens(random, 41);
  }

  reports::RunResult run(const std::set<size_t>& chosen) const {
    std::string faults;
    for (const size_t i : chosen) faults += (faults.empty() ? "\"" : ", \"") + kAll[i].fault + "\"";
    const std::string toml = "prompts = [" + prompts +
                             "]\nphases = [\"prefill\", \"prefill_last\", \"decode0\", \"decode1\"]\n"
                             "[[arm]]\nname = \"a\"\nfaults = [" +
                             faults + "]\n[[probe]]\nuse = \"stage_parity\"\n";
    auto result = suites::run(parse_suite(toml, "together.toml"), folder.options());
    EXPECT_EQ(result.interrupted.text(), "");
    return result;
  }

  RunFolder folder;
  std::string prompts;
};

std::string all_of(const reports::RunResult& run) {
  std::string out;
  for (const auto& e : run.explanations)
    out += fmt::format("{} [{}] {} | {} | {}\n", e.stage, name_of(e.answer), e.conclusion().text(),
                       e.scope.text(), e.note.text());
  return out;
}

std::vector<std::string> causes(const std::set<size_t>& chosen) {
  std::vector<std::string> out;
  for (const size_t i : chosen)
    if (std::find(out.begin(), out.end(), kAll[i].cause) == out.end()) out.push_back(kAll[i].cause);
  return out;
}

std::set<size_t> all_but(std::initializer_list<size_t> left_out) {
  std::set<size_t> out;
  for (size_t i = 0; i < kAll.size(); ++i)
    if (std::find(left_out.begin(), left_out.end(), i) == left_out.end()) out.insert(i);
  return out;
}

class Together : public testing::Test {
 protected:
  Together() : seed(test_seed()), random(seed) { fmt::print("GRETA_TEST_SEED={}\n", seed); }
  uint64_t seed;
  std::mt19937_64 random;
};

TEST_F(Together, EveryCauseOfTheReportsEngineIsNamedAndNoneInvented) {
  const Experiment experiment(random);
  const auto run = experiment.run(all_but({}));
  EXPECT_EQ(run.status, Status::fail);
  EXPECT_EQ(reports::causes_of(run, "a"), causes(all_but({}))) << all_of(run);
  EXPECT_THAT(run.arms.front().first_failing, HasSubstr("weight/token_embd.weight"));
  for (const auto& e : run.explanations) EXPECT_EQ(e.answer, probes::Answer::explained) << e.stage;
  // From the trace, with every failing tensor tried, the same.
  const auto again = explain_run({.directory = experiment.folder.out()});
  EXPECT_EQ(reports::causes_of(again, "a"), causes(all_but({}))) << all_of(again);
}

TEST_F(Together, ACauseThatIsTakenAwayIsNoLongerNamed) {
  const Experiment experiment(random);
  const size_t gone = random() % kAll.size();
  const auto chosen = all_but({gone});
  const auto run = experiment.run(chosen);
  EXPECT_EQ(reports::causes_of(run, "a"), causes(chosen)) << "without " << kAll[gone].fault << "\n"
                                                          << all_of(run);
}

TEST_F(Together, ARandomSubsetIsNamed) {
  for (int round = 0; round < 4; ++round) {
    const Experiment experiment(random);
    std::set<size_t> chosen;
    for (size_t i = 0; i < kAll.size(); ++i)
      if (random() % 2) chosen.insert(i);
    const auto run = experiment.run(chosen);
    EXPECT_EQ(reports::causes_of(run, "a"), causes(chosen))
        << all_of(run) << "planted " << fmt::format("{}", fmt::join(causes(chosen), ", "));
  }
}

// What no call could show is not named: tiles above 32 rows, where every call is shorter.
TEST_F(Together, WhatIsNotActiveIsNotNamed) {
  const Experiment experiment(random, false);
  const auto run = experiment.run(all_but({}));
  EXPECT_EQ(reports::causes_of(run, "a"), causes(all_but({5}))) << all_of(run);
}

// The places of one stage where two causes act are told apart from those where one does.
TEST_F(Together, PlacesAreToldApart) {
  const Experiment experiment(random);
  const auto run = experiment.run({0, 4, 5});
  std::vector<std::string> of_q;
  for (const auto& e : run.explanations) {
    if (e.stage != "q") continue;
    ASSERT_EQ(e.fitting.size(), 1u) << all_of(run);
    of_q.push_back(e.fitting.front().text());
    EXPECT_THAT(e.note.text(), HasSubstr("are judged by the engine's own view"));
    if (e.fitting.front().causes.size() == 1) continue;
    EXPECT_EQ(e.places.size(), 6u) << "the long prompt's prefill and its last row, in 3 layers";
    for (const auto& place : e.places) EXPECT_THAT(place, HasSubstr("/prefill"));
  }
  EXPECT_THAT(of_q,
              UnorderedElementsAreArray({"head_scale=applied", "head_scale=applied + tile_store=transposed"}))
      << all_of(run);
}

// A product that is right with the weight as the engine holds it fails because of the weight alone.
TEST_F(Together, ProductsOfAWrongWeightAreItsConsequences) {
  const Experiment experiment(random);
  const auto run = experiment.run({0});
  ASSERT_EQ(run.explanations.size(), 1u) << all_of(run);
  size_t failing = 0;
  for (const auto& finding : run.findings)
    failing += finding.status == Status::fail && !finding.stage.starts_with("weight/");
  EXPECT_EQ(run.explanations.front().consequences.size(), failing);
  EXPECT_GT(failing, 0u);
}

// Where the view of the weight is not there, the weight is reason enough, and the report says what was not
// seen.
TEST_F(Together, AWeightThatIsNotKeptIsReasonEnough) {
  const Experiment experiment(random);
  const auto run = experiment.run({0, 4});
  const auto file = GgufFile::open(experiment.folder.model());
  const reference::Model model(file);
  const TraceReader trace(experiment.folder.out() + "/trace.h5");
  const probes::TraceEvidence evidence(trace, file, model);
  const auto explanations =
      probes::explain({.model = model,
                       .findings = run.findings,
                       .evidence = [&](const std::string& prompt,
                                       const std::string& arm) { return evidence.of(prompt, arm); },
                       .weight = [](const std::string&, const std::string& name) -> probes::Tap {
                         throw probes::Missing(say("no view of {}", name));
                       }});
  ASSERT_FALSE(explanations.empty());
  int weights = 0;
  for (const auto& e : explanations) {
    if (!e.stage.starts_with("weight/")) {  // v of a layer whose weight is Q6_K, and right
      EXPECT_EQ(e.stage, "v");
      EXPECT_EQ(e.answer, probes::Answer::explained);
      continue;
    }
    ++weights;
    EXPECT_EQ(e.answer, probes::Answer::unexplained);
    if (!e.consequences.empty()) {
      EXPECT_THAT(e.note.text(), HasSubstr("could not be judged by the engine's own view"));
    }
  }
  EXPECT_GT(weights, 0);
}

// A fault of no catalogue on top of a wrong weight is not hidden by it either: it is unexplained.
TEST_F(Together, AnUnknownFaultBehindAWrongWeightIsUnexplained) {
  const RunFolder folder({.preset = "tiny", .quant = "q4_k_m", .seed = random()});
  const Tampering tampering{
      .record = [](const CallInfo&, engine::TapRecord&& record, const engine::TapSink& sink) {
        if (record.stage == Stage::ffn_up && record.layer == 1)
          change(record, 7, [](float x) { return x * 1.01f + 0.01f; });
        sink(std::move(record));
      }};
  const std::string toml = "prompts = [" + tokens(random, 9) +
                           "]\nphases = [\"prefill\", \"decode0\"]\n[[arm]]\nname = \"a\"\nfaults = "
                           "[\"q4_k_scales=linear\"]\n[[probe]]\nuse = \"stage_parity\"\n";
  const auto run = suites::run(parse_suite(toml, "unknown.toml"), folder.options(), tampered(tampering));
  const std::vector<std::string> wanted = {"q4_k_scales=linear", "ffn_up unexplained"};
  // What the engine computes from the changed tensor is right, so ffn_act fails beside it.
  const auto came = reports::causes_of(run, "a");
  for (const auto& cause : wanted)
    EXPECT_NE(std::find(came.begin(), came.end(), cause), came.end()) << cause << "\n" << all_of(run);
}

}  // namespace
}  // namespace greta::suites
