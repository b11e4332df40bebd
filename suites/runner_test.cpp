// Runs on a tiny model with the real engine, right and tampered with.
#include "suites/runner.hpp"

#include <gmock/gmock.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "datasets/error.hpp"
#include "datasets/trace.hpp"
#include "reports/verdicts_json.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using engine::TapRecord;
using engine::TapSink;
using probes::Finding;
using probes::Status;
using testing::HasSubstr;

const std::string kAll = R"(
prompts = ["tokens:5,9,2,7"]
phases = ["prefill", "prefill_last", "decode0", "decode1"]
[[probe]]
use = "stage_parity"
[[probe]]
use = "stage_parity"
mode = "chained"
[[probe]]
use = "phase_parity"
[[probe]]
use = "top1_coherence"
[[probe]]
use = "finite"
[[probe]]
use = "determinism"
[[probe]]
use = "tap_neutrality"
)";

const std::string kLocal = R"(
prompts = ["tokens:5,9,2,7"]
phases = ["prefill", "decode0"]
[[probe]]
use = "stage_parity"
)";

reports::RunResult run_with(const std::string& toml, const Tampering& tampering,
                            const std::string& only = "") {
  const RunFolder folder;
  auto options = folder.options();
  options.only = only;
  return run(parse_suite(toml, "test.toml"), options, tampered(tampering));
}

std::vector<Finding> not_passed(const reports::RunResult& result) {
  std::vector<Finding> out;
  for (const auto& finding : result.findings)
    if (finding.status != Status::pass) out.push_back(finding);
  return out;
}

std::string all_of(const std::vector<Finding>& findings) {
  std::string out;
  for (const auto& finding : findings) out += finding.key() + ": " + finding.message.text() + "\n";
  return out;
}

TEST(Runner, ACleanRunPassesAndLeavesItsEvidence) {
  const RunFolder folder;
  auto options = folder.options();
  Progress last;
  options.progress = [&](const Progress& progress) { last = progress; };
  const auto result = run(parse_suite(kAll, "all.toml"), options);
  EXPECT_EQ(result.status, Status::pass) << all_of(not_passed(result)) << result.interrupted.text();
  EXPECT_EQ(result.exit_code(), ExitCode::pass);
  EXPECT_GT(result.planned, 0);
  EXPECT_EQ(result.compared, result.planned);
  ASSERT_EQ(result.arms.size(), 1u);
  EXPECT_EQ(result.arms[0].status, Status::pass);
  EXPECT_GT(result.engine_seconds, 0);
  EXPECT_GT(result.reference_seconds, 0);
  EXPECT_EQ(last.total, static_cast<int64_t>(result.findings.size()));
  EXPECT_EQ(last.done, last.total);

  const TraceReader trace(folder.out() + "/trace.h5");
  EXPECT_TRUE(trace.complete());
  const std::string prompt = result.prompts.front();
  for (const std::string phase : {"prefill", "prefill_last", "decode0", "decode0_stepwise", "decode1"})
    EXPECT_TRUE(trace.contains({prompt, "auto", phase, 1, "softmax"})) << phase;
  for (const std::string phase : {"fill_prefill", "fill_stepwise"}) {
    ASSERT_TRUE(trace.contains({prompt, "auto", phase, 1, "k_rope"})) << phase;
    EXPECT_EQ(trace.describe({prompt, "auto", phase, 1, "k_rope"}).positions,
              (std::vector<int32_t>{0, 1, 2}));
  }
  EXPECT_EQ(trace.describe({prompt, "auto", "prefill_last", 0, "q"}).window, "row 3 of 4");
  EXPECT_EQ(trace.verdicts().size(), result.findings.size());
  EXPECT_EQ(trace.identity().prompt_tokens.at(prompt), (std::vector<int32_t>{5, 9, 2, 7}));
  EXPECT_EQ(reports::read_verdicts_json(folder.out() + "/verdicts.json").findings.size(),
            result.findings.size());
}

