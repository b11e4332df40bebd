// Causes planted in what the engine delivers, each recomputed here in plain loops, and faults of no
// catalogue: what the run says of them, and what greta explain says of the run's directory.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <mutex>
#include <random>

#include "datasets/error.hpp"
#include "datasets/gguf.hpp"
#include "datasets/test_seed.hpp"
#include "reference/reference.hpp"
#include "reports/verdicts_json.hpp"
#include "suites/explain_run.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

using engine::TapRecord;
using engine::TapSink;
using probes::Answer;
using probes::Explanation;
using probes::Status;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string suite_of(const std::string& stages, const std::string& more = "") {
  return "prompts = [\"tokens:5,9,2,7,3,8,11,4,6\", \"tokens:9,1,12,7\"]\nphases = [\"prefill\", "
         "\"decode0\", \"decode1\"]\n" +
         more + "[[probe]]\nuse = \"stage_parity\"\n" + (stages.empty() ? "" : "stages = [" + stages + "]\n");
}

// Changes what one stage delivers. Only that stage is judged: what the engine computes from it is right, so
// that its neighbours would not fit to it.
using Rewrite = std::function<void(const TapRecord&, std::vector<float>& values)>;

class Planted {
 public:
  Planted() : seed_(test_seed()) {
    fmt::print("GRETA_TEST_SEED={}\n", seed_);
    random_.seed(seed_);
    folder_ = std::make_unique<RunFolder>(
        SynthesisOptions{.preset = "tiny", .quant = "q8_0", .seed = random_(), .layers = 3});
    file_ = std::make_unique<GgufFile>(GgufFile::open(folder_->model()));
    model_ = std::make_unique<reference::Model>(*file_);
  }

  void change(Stage stage, Rewrite rewrite) { rewrites_[stage] = std::move(rewrite); }

  reports::RunResult run(const std::string& toml) {
    const Tampering tampering{.record = [this](const CallInfo&, TapRecord&& record, const TapSink& sink) {
      if (record.stage) rewrite(record);
      sink(std::move(record));
    }};
    auto result = suites::run(parse_suite(toml, "explain.toml"), folder_->options(), tampered(tampering));
    EXPECT_EQ(result.interrupted.text(), "");
    return result;
  }
  reports::RunResult explained(const std::string& only = "") {
    return explain_run({.directory = folder_->out(), .only = only});
  }

  const reference::Config& config() const { return model_->config(); }
  const reference::Model& model() const { return *model_; }
  const TensorPtr& input(Stage stage, int layer) const { return inputs_.at({stage, layer}); }
  std::mt19937_64& random() { return random_; }
  RunFolder& folder() { return *folder_; }

 private:
  void rewrite(TapRecord& record) {
    inputs_[{*record.stage, record.layer}] = record.tensor;
    const auto found = rewrites_.find(*record.stage);
    if (found == rewrites_.end()) return;
    const auto right = record.tensor->f32();
    std::vector<float> values(right.begin(), right.end());
    found->second(record, values);
    record.tensor = std::make_shared<const Tensor>(Tensor::from_f32(record.tensor->shape(), values));
  }

  uint64_t seed_;
  std::mt19937_64 random_;
  std::unique_ptr<RunFolder> folder_;
  std::unique_ptr<GgufFile> file_;
  std::unique_ptr<reference::Model> model_;
  std::map<Stage, Rewrite> rewrites_;
  std::map<std::pair<Stage, int>, TensorPtr> inputs_;  // the last of each, as delivered
};

std::string all_of(const std::vector<Explanation>& explanations) {
  std::string out;
  for (const auto& e : explanations)
    out += fmt::format("{} [{}] {} | {} | {}\n", e.stage, name_of(e.answer), e.conclusion().text(),
                       e.scope.text(), e.note.text());
  for (const auto& e : explanations)
    for (const auto* trials : {&e.excluded, &e.not_applicable})
      for (const auto& trial : *trials)
        out += fmt::format("  {} {:.3g} {} {}\n", trial.text(), trial.ratio, trial.place, trial.note.text());
  return out;
}

std::vector<std::string> causes_of(const Explanation& explanation) {
  std::vector<std::string> out;
  for (const auto& trial : explanation.fitting) out.push_back(trial.text());
  return out;
}

