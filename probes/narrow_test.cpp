// Tensors that an engine stores in f16 or bf16 (a KV cache), and attention as one kernel: the whole way from
// the tap to the finding.
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "datasets/synthesise.hpp"
#include "probes/explain.hpp"
#include "probes/fake_evidence.hpp"

namespace greta::probes {
namespace {

using testing::HasSubstr;

const reference::Model& model() {
  static const auto path =
      std::filesystem::temp_directory_path() / ("greta_narrow_" + std::to_string(getpid()) + ".gguf");
  static const GgufFile file = [] {
    synthesise({.preset = "tiny", .quant = "q8_0", .seed = 3}, path.string());
    auto opened = GgufFile::open(path.string());
    std::filesystem::remove(path);  // the mapping keeps it
    return opened;
  }();
  static const reference::Model model(file);
  return model;
}

uint16_t bits_of(DType type, float x) { return type == DType::f16 ? f32_to_f16(x) : f32_to_bf16(x); }
float widened(DType type, uint16_t bits) { return type == DType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits); }

// `values` as the type stores them.
TensorPtr stored_as(DType type, const std::vector<int64_t>& shape, const std::vector<float>& values) {
  auto tensor = std::make_shared<Tensor>(type, shape);
  auto* bits = reinterpret_cast<uint16_t*>(tensor->data());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = bits_of(type, values[i]);
  return tensor;
}

std::vector<float> rounded(DType type, std::vector<float> values) {
  for (auto& x : values) x = widened(type, bits_of(type, x));
  return values;
}

std::string copied(DType type) { return "op=copy out=" + std::string(name_of(type)); }

struct NarrowCache : testing::TestWithParam<DType> {
  NarrowCache() : random(test_seed()) {
    evidence.prompt = "p";
    evidence.arm = "auto";
    evidence.model = &model();
  }
  Phase& phase(const std::string& name = "prefill") {
    return evidence.add(name, {{1, 2, 3}, 0}, model().config().sizes(3, 3));
  }
  Tap cache_of(const Phase& at, const std::vector<float>& values) const {
    Tap tap = tap_of(at, Stage::k_cache, values, copied(GetParam()));
    tap.tensor = stored_as(GetParam(), tap.tensor->shape(), values);
    return tap;
  }
  std::vector<float> rows(const Phase& at) {
    return random_values(static_cast<size_t>(elements(shape_of(Stage::k_cache, at.sizes))), random);
  }
  Finding local(Phase& at, const std::vector<float>& k_rope, const std::vector<float>& cache) {
    at.put(0, Stage::k_rope, tap_of(at, Stage::k_rope, k_rope, "op=rope freq=f64 trig=1"));
    at.put(0, Stage::k_cache, cache_of(at, cache));
    return only(ProbeRun("stage_parity").layer(evidence, at, 0, {Stage::k_cache}));
  }
  std::mt19937_64 random;
  Evidence evidence;
};

TEST_P(NarrowCache, PassesWhatIsRoundedAndCatchesTheNeighbour) {
  Phase& at = phase();
  const auto k_rope = rows(at);
  const auto good = local(at, k_rope, k_rope);
  EXPECT_EQ(good.status, Status::pass) << good.message.text();
  EXPECT_EQ(good.metrics.max_abs, 0);
  EXPECT_THAT(good.reason, HasSubstr(std::string(name_of(GetParam()))));
  EXPECT_EQ(at.tap(0, Stage::k_cache).stored, GetParam());

  Phase& other = phase("decode0");
  auto wrong = rounded(GetParam(), k_rope);
  const size_t i = random() % wrong.size();
  wrong[i] = widened(GetParam(), static_cast<uint16_t>(bits_of(GetParam(), wrong[i]) + 3));
  const auto bad = local(other, k_rope, wrong);
  EXPECT_EQ(bad.status, Status::fail);
  EXPECT_EQ(bad.metrics.out_of_certain, 1) << "a copy has no error at all";
  EXPECT_EQ(bad.metrics.max_ulp, 3) << "in units of the type that is stored";
}

TEST_P(NarrowCache, TruncatedInsteadOfRoundedIsSeen) {
  Phase& at = phase();
  const auto k_rope = rows(at);
  auto cut = rounded(GetParam(), k_rope);
  for (size_t i = 0; i < cut.size(); ++i)
    if (std::fabs(cut[i]) > std::fabs(k_rope[i]))
      cut[i] = widened(GetParam(), static_cast<uint16_t>(bits_of(GetParam(), cut[i]) - 1));
  const auto finding = local(at, k_rope, cut);
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_EQ(finding.metrics.max_ulp, 1);
}

TEST_P(NarrowCache, FiniteAndDeterminismReadIt) {
  Phase& at = phase();
  auto values = rows(at);
  at.put(0, Stage::k_cache, cache_of(at, values));
  at.put(0, Stage::k_cache, cache_of(at, values), Run::repeat);
  EXPECT_EQ(only(ProbeRun("finite").layer(evidence, at, 0, {Stage::k_cache})).status, Status::pass);
  EXPECT_EQ(only(ProbeRun("determinism").layer(evidence, at, 0, {Stage::k_cache})).status, Status::pass);

  Phase& other = phase("decode0");
  values = rounded(GetParam(), values);
  other.put(0, Stage::k_cache, cache_of(other, values));
  values[5] = widened(GetParam(), static_cast<uint16_t>(bits_of(GetParam(), values[5]) + 2));
  other.put(0, Stage::k_cache, cache_of(other, values), Run::repeat);
  const auto differs = only(ProbeRun("determinism").layer(evidence, other, 0, {Stage::k_cache}));
  EXPECT_EQ(differs.status, Status::fail);
  EXPECT_EQ(differs.metrics.max_ulp, 2);

  Phase& third = phase("decode1");
  values[7] = 1e38f * 1e3f;
  third.put(0, Stage::k_cache, cache_of(third, values));
  const auto infinite = only(ProbeRun("finite").layer(evidence, third, 0, {Stage::k_cache}));
  EXPECT_EQ(infinite.status, Status::fail);
  EXPECT_EQ(infinite.metrics.inf_count, 1);
}

TEST_P(NarrowCache, PhasesAreComparedInIt) {
  const StageSizes sizes = [] {
    auto s = model().config().sizes(1, 3);
    return s;
  }();
  Phase& prefill = evidence.add("prefill_last", {{3}, 2}, sizes);
  Phase& decode = evidence.add("decode0", {{3}, 2}, sizes);
  auto values = rounded(GetParam(), rows(decode));
  prefill.put(0, Stage::k_cache, cache_of(prefill, values));
  for (const std::string name : {"prefill_last", "decode0"})
    evidence.chained[{name, 0, Stage::k_cache}] = {{values.begin(), values.end()},
                                                   std::vector<double>(values.size(), 1e-6)};
  values[4] = widened(GetParam(), static_cast<uint16_t>(bits_of(GetParam(), 1.0f) + 4));
  for (const std::string name : {"prefill_last", "decode0"})
    evidence.chained[{name, 0, Stage::k_cache}].value[4] = values[4];
  decode.put(0, Stage::k_cache, cache_of(decode, values));
  const auto finding = only(ProbeRun("phase_parity").whole_case(evidence, {{"decode0", 0, Stage::k_cache}}));
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_THAT(finding.message.text(), HasSubstr("prefill is the wrong side"));
  EXPECT_EQ(finding.metrics.max_ulp,
            std::abs(static_cast<int>(bits_of(GetParam(), values[4])) -
                     static_cast<int>(bits_of(GetParam(), prefill.tap(0, Stage::k_cache).f32()[4]) & 0x7fff) *
                         (prefill.tap(0, Stage::k_cache).f32()[4] < 0 ? -1 : 1)));
}

TEST_P(NarrowCache, TensorsFromAFileAreWidenedToo) {
  Phase& at = phase();
  const auto values = rows(at);
  at.read_from({.has = [](int, Stage stage) { return stage == Stage::k_cache; },
                .read = [&](int, Stage) { return cache_of(at, values); }});
  const auto seen = at.tap(0, Stage::k_cache).f32();
  const auto want = rounded(GetParam(), values);
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), want.begin(), want.end()));
}

