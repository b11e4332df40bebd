// What synthetic_weights.hpp claims of a synthetic model, measured with a forward pass of its own: float
// weights, plain loops.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numeric>

#include "datasets/gguf.hpp"
#include "datasets/synthesise.hpp"
#include "datasets/synthetic_random.hpp"
#include "datasets/synthetic_weights.hpp"
#include "datasets/test_seed.hpp"

namespace greta {
namespace {

using Row = std::vector<float>;
using Rows = std::vector<Row>;

class Llama {
 public:
  explicit Llama(const std::string& path)
      : file_(GgufFile::open(path)),
        layers_(file_.u32("llama.block_count")),
        heads_(file_.u32("llama.attention.head_count")),
        kv_heads_(file_.u32("llama.attention.head_count_kv")),
        head_dim_(file_.u32("llama.rope.dimension_count")),
        base_(file_.f32("llama.rope.freq_base")),
        eps_(file_.f32("llama.attention.layer_norm_rms_epsilon")) {}

  const GgufFile& file() const { return file_; }
  int layers() const { return layers_; }
  int heads() const { return heads_; }

  std::vector<Rows> residuals;               // after each layer, the embedding first
  std::vector<std::vector<Rows>> attention;  // [layer][head][query][key]
  Rows logits;

  void forward(const std::vector<int32_t>& tokens) {
    Rows x;
    for (const auto token : tokens) x.push_back(weight_row("token_embd.weight", token));
    residuals = {x};
    attention.clear();
    for (int layer = 0; layer < layers_; ++layer) {
      const auto name = [&](const char* what) { return fmt::format("blk.{}.{}.weight", layer, what); };
      add(x, apply(name("attn_output"), attend(norm(x, name("attn_norm")), name)));
      const Rows in = norm(x, name("ffn_norm"));
      Rows act = apply(name("ffn_gate"), in);
      const Rows up = apply(name("ffn_up"), in);
      for (size_t t = 0; t < act.size(); ++t)
        for (size_t i = 0; i < act[t].size(); ++i) act[t][i] *= up[t][i] / (1.0f + std::exp(-act[t][i]));
      add(x, apply(name("ffn_down"), act));
      residuals.push_back(x);
    }
    const char* output = file_.find("output.weight") ? "output.weight" : "token_embd.weight";
    logits = apply(output, norm(x, "output_norm.weight"));
  }

 private:
  Row weight_row(const std::string& name, int64_t index) const {
    const auto& tensor = file_.tensor(name);
    Row row(static_cast<size_t>(tensor.columns()));
    std::memcpy(row.data(), tensor.row(index).data(), tensor.row(index).size());
    return row;
  }

  Rows apply(const std::string& name, const Rows& x) const {
    const auto& tensor = file_.tensor(name);
    Rows out(x.size(), Row(static_cast<size_t>(tensor.rows())));
    for (int64_t j = 0; j < tensor.rows(); ++j) {
      const Row w = weight_row(name, j);
      for (size_t t = 0; t < x.size(); ++t)
        out[t][j] = std::inner_product(w.begin(), w.end(), x[t].begin(), 0.0f);
    }
    return out;
  }

  Rows norm(const Rows& x, const std::string& name) const {
    const Row w = weight_row(name, 0);
    Rows out = x;
    for (auto& row : out) {
      const float squares = std::inner_product(row.begin(), row.end(), row.begin(), 0.0f);
      const float scale = 1.0f / std::sqrt(squares / static_cast<float>(row.size()) + eps_);
      for (size_t i = 0; i < row.size(); ++i) row[i] *= scale * w[i];
    }
    return out;
  }

  static void add(Rows& x, const Rows& more) {
    for (size_t t = 0; t < x.size(); ++t)
      for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += more[t][i];
  }

  void rotate(Rows& rows) const {
    for (size_t t = 0; t < rows.size(); ++t)
      for (size_t i = 0; i < rows[t].size(); i += 2) {
        const double pair = static_cast<double>(i % head_dim_) / head_dim_;
        const double angle = static_cast<double>(t) * std::pow(static_cast<double>(base_), -pair);
        const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
        const float a = rows[t][i], b = rows[t][i + 1];
        rows[t][i] = a * c - b * s;
        rows[t][i + 1] = a * s + b * c;
      }
  }