TEST(Runner, ADroppedTapIsInvalidAndNamed) {
  const Tampering drop{.record = [](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (info.tokens == 1 && record.stage == Stage::ffn_up && record.layer == 1) return;
    sink(std::move(record));
  }};
  const auto result = run_with(kLocal, drop);
  EXPECT_EQ(result.status, Status::invalid);
  EXPECT_EQ(result.exit_code(), ExitCode::invalid);
  EXPECT_LT(result.compared, result.planned);
  EXPECT_THAT(all_of(not_passed(result)), HasSubstr("decode0/layer_01/ffn_up did not come from the engine"));
  for (const auto& finding : not_passed(result)) EXPECT_NE(finding.phase, "prefill") << finding.key();
}

TEST(Runner, ATapThatComesTwiceIsInvalid) {
  const Tampering twice{.record = [](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.stage == Stage::q && record.layer == 0) sink(TapRecord(record));
    sink(std::move(record));
  }};
  const auto result = run_with(kLocal, twice);
  EXPECT_EQ(result.status, Status::invalid);
  EXPECT_TRUE(result.interrupted.empty()) << result.interrupted.text();
  EXPECT_THAT(all_of(not_passed(result)), HasSubstr("came twice"));
}

TEST(Runner, TheFirstFailingStageIsTheOneThatWasChanged) {
  const Tampering move{.record = [](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (info.tokens == 1 && record.stage == Stage::softmax && record.layer == 1)
      change(record, 3, [](float x) { return x + 0.01f; });
    sink(std::move(record));
  }};
  const auto result = run_with(kLocal, move);
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_THAT(result.arms[0].first_failing, HasSubstr("/auto/decode0/layer_01/softmax stage_parity(local)"));
  // What reads the changed tensor may fail after it, nothing else.
  for (const auto& finding : not_passed(result)) EXPECT_EQ(finding.layer, 1) << finding.key();
}

TEST(Runner, AMissingWeightIsInvalid) {
  const Tampering drop{.record = [](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.weight != "blk.1.ffn_down.weight") sink(std::move(record));
  }};
  const auto result = run_with(kLocal, drop);
  EXPECT_EQ(result.status, Status::invalid);
  EXPECT_THAT(all_of(not_passed(result)), HasSubstr("weight blk.1.ffn_down.weight did not come"));
}

TEST(Runner, AWrongWeightFailsFirst) {
  const Tampering wrong{.record = [](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.weight == "blk.0.attn_q.weight") change(record, 10, [](float x) { return x * 1.01f + 1e-3f; });
    sink(std::move(record));
  }};
  const auto result = run_with(kLocal, wrong);
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_THAT(result.arms[0].first_failing, HasSubstr("weight/blk.0.attn_q.weight"));
}

TEST(Runner, TapsThatChangeTheLogitsAreCaught) {
  const Tampering taps{.result = [](const CallInfo& info, engine::ForwardResult& result) {
    if (!info.tapped) result.last_logits[1] = std::nextafter(result.last_logits[1], 1e30f);
  }};
  const auto result = run_with(kAll, taps, "tap_neutrality");
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_THAT(all_of(not_passed(result)), HasSubstr("taps change the run"));
}

TEST(Runner, ARepeatWithOtherBitsIsCaught) {
  int made = 0;
  const Tampering flip{.record = [](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.stage == Stage::ffn_act && record.layer == 0)
      change(record, 0, [](float x) { return std::nextafter(x, 1e30f); });
    sink(std::move(record));
  }};
  const Tampering none;
  const RunFolder folder;
  auto options = folder.options();
  options.only = "determinism";
  const auto result =
      run(parse_suite(kAll, "t"), options, [&](const GgufFile& file, const engine::Settings& settings) {
        return tampered(made++ == 0 ? none : flip)(file, settings);  // the second engine is the repeat's
      });
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_THAT(all_of(not_passed(result)), HasSubstr("the lanes in another order"));
  for (const auto& finding : not_passed(result)) EXPECT_EQ(finding.stage, "ffn_act") << finding.key();
}