INSTANTIATE_TEST_SUITE_P(Types, NarrowCache, testing::Values(DType::f16, DType::bf16),
                         [](const auto& type) { return std::string(name_of(type.param)); });

TEST(UlpDistance, CountsTheTypesOwnNumbers) {
  const std::vector<float> actual = {1.0f, -0.0f, 0x1p-24f, INFINITY, NAN};
  const std::vector<double> reference = {1.0 + 0x1p-9, 0.0, -0x1p-24, 1.0, 2.0};
  EXPECT_EQ(ulp_distance(actual, reference, DType::f16), 2);
  EXPECT_EQ(ulp_distance({actual.data(), 1}, std::span<const double>(reference.data(), 1), DType::bf16), 0);
  EXPECT_EQ(ulp_distance({actual.data(), 1}, std::span<const double>(reference.data(), 1), DType::f32),
            1 << 14);
}

// A unit that truncates: errors around the declared mean are no bias, those well beyond it are one.
TEST(BiasZ, AllowsForTheDeclaredMean) {
  std::mt19937_64 random(test_seed());
  std::normal_distribution<double> normal;
  const size_t n = 4000;
  const double declared = -1e-3, noise = 1e-4;
  const auto z_of = [&](double mean) {
    std::vector<double> reference(n), lean(n, declared);
    std::vector<float> actual(n);
    for (size_t i = 0; i < n; ++i) {
      reference[i] = normal(random);
      actual[i] = static_cast<float>(reference[i] + mean + noise * normal(random));
    }
    actual[7] = INFINITY;
    return bias_z(actual, reference, lean);
  };
  EXPECT_EQ(z_of(declared), 0);
  EXPECT_EQ(z_of(0.6 * declared), 0);
  EXPECT_EQ(z_of(1.4 * declared), 0);
  EXPECT_LT(z_of(1.7 * declared), -50);
  EXPECT_GT(z_of(0.3 * declared), 50);
  EXPECT_GT(z_of(-declared), 50);
}