  template <typename Name>
  Rows attend(const Rows& x, const Name& name) {
    Rows q = apply(name("attn_q"), x), k = apply(name("attn_k"), x);
    const Rows v = apply(name("attn_v"), x);
    rotate(q);
    rotate(k);
    Rows out(x.size(), Row(static_cast<size_t>(heads_ * head_dim_)));
    auto& shares = attention.emplace_back(static_cast<size_t>(heads_), Rows(x.size()));
    for (int h = 0; h < heads_; ++h) {
      const int64_t at = h * head_dim_, kv = h / (heads_ / kv_heads_) * head_dim_;
      for (size_t t = 0; t < x.size(); ++t) {
        Row& share = shares[h][t];
        for (size_t u = 0; u <= t; ++u)
          share.push_back(std::inner_product(&q[t][at], &q[t][at] + head_dim_, &k[u][kv], 0.0f) /
                          std::sqrt(static_cast<float>(head_dim_)));
        const float top = *std::ranges::max_element(share);
        float sum = 0;
        for (auto& s : share) sum += s = std::exp(s - top);
        for (auto& s : share) s /= sum;
        for (size_t u = 0; u <= t; ++u)
          for (int64_t i = 0; i < head_dim_; ++i) out[t][at + i] += share[u] * v[u][kv + i];
      }
    }
    return out;
  }

  GgufFile file_;
  int layers_, heads_, kv_heads_, head_dim_;
  float base_, eps_;
};

double rms(const Row& row, const std::vector<int64_t>& without) {
  double squares = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < static_cast<int64_t>(row.size()); ++i) {
    if (std::ranges::find(without, i) != without.end()) continue;
    squares += double{row[i]} * row[i];
    ++count;
  }
  return std::sqrt(squares / static_cast<double>(count));
}

struct Case {
  std::string name;
  SynthesisOptions options;
};
void PrintTo(const Case& item, std::ostream* out) { *out << item.name; }

// A model and what one prompt of 96 tokens makes of it; measured once for each case.
struct Measured {
  explicit Measured(SynthesisOptions options) : seed(options.seed), shape(resolve_shape(options)) {
    const auto path =
        (std::filesystem::path(testing::TempDir()) / fmt::format("statistics_{:x}.gguf", seed)).string();
    synthesise(options, path);
    model = std::make_unique<Llama>(path);
    std::filesystem::remove(path);
    bos = static_cast<int32_t>(model->file().u32("tokenizer.ggml.bos_token_id"));
    tokens = {bos};
    const RandomRow random(seed, "prompt", 0);
    for (int i = 1; i < 96; ++i)
      tokens.push_back(static_cast<int32_t>(random.bits(i) % static_cast<uint64_t>(shape.vocabulary - 5)));
    model->forward(tokens);
  }

  uint64_t seed;
  ModelShape shape;
  std::unique_ptr<Llama> model;
  int32_t bos = 0;
  std::vector<int32_t> tokens;
};

class SyntheticModel : public testing::TestWithParam<Case> {
 protected:
  SyntheticModel() : measured_(of(GetParam())), trace_(__FILE__, __LINE__, seed_text()) {
    RecordProperty("seed", std::to_string(seed_));
  }

 private:
  static const Measured& of(const Case& item) {
    static std::map<std::string, Measured> all;
    const auto found = all.find(item.name);
    if (found != all.end()) return found->second;
    auto options = item.options;
    options.seed = test_seed();
    return all.try_emplace(item.name, options).first->second;
  }
  std::string seed_text() const { return fmt::format("GRETA_TEST_SEED={}", measured_.seed); }
  const Measured& measured_;
  testing::ScopedTrace trace_;