TEST(Runner, ABadCacheFromPrefillCannotHide) {
  // Prefill of several tokens leaves a wrong value row; what the step by step fill leaves is right.
  const Tampering bad{.record = [](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (info.since_reset == 1 && info.tokens == 1 && record.stage == Stage::v_cache && record.layer == 0 &&
        info.call == 2)
      change(record, 0, [](float x) { return x + 1; });
    sink(std::move(record));
  }};
  const auto result = run_with(kAll, bad, "phase_parity");
  EXPECT_EQ(result.status, Status::fail);
  EXPECT_THAT(all_of(not_passed(result)), HasSubstr("decode0 is the wrong side"));
  for (const auto& finding : not_passed(result)) EXPECT_EQ(finding.phase, "decode0") << finding.key();
}

TEST(Runner, AnEngineThatFailsInMidRunLeavesWhatWasFound) {
  const Tampering fail{.record = [](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
    if (info.call == 2 && record.stage == Stage::qk) fail_internal("no space left on device");
    sink(std::move(record));
  }};
  const RunFolder folder;
  const auto result = run(parse_suite(kLocal, "t"), folder.options(), tampered(fail));
  EXPECT_THAT(result.interrupted.text(), HasSubstr("no space left"));
  EXPECT_EQ(result.exit_code(), ExitCode::invalid);
  EXPECT_GT(result.findings.size(), 20u) << "weights and prefill";
  EXPECT_FALSE(TraceReader(folder.out() + "/trace.h5").complete());
  EXPECT_EQ(reports::read_verdicts_json(folder.out() + "/verdicts.json").interrupted, result.interrupted);
}

TEST(Runner, ASignalEndsTheRunCleanly) {
  for (const int signal_number : {SIGINT, SIGTERM}) {
    const Tampering signal{.record = [&](const CallInfo& info, TapRecord&& record, const TapSink& sink) {
      if (info.call == 1 && record.stage == Stage::embed) raise(signal_number);
      sink(std::move(record));
    }};
    const auto result = run_with(kLocal, signal);
    EXPECT_THAT(result.interrupted.text(), HasSubstr(signal_number == SIGINT ? "SIGINT" : "SIGTERM"));
    EXPECT_EQ(result.exit_code(), ExitCode::invalid);
    EXPECT_FALSE(result.findings.empty());
  }
}

TEST(Runner, OnlyRunsOneComparison) {
  const auto result = run_with(kAll, {}, "/decode0/layer_01/softmax stage_parity(local)");
  ASSERT_EQ(result.findings.size(), 1u) << all_of(result.findings);
  EXPECT_EQ(result.status, Status::pass) << all_of(result.findings);
  EXPECT_EQ(result.planned, 1);
  EXPECT_THROW(run_with(kAll, {}, "no_such_key"), Error);
}

TEST(Runner, RefusesBeforeAnythingRuns) {
  const RunFolder folder;
  const auto code = [&](const std::string& toml, const RunOptions& options) {
    try {
      run(parse_suite(toml, "t"), options);
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::pass;
  };
  auto nowhere = folder.options();
  nowhere.out_dir = "/dev/null/runs";
  EXPECT_EQ(code(kLocal, nowhere), ExitCode::usage);
  auto no_model = folder.options();
  no_model.model_path = "/no/such.gguf";
  EXPECT_EQ(code(kLocal, no_model), ExitCode::bad_input);
  std::string lasting = kLocal;
  lasting.replace(
      lasting.find("tokens:5,9,2,7"), 14, "tokens:" + [] {
        std::string ids = "1";
        for (int i = 0; i < 5000; ++i) ids += ",1";
        return ids;
      }());
  EXPECT_EQ(code(lasting, folder.options()), ExitCode::bad_input);
  std::string outside = kLocal;
  outside.replace(outside.find("tokens:5"), 8, "tokens:99999999");
  EXPECT_EQ(code(outside, folder.options()), ExitCode::bad_input);
  EXPECT_FALSE(std::filesystem::exists(folder.out() + "/trace.h5"));
}

}  // namespace
}  // namespace greta::suites