// One explanation, with this one cause, from memory and from the trace alike.
void expect_explained(Planted& planted, const reports::RunResult& run, const std::string& stage,
                      const std::string& cause) {
  EXPECT_EQ(run.status, Status::fail);
  ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
  for (const auto& result : {run, planted.explained()}) {
    const Explanation& e = result.explanations.front();
    EXPECT_EQ(e.stage, stage);
    EXPECT_EQ(e.answer, Answer::explained) << all_of(result.explanations);
    EXPECT_EQ(causes_of(e), std::vector<std::string>{cause}) << all_of(result.explanations);
    EXPECT_EQ(e.tried, e.tensors) << e.note.text();
    EXPECT_GT(e.margin(), 1);
    EXPECT_THAT(e.conclusion().text(), HasSubstr(cause));
  }
  EXPECT_EQ(planted.explained().explanations[0].scope, run.explanations[0].scope);
}

void expect_unexplained(const Explanation& e, const std::string& stage) {
  EXPECT_EQ(e.stage, stage);
  EXPECT_EQ(e.answer, Answer::unexplained) << e.conclusion().text();
  EXPECT_THAT(e.fitting, IsEmpty());
  EXPECT_THAT(e.conclusion().text(), HasSubstr("unexplained"));
  EXPECT_FALSE(e.excluded.empty());
  for (const auto& trial : e.excluded) EXPECT_FALSE(trial.ratio <= 1) << trial.text();
}

// What a contract says of a product's operand before it is multiplied: "w=f16".
float rounded(const std::string& contract, const std::string& operand, double value) {
  const auto f32 = static_cast<float>(value);
  return contract.find(" " + operand + "=f16") == std::string::npos ? f32 : f16_to_f32(f32_to_f16(f32));
}

// x·W with W read by column: element (n, k) of the flat weight at k·N + n.
Rewrite column_layout(const Planted& planted) {
  return [&planted](const TapRecord& record, std::vector<float>& values) {
    const auto weight = planted.model().weight(fmt::format("blk.{}.attn_q.weight", record.layer));
    const auto x = planted.input(Stage::attn_norm, record.layer)->f32();
    const auto K = static_cast<size_t>(weight->cols()), N = static_cast<size_t>(weight->rows());
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t row = i / N, n = i % N;
      double sum = 0;
      for (size_t k = 0; k < K; ++k)
        sum += static_cast<double>(rounded(record.contract, "w", weight->data()[k * N + n])) *
               rounded(record.contract, "x", x[row * K + k]);
      values[i] = static_cast<float>(sum);
    }
  };
}

TEST(Explain, AColumnLayoutIsNamed) {
  Planted planted;
  planted.change(Stage::q, column_layout(planted));
  const auto run = planted.run(suite_of("\"q\""));
  expect_explained(planted, run, "q", "weight_layout=col");
  EXPECT_THAT(run.explanations[0].scope.text(), HasSubstr("all 3 phases; all 3 layers"));
  const auto back = reports::read_verdicts_json(planted.folder().out() + "/verdicts.json");
  ASSERT_THAT(back.explanations, SizeIs(1));
  EXPECT_EQ(back.explanations[0].conclusion(), run.explanations[0].conclusion());
}

TEST(Explain, RotateHalfIsNamedWhereItHappens) {
  Planted planted;
  planted.change(Stage::q_rope, [&](const TapRecord& record, std::vector<float>& values) {
    if (record.layer != 1) return;
    const auto q = planted.input(Stage::q, record.layer)->f32();
    const auto& c = planted.config();
    const auto half = static_cast<size_t>(c.rope_dims / 2), Dh = static_cast<size_t>(c.head_dim);
    for (size_t vector = 0; vector < values.size() / Dh; ++vector) {
      const int position = record.positions[vector / static_cast<size_t>(c.heads)];
      for (size_t i = 0; i < half; ++i) {
        // In f32, as the kernels declare it.
        const auto frequency = static_cast<float>(
            std::pow(c.rope_base, -2.0 * static_cast<double>(i) / static_cast<double>(c.rope_dims)));
        const double angle = static_cast<float>(position) * frequency;
        const double a = q[vector * Dh + i], b = q[vector * Dh + i + half];
        values[vector * Dh + i] = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
        values[vector * Dh + i + half] = static_cast<float>(a * std::sin(angle) + b * std::cos(angle));
      }
    }
  });
  const auto run = planted.run(suite_of("\"q_rope\""));
  expect_explained(planted, run, "q_rope", "rope_pairs=halves");
  EXPECT_THAT(run.explanations[0].scope.text(), HasSubstr("layer 1 only (0, 2 pass)"));
}