TEST(OpOf, IsTheFirstContracts) {
  EXPECT_EQ(op_of({.contract = "op=attention x=f16"}), "attention");
  EXPECT_EQ(op_of({.contract = "op=copy"}), "copy");
  EXPECT_EQ(op_of({.contract = "x=f16 op=pv"}), "pv");
  EXPECT_EQ(op_of({.contract = ""}), "");
  EXPECT_EQ(op_of({.contract = "flop=3"}), "");
}

// attn_out from one kernel: q_rope and a cache in f16, without qk, softmax and pv.
struct FusedAttention : testing::Test {
  FusedAttention() : random(test_seed()), at(phase()) {
    q = values_of(Stage::q_rope);
    k = rounded(DType::f16, values_of(Stage::k_cache));
    v = rounded(DType::f16, values_of(Stage::v_cache));
    at.put(0, Stage::q_rope, tap_of(at, Stage::q_rope, q, "op=rope freq=f64 trig=1"));
    for (const auto& [stage, rows] : {std::pair(Stage::k_cache, k), std::pair(Stage::v_cache, v)}) {
      Tap tap = tap_of(at, stage, rows, "op=copy out=f16");
      tap.tensor = stored_as(DType::f16, tap.tensor->shape(), rows);
      at.put(0, stage, std::move(tap));
    }
  }
  Phase& phase() {
    evidence->prompt = "p";
    evidence->arm = "auto";
    evidence->model = &model();
    return evidence->add("prefill", {{1, 2, 3, 4, 5}, 0}, model().config().sizes(5, 5));
  }
  std::vector<float> values_of(Stage stage) {
    return random_values(static_cast<size_t>(elements(shape_of(stage, at.sizes))), random);
  }
  // By definition; `modulo`: head h reads KV head h mod Hkv.
  std::vector<float> attended(bool modulo = false) const {
    const auto& config = model().config();
    const auto Dh = static_cast<size_t>(config.head_dim), H = static_cast<size_t>(config.heads),
               Hkv = static_cast<size_t>(config.kv_heads);
    std::vector<float> out;
    for (size_t s = 0; s < 5; ++s)
      for (size_t h = 0; h < H; ++h)
        for (size_t d = 0; d < Dh; ++d) {
          const size_t kv = modulo ? h % Hkv : h / (H / Hkv);
          double sum = 0, mixed = 0;
          for (size_t t = 0; t <= s; ++t) {
            double score = 0;
            for (size_t i = 0; i < Dh; ++i)
              score += static_cast<double>(q[(s * H + h) * Dh + i]) * k[(t * Hkv + kv) * Dh + i];
            const double e = std::exp(score / std::sqrt(static_cast<double>(Dh)));
            sum += e;
            mixed += e * v[(t * Hkv + kv) * Dh + d];
          }
          out.push_back(static_cast<float>(mixed / sum));
        }
    return out;
  }
  Finding judged(const std::vector<float>& out) {
    at.forget(0, std::vector{Stage::attn_out}, Run::first);
    at.put(0, Stage::attn_out, tap_of(at, Stage::attn_out, out, kContract));
    Judge judge("stage_parity", "local", "p", "auto");
    find_probe("stage_parity")
        .make({{"mode", "local"}})
        ->check_layer({*evidence, at, 0, {Stage::attn_out}}, judge);
    return only(judge.take());
  }
  static constexpr const char* kContract =
      "op=attention x=f32 w=f32 p=f32 acc=f32 chain=64 sum=5 rescales=1 rounds=2 exp=2 div=1 unit=ieee";
  std::shared_ptr<Evidence> evidence = std::make_shared<Evidence>();
  std::mt19937_64 random;
  Phase& at;
  std::vector<float> q, k, v;
};