 protected:
  const uint64_t& seed_ = measured_.seed;
  const ModelShape& shape_ = measured_.shape;
  const std::unique_ptr<Llama>& model_ = measured_.model;
  const int32_t& bos_ = measured_.bos;
  const std::vector<int32_t>& tokens_ = measured_.tokens;
};

TEST_P(SyntheticModel, ResidualGrowsMildly) {
  const SyntheticWeights weights(shape_, seed_, bos_);
  auto special = weights.outlier_channels();
  special.push_back(weights.sink_channel());
  std::string figures;
  for (size_t layer = 0; layer < model_->residuals.size(); ++layer) {
    double mean = 0;
    for (size_t t = 1; t < tokens_.size(); ++t) mean += rms(model_->residuals[layer][t], special);
    mean /= static_cast<double>(tokens_.size() - 1) / 32;  // in units of the embedding's spread, 1/32
    figures += fmt::format(" {:.2f}", mean);
    EXPECT_GT(mean, 0.8) << "after layer " << layer;
    EXPECT_LT(mean, 4) << "after layer " << layer;
    for (const auto& row : model_->residuals[layer])
      for (const float value : row) ASSERT_LT(std::fabs(value), 4.0f) << "after layer " << layer;
  }
  RecordProperty("residual_rms", figures);
  fmt::print("residual rms by layer:{}\n", figures);
}

TEST_P(SyntheticModel, AFewChannelsAreTensOfTimesLarger) {
  const SyntheticWeights weights(shape_, seed_, bos_);
  const auto outliers = weights.outlier_channels();
  EXPECT_EQ(static_cast<int64_t>(outliers.size()), 2 + shape_.embedding / 1024);
  auto special = outliers;
  special.push_back(weights.sink_channel());
  for (size_t t = 1; t < tokens_.size(); ++t) {
    const auto& row = model_->residuals[0][t];
    for (const auto channel : outliers) {
      const double ratio = std::fabs(row[channel]) / rms(row, special);
      EXPECT_GT(ratio, 10) << "channel " << channel << " of token " << t;
      EXPECT_LT(ratio, 120) << "channel " << channel << " of token " << t;
    }
  }
  const auto& last = model_->residuals.back().back();
  for (const auto channel : outliers) EXPECT_GT(std::fabs(last[channel]) / rms(last, special), 4);
}

TEST_P(SyntheticModel, ManyHeadsAttendToBos) {
  int with_sink = 0, heads = 0;
  std::string figures;
  for (const auto& layer : model_->attention)
    for (const auto& head : layer) {
      double share = 0;
      for (size_t t = tokens_.size() / 2; t < tokens_.size(); ++t) share += head[t][0];
      share /= static_cast<double>(tokens_.size() - tokens_.size() / 2);
      figures += fmt::format(" {:.2f}", share);
      with_sink += share > 0.3;
      ++heads;
    }
  fmt::print("share of BOS by head:{}\n", figures);
  // 3 in 4 by construction; 16 heads at least, so that under 1 in 4 has a chance below 1 in 10⁴.
  EXPECT_GE(with_sink, heads / 4);
}

TEST_P(SyntheticModel, LogitsHaveAClearTop) {
  const SyntheticWeights weights(shape_, seed_, bos_);
  int right = 0;
  std::vector<double> margins;
  double spread = 0;
  for (size_t t = 0; t < tokens_.size(); ++t) {
    Row row = model_->logits[t];
    const auto top = std::ranges::max_element(row) - row.begin();
    right += top == weights.likely_successor(tokens_[t]);
    const double mean = std::accumulate(row.begin(), row.end(), 0.0) / static_cast<double>(row.size());
    double squares = 0;
    for (const float logit : row) squares += (logit - mean) * (logit - mean);
    spread += std::sqrt(squares / static_cast<double>(row.size())) / static_cast<double>(tokens_.size());
    std::ranges::nth_element(row, row.begin() + 1, std::greater<>());
    margins.push_back(row[0] - row[1]);
  }
  std::ranges::sort(margins);
  fmt::print(
      "logit spread {:.2f}; margin least {:.3f}, tenth {:.2f}, median {:.2f}; top is the successor {} of "
      "{}\n",
      spread, margins[0], margins[margins.size() / 10], margins[margins.size() / 2], right, tokens_.size());
  EXPECT_GT(spread, 1.5);
  EXPECT_LT(spread, 6);
  EXPECT_GT(margins[margins.size() / 2], 2);
  EXPECT_GT(right, static_cast<int>(tokens_.size()) * 6 / 10);
}

INSTANTIATE_TEST_SUITE_P(Presets, SyntheticModel,
                         testing::Values(Case{"tiny", {.preset = "tiny"}}, Case{"mini", {.preset = "mini"}},
                                         Case{"tied", {.preset = "mini", .tied = true}},
                                         Case{"deep", {.preset = "tiny", .layers = 32}},
                                         Case{"wide",
                                              {.preset = "tiny",
                                               .embedding = 1056,
                                               .heads = 12,
                                               .kv_heads = 12,
                                               .head_dim = 80,
                                               .feed_forward = 1000}}),
                         [](const auto& test) { return test.param.name; });

TEST(RandomRow, DeviatesHaveUnitVarianceAndTails) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE(fmt::format("GRETA_TEST_SEED={}", seed));
  constexpr int kCount = 1 << 20;
  const RandomRow random(seed, "moments", 3);
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double t = random.deviate(i);
    ASSERT_LE(std::fabs(t), 6.8);
    sum += t;
    squares += t * t;
    fourth += t * t * t * t;
  }
  EXPECT_NEAR(sum / kCount, 0, 7e-3);  // 7 standard errors each
  EXPECT_NEAR(squares / kCount, 1, 14e-3);
  EXPECT_NEAR(fourth / kCount, 5.3, 0.3);
}

}  // namespace
}  // namespace greta