TEST(Explain, AValueCacheByColumnIsNamed) {
  Planted planted;
  planted.change(Stage::v_cache, [](const TapRecord& record, std::vector<float>& values) {
    const auto right = record.tensor->f32();
    const auto T = static_cast<size_t>(record.tensor->shape()[0]);
    const size_t columns = right.size() / T;
    for (size_t t = 0; t < T; ++t)
      for (size_t i = 0; i < columns; ++i) values[t * columns + i] = right[i * T + t];
  });
  expect_explained(planted, planted.run(suite_of("\"v_cache\"")), "v_cache", "cache_layout=col");
}

TEST(Explain, TwoCausesInOneStageAreFoundAsAPair) {
  Planted planted;
  const Rewrite column = column_layout(planted);
  planted.change(Stage::q, [&](const TapRecord& record, std::vector<float>& values) {
    column(record, values);
    const auto heads = static_cast<size_t>(planted.config().heads),
               Dh = static_cast<size_t>(planted.config().head_dim);
    for (size_t i = 0; i < values.size(); ++i) values[i] *= 1 + static_cast<float>(i / Dh % heads) / 8;
  });
  const auto run = planted.run(suite_of("\"q\""));
  expect_explained(planted, run, "q", "weight_layout=col + head_scale=applied");
  EXPECT_GT(run.explanations[0].pairs, 0);
}

TEST(Explain, TwoCausesInTwoStagesAreTwoFindings) {
  Planted planted;
  planted.change(Stage::q, column_layout(planted));
  planted.change(Stage::ffn_residual, [&](const TapRecord& record, std::vector<float>& values) {
    const auto stream = planted.input(Stage::attn_residual, record.layer)->f32();
    for (size_t i = 0; i < values.size(); ++i) values[i] += stream[i];
  });
  const auto run = planted.run(suite_of("\"q\", \"ffn_residual\""));
  ASSERT_THAT(run.explanations, SizeIs(2)) << all_of(run.explanations);
  EXPECT_EQ(run.explanations[0].stage, "q");
  EXPECT_EQ(causes_of(run.explanations[0]), std::vector<std::string>{"weight_layout=col"});
  EXPECT_EQ(run.explanations[1].stage, "ffn_residual");
  EXPECT_EQ(causes_of(run.explanations[1]), std::vector<std::string>{"residual=twice"})
      << all_of(run.explanations);
  // The filter chooses stages, not evidence.
  const auto one = planted.explained("layer_02/ffn_residual");
  ASSERT_THAT(one.explanations, SizeIs(1));
  EXPECT_EQ(one.explanations[0].stage, "ffn_residual");
  EXPECT_EQ(one.explanations[0].places, run.explanations[1].places);
  EXPECT_THROW(planted.explained("no_such_key"), Error);
}

TEST(Explain, TwoCausesOfOneStageInTwoPhasesAreToldApart) {
  Planted planted;
  planted.change(Stage::attn_residual, [&](const TapRecord& record, std::vector<float>& values) {
    const auto branch = planted.input(Stage::wo, record.layer)->f32();
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = record.tensor->shape()[0] > 1 ? branch[i] : values[i] - branch[i];
    // decode: the stream alone, exactly
    if (record.tensor->shape()[0] == 1) {
      const auto stream = record.layer == 0 ? planted.input(Stage::embed, -1)
                                            : planted.input(Stage::ffn_residual, record.layer - 1);
      std::copy(stream->f32().begin(), stream->f32().end(), values.begin());
    }
  });
  const auto run = planted.run(suite_of("\"attn_residual\""));
  ASSERT_THAT(run.explanations, SizeIs(2)) << all_of(run.explanations);
  EXPECT_EQ(causes_of(run.explanations[0]), std::vector<std::string>{"residual=left_out"});
  EXPECT_THAT(run.explanations[0].scope.text(),
              HasSubstr("prefill only (decode0, decode1 fail of something else)"));
  EXPECT_EQ(causes_of(run.explanations[1]), std::vector<std::string>{"residual=branch_left_out"});
  EXPECT_THAT(run.explanations[1].scope.text(),
              HasSubstr("decode0, decode1 only (prefill fails of something else)"));
}