TEST_F(FusedAttention, IsJudgedOnItsOwnInputs) {
  auto out = attended();
  const auto good = judged(out);
  EXPECT_EQ(good.status, Status::pass) << good.message.text();
  EXPECT_THAT(good.reason, HasSubstr("attention over T=5"));
  out[5] += 1e-4f;
  const auto bad = judged(out);
  EXPECT_EQ(bad.status, Status::fail);
  EXPECT_EQ(bad.metrics.worst, 5);
}

TEST_F(FusedAttention, ItsCauseIsNamedFromTheOutputAlone) {
  ASSERT_GT(model().config().kv_heads, 1);
  const auto explained = [&](const std::vector<float>& out) {
    const std::vector<Finding> findings = {judged(out)};
    EXPECT_EQ(findings[0].status, Status::fail);
    const RunRecord run{.model = model(),
                        .findings = findings,
                        .evidence = [&](const std::string&, const std::string&) { return evidence; },
                        .weight = {}};
    const auto answers = explain(run, {});
    EXPECT_EQ(answers.size(), 1u);
    return answers.empty() ? Explanation{} : answers.front();
  };
  const auto modulo = explained(attended(true));
  EXPECT_EQ(modulo.answer, Answer::explained);
  ASSERT_EQ(modulo.fitting.size(), 1u);
  EXPECT_EQ(modulo.fitting[0].causes, std::vector<std::string>{"kv_head=modulo"});
  auto other = attended();
  other[3] += 0.5f;
  EXPECT_EQ(explained(other).answer, Answer::unexplained);
}

}  // namespace
}  // namespace greta::probes