// ---- faults of no catalogue: detected, localised, never given a cause

TEST(Explain, OneHeadsOutputRotatedByALaneIsUnexplained) {
  for (const Stage stage : {Stage::q, Stage::pv, Stage::k_rope}) {
    Planted planted;
    SCOPED_TRACE(name_of(stage));
    const auto heads = stage == Stage::k_rope ? planted.config().kv_heads : planted.config().heads;
    const auto head = static_cast<size_t>(planted.random()() % static_cast<uint64_t>(heads));
    planted.change(stage, [&, head, heads](const TapRecord&, std::vector<float>& values) {
      const auto Dh = static_cast<size_t>(planted.config().head_dim);
      for (size_t at = head * Dh; at < values.size(); at += static_cast<size_t>(heads) * Dh)
        std::rotate(values.begin() + static_cast<long>(at), values.begin() + static_cast<long>(at) + 1,
                    values.begin() + static_cast<long>(at + Dh));
    });
    const auto run = planted.run(suite_of(fmt::format("\"{}\"", name_of(stage))));
    ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
    expect_unexplained(run.explanations[0], std::string(name_of(stage)));
    EXPECT_THAT(run.explanations[0].scope.text(), HasSubstr(fmt::format("head {} of {} only", head, heads)));
  }
}

TEST(Explain, ACacheRowSwappedWithItsNeighbourIsUnexplained) {
  for (const Stage stage : {Stage::k_cache, Stage::v_cache}) {
    Planted planted;
    SCOPED_TRACE(name_of(stage));
    planted.change(stage, [](const TapRecord& record, std::vector<float>& values) {
      const size_t row = values.size() / static_cast<size_t>(record.tensor->shape()[0]);
      std::swap_ranges(values.begin() + static_cast<long>(row), values.begin() + static_cast<long>(2 * row),
                       values.begin() + static_cast<long>(2 * row));
    });
    const auto run = planted.run(suite_of(fmt::format("\"{}\"", name_of(stage))));
    ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
    expect_unexplained(run.explanations[0], std::string(name_of(stage)));
    EXPECT_THAT(run.explanations[0].scope.text(), HasSubstr("rows 1 to 2 of"));
    EXPECT_GT(run.explanations[0].pairs, 0);
  }
}

TEST(Explain, AWeightBlockScaledByTwoPercentIsUnexplained) {
  const RunFolder folder;
  const std::string wrong = "blk.1.attn_k.weight";
  const Tampering scaled{.record = [&](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.weight == wrong)
      for (size_t i = 0; i < 32; ++i) change(record, 64 + i, [](float x) { return x * 1.02f; });
    sink(std::move(record));
  }};
  const auto run = suites::run(parse_suite(suite_of(""), "t"), folder.options(), tampered(scaled));
  for (const auto& result : {run, explain_run({.directory = folder.out()})}) {
    ASSERT_THAT(result.explanations, SizeIs(1)) << all_of(result.explanations);
    expect_unexplained(result.explanations[0], "weight/" + wrong);
    EXPECT_THAT(result.explanations[0].scope.text(), HasSubstr("row 0 of"));
    EXPECT_THAT(result.explanations[0].scope.text(), HasSubstr("columns 64 to 95"));
  }
}

TEST(Explain, AProductWithAWrongWeightIsAConsequence) {
  Planted planted;
  const std::string wrong = "blk.1.attn_q.weight";
  TensorPtr input;
  const Tampering both{.record = [&](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.weight == wrong) change(record, 3, [](float x) { return x + 1; });  // row 0, column 3
    if (record.stage == Stage::attn_norm && record.layer == 1) input = record.tensor;
    if (record.stage == Stage::q && record.layer == 1) {  // what a product with that weight gives
      const auto K = static_cast<size_t>(input->shape()[1]), rows = static_cast<size_t>(input->shape()[0]);
      const double right = planted.model().weight(wrong)->data()[3];
      const float more =
          rounded(record.contract, "w", static_cast<float>(right) + 1) - rounded(record.contract, "w", right);
      for (size_t s = 0; s < rows; ++s)
        change(record, s * K,
               [&](float q) { return q + more * rounded(record.contract, "x", input->f32()[s * K + 3]); });
    }
    if (record.stage == Stage::logits) change(record, 3, [](float x) { return x + 1; });
    sink(std::move(record));
  }};
  const auto run = suites::run(parse_suite(suite_of(""), "t"), planted.folder().options(), tampered(both));
  std::vector<std::string> named;
  for (const auto& e : run.explanations) named.push_back(e.stage);
  // q_rope is computed from the right q, so it does not fit to the one that was delivered.
  EXPECT_EQ(named, (std::vector<std::string>{"weight/" + wrong, "q_rope", "logits"}))
      << all_of(run.explanations);
  EXPECT_THAT(run.explanations[0].consequences, Contains(HasSubstr("prefill/layer_01/q ")));
  EXPECT_THAT(run.explanations[0].consequences, Not(Contains(HasSubstr("logits"))));
}

// The weights of a second arm are in the trace where they are wrong.
TEST(Explain, AWrongWeightOfALaterArmIsReadFromTheTrace) {
  const RunFolder folder;
  int engines = 0;
  const Tampering none;
  const Tampering wrong{.record = [&](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.weight == "blk.0.ffn_up.weight") change(record, 7, [](float x) { return x + 1; });
    sink(std::move(record));
  }};
  const std::string toml = suite_of("", "[[arm]]\nname = \"a\"\n[[arm]]\nname = \"b\"\nunit = \"valu\"\n");
  // Arms come before the probes' tables in the text, which TOML allows.
  const auto run = suites::run(parse_suite(toml, "t"), folder.options(),
                               [&](const GgufFile& file, const engine::Settings& settings) {
                                 return tampered(engines++ == 0 ? none : wrong)(file, settings);
                               });
  for (const auto& result : {run, explain_run({.directory = folder.out()})}) {
    ASSERT_THAT(result.explanations, SizeIs(1)) << all_of(result.explanations);
    expect_unexplained(result.explanations[0], "weight/blk.0.ffn_up.weight");
    EXPECT_EQ(result.explanations[0].arm, "b");
    EXPECT_EQ(result.explanations[0].tried, 1) << result.explanations[0].note.text();
  }
}

// ---- evidence

TEST(Explain, EvidenceThatIsNotThereIsSaid) {
  Planted planted;
  planted.change(Stage::k_cache, [](const TapRecord&, std::vector<float>& values) { values[5] += 1; });
  // Layer 0's keys are not captured: whether layer 1 reads them cannot be told.
  const auto run = planted.run(suite_of("\"k_cache\"", "layers = [1]\n"));
  ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
  const Explanation& e = run.explanations[0];
  EXPECT_EQ(e.answer, Answer::unexplained);
  const auto untested = std::find_if(e.not_applicable.begin(), e.not_applicable.end(),
                                     [](const auto& trial) { return trial.text() == "layer_base=0"; });
  ASSERT_NE(untested, e.not_applicable.end()) << all_of(run.explanations);
  EXPECT_THAT(untested->note.text(), HasSubstr("layer_00/k_rope did not come"));
}

TEST(Explain, ARunThatPassesHasNothingToExplain) {
  Planted planted;
  const auto run = planted.run(suite_of(""));
  EXPECT_EQ(run.status, Status::pass);
  EXPECT_THAT(run.explanations, IsEmpty());
  EXPECT_THAT(planted.explained().explanations, IsEmpty());
}

ExitCode code_of(const ExplainRun& how) {
  try {
    explain_run(how);
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::pass;
}

TEST(Explain, RefusesWhatIsNotOfOneAnother) {
  Planted planted, other;
  planted.change(Stage::q, [](const TapRecord&, std::vector<float>& values) { values[0] += 1; });
  planted.run(suite_of("\"q\""));
  const std::string out = planted.folder().out();
  EXPECT_EQ(code_of({.directory = out}), ExitCode::pass);
  EXPECT_EQ(code_of({.directory = out, .model_path = other.folder().model()}), ExitCode::invalid);
  EXPECT_EQ(code_of({.directory = "/no/such/run"}), ExitCode::bad_input);
  auto verdicts = reports::read_verdicts_json(out + "/verdicts.json");
  verdicts.identity.created = "2001-01-01T00:00:00Z";
  reports::write_verdicts_json(verdicts, out + "/verdicts.json");
  EXPECT_EQ(code_of({.directory = out}), ExitCode::invalid);
  std::filesystem::remove(out + "/trace.h5");
  EXPECT_EQ(code_of({.directory = out}), ExitCode::bad_input);
}

// A finding that the trace does not bear out is not explained from it.
TEST(Explain, AFailureThatTheTraceDoesNotShowIsNotTried) {
  Planted planted;
  planted.run(suite_of("\"q\""));
  const std::string path = planted.folder().out() + "/verdicts.json";
  auto verdicts = reports::read_verdicts_json(path);
  verdicts.findings.front().status = Status::fail;
  verdicts.findings.front().message = verbatim("made up");
  reports::write_verdicts_json(verdicts, path);
  const auto run = planted.explained();
  ASSERT_THAT(run.explanations, SizeIs(1));
  EXPECT_EQ(run.explanations[0].answer, Answer::unexplained);
  EXPECT_EQ(run.explanations[0].tried, 0);
  EXPECT_THAT(run.explanations[0].note.text(), HasSubstr("does not show the failure"));
}

// ---- the machine

reports::RunResult run_repeat(const std::string& probes, const Tampering& first, const Tampering& second) {
  const RunFolder folder;
  int made = 0;
  return suites::run(parse_suite("prompts = [\"tokens:5,9,2,7\"]\nphases = [\"prefill\", \"prefill_last\", "
                                 "\"decode0\"]\n" +
                                     probes,
                                 "t"),
                     folder.options(), [&](const GgufFile& file, const engine::Settings& settings) {
                       return tampered(made++ == 0 ? first : second)(file, settings);
                     });
}

Tampering flips(Stage stage) {
  return {.record = [stage](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.stage == stage && (record.layer == 0 || !info(stage).per_layer))
      change(record, 0, [](float x) { return std::nextafter(x, 1e30f); });
    sink(std::move(record));
  }};
}

TEST(Explain, ARaceInANormIsNamedWithItsLimit) {
  const auto run = run_repeat("[[probe]]\nuse = \"determinism\"\n", {}, flips(Stage::attn_norm));
  ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
  const Explanation& e = run.explanations[0];
  EXPECT_EQ(e.stage, "attn_norm");
  EXPECT_EQ(e.answer, Answer::explained);
  EXPECT_EQ(causes_of(e), std::vector<std::string>{"barrier=missing"});
  EXPECT_THAT(e.conclusion().text(), HasSubstr("the same inputs gave two results"));
  EXPECT_THAT(e.conclusion().text(), HasSubstr("not proved"));
}

TEST(Explain, ARaceInAStageWithoutBarriersIsUnexplained) {
  const auto run = run_repeat("[[probe]]\nuse = \"determinism\"\n", {}, flips(Stage::ffn_act));
  ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
  EXPECT_EQ(run.explanations[0].stage, "ffn_act");
  EXPECT_EQ(run.explanations[0].answer, Answer::unexplained);
  EXPECT_THAT(run.explanations[0].conclusion().text(), HasSubstr("two results"));
}

TEST(Explain, LogitsThatTheCallerDidNotGetAreNamed) {
  const Tampering stale{.result = [](const CallInfo&, engine::ForwardResult& result) {
    for (size_t i = result.last_logits.size() / 2; i < result.last_logits.size(); ++i)
      result.last_logits[i] = 0;
  }};
  const auto run = run_repeat(
      "[[probe]]\nuse = \"top1_coherence\"\n[[probe]]\nuse = \"stage_parity\"\nstages = [\"logits\"]\n",
      stale, {});
  ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
  EXPECT_EQ(run.explanations[0].stage, "logits");
  EXPECT_EQ(causes_of(run.explanations[0]), std::vector<std::string>{"host_copy=not_awaited"});
}

TEST(Explain, AFailureWithoutALocalOneBlamesNoStage) {
  const Tampering wrong{.record = [](const CallInfo&, TapRecord&& record, const TapSink& sink) {
    if (record.stage == Stage::ffn_norm && record.layer == 1)
      change(record, 3, [](float x) { return x + 5; });
    sink(std::move(record));
  }};
  const auto run = run_repeat(
      "[[probe]]\nuse = \"stage_parity\"\nmode = \"chained\"\nstages = [\"ffn_norm\"]\n", wrong, {});
  ASSERT_THAT(run.explanations, SizeIs(1)) << all_of(run.explanations);
  EXPECT_EQ(run.explanations[0].answer, Answer::unexplained);
  EXPECT_THAT(run.explanations[0].conclusion().text(), HasSubstr("no stage can be blamed"));
}

}  // namespace
}  // namespace greta::suites
