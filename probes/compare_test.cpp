#include "probes/compare.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "datasets/error.hpp"
#include "probes/finding.hpp"

namespace greta::probes {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr float kInfF = std::numeric_limits<float>::infinity();
const float kNanF = std::nanf("");

struct Case {
  std::vector<float> actual;
  std::vector<double> reference, expected, certain;
  Metrics metrics() const { return compare(actual, reference, expected, certain); }
};

// `count` elements that agree within their bounds.
Case clean(size_t count, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Case c;
  for (size_t i = 0; i < count; ++i) {
    const double r = normal(random) * std::exp(3 * normal(random)), bound = std::fabs(r) * 1e-6;
    c.reference.push_back(r);
    c.expected.push_back(bound);
    c.certain.push_back(30 * bound);
    c.actual.push_back(static_cast<float>(r + bound * 0.5 * std::tanh(normal(random))));
  }
  return c;
}

// The definitions, one element after the other, in extended precision.
Metrics by_definition(const Case& c) {
  Metrics m;
  m.count = static_cast<int64_t>(c.actual.size());
  long double error = 0, magnitude = 0, square = 0, rr = 0, aa = 0, ar = 0, n = 0;
  for (size_t i = 0; i < c.actual.size(); ++i) {
    const double a = c.actual[i], r = c.reference[i], e = a - r;
    double ratio = 0, certain_ratio = 0;
    if (std::isnan(a)) ++m.nan_count;
    if (std::isinf(a)) ++m.inf_count;
    if (!std::isfinite(a) || !std::isfinite(r)) {
      if (a == r || (std::isnan(a) && std::isnan(r))) continue;
      ++m.non_finite_mismatch, ++m.out_of_bound, ++m.out_of_certain;
      m.max_abs = ratio = certain_ratio = kInf;
    } else {
      n += 1, error += e, magnitude += std::fabs(e), square += static_cast<long double>(e) * e;
      rr += static_cast<long double>(r) * r, aa += static_cast<long double>(a) * a,
          ar += static_cast<long double>(a) * r;
      m.max_abs = std::max(m.max_abs, std::fabs(e));
      if (r != 0) m.max_rel = std::max(m.max_rel, std::fabs(e) / std::fabs(r));
      const auto ordered = [](float x) -> int64_t {
        const int64_t bits = std::bit_cast<uint32_t>(x);
        return bits >= 0x80000000LL ? 0x80000000LL - bits : bits;
      };
      m.max_ulp = std::max(m.max_ulp, std::abs(ordered(c.actual[i]) - ordered(static_cast<float>(r))));
      ratio = e == 0 ? 0 : std::fabs(e) / c.expected[i];
      certain_ratio = e == 0 ? 0 : std::fabs(e) / c.certain[i];
      m.out_of_bound += !(std::fabs(e) <= c.expected[i]);
      m.out_of_certain += !(std::fabs(e) <= c.expected[i]) && !(std::fabs(e) <= c.certain[i]);
    }
    m.certain_ratio = std::max(m.certain_ratio, certain_ratio);
    if (m.worst < 0 || ratio > m.bound_ratio) {
      m.bound_ratio = ratio;
      m.worst = static_cast<int64_t>(i);
      m.worst_actual = a, m.worst_expected = r, m.worst_bound = c.expected[i];
    }
  }
  if (n > 0) m.mae = static_cast<double>(magnitude / n), m.rmse = static_cast<double>(std::sqrt(square / n));
  m.nmse = square == 0 ? 0 : static_cast<double>(square / rr);
  m.cosine = rr > 0 && aa > 0 ? static_cast<double>(ar / std::sqrt(rr * aa)) : (rr == aa ? 1 : 0);
  if (n >= 2 && square > 0)
    m.bias_z = static_cast<double>(error / n / std::sqrt((square - error * error / n) / (n - 1) / n));
  return m;
}

void expect_same(const Metrics& got, const Metrics& want) {
  EXPECT_EQ(got.count, want.count);
  EXPECT_EQ(got.out_of_bound, want.out_of_bound);
  EXPECT_EQ(got.out_of_certain, want.out_of_certain);
  EXPECT_EQ(got.bound_ratio, want.bound_ratio);
  EXPECT_EQ(got.certain_ratio, want.certain_ratio);
  EXPECT_EQ(got.worst, want.worst);
  EXPECT_EQ(got.worst_bound, want.worst_bound);
  const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  EXPECT_TRUE(same(got.worst_actual, want.worst_actual));
  EXPECT_TRUE(same(got.worst_expected, want.worst_expected));
  EXPECT_EQ(got.max_abs, want.max_abs);
  EXPECT_EQ(got.max_rel, want.max_rel);
  EXPECT_EQ(got.max_ulp, want.max_ulp);
  EXPECT_EQ(got.nan_count, want.nan_count);
  EXPECT_EQ(got.inf_count, want.inf_count);
  EXPECT_EQ(got.non_finite_mismatch, want.non_finite_mismatch);
  const auto near = [](double a, double b, double tolerance) {
    return a == b || std::fabs(a - b) <= tolerance * (1 + std::fabs(b));
  };
  EXPECT_NEAR(got.mae, want.mae, 1e-12 * want.mae);
  EXPECT_NEAR(got.rmse, want.rmse, 1e-12 * want.rmse);
  EXPECT_TRUE(got.nmse == want.nmse || std::fabs(got.nmse - want.nmse) <= 1e-12 * want.nmse)
      << got.nmse << want.nmse;
  EXPECT_NEAR(got.cosine, want.cosine, 1e-12);
  // Two or three elements with nearly the same error make the variance a difference of near equals.
  EXPECT_TRUE(got.count <= 3 || near(got.bias_z, want.bias_z, 1e-6)) << got.bias_z << " " << want.bias_z;
}

class CompareSeeded : public testing::Test {
 protected:
  const uint64_t seed = std::getenv("GRETA_TEST_SEED")
                            ? std::strtoull(std::getenv("GRETA_TEST_SEED"), nullptr, 10)
                            : std::random_device{}();
  const testing::ScopedTrace trace{__FILE__, __LINE__, "GRETA_TEST_SEED=" + std::to_string(seed)};
  std::mt19937_64 random{seed};
};

TEST(Compare, AnswersByHand) {
  const Metrics m = compare(std::vector<float>{1, 2.5f, -3, 0}, std::vector<double>{1, 2, -4, 0},
                            std::vector<double>{0.25, 1, 0.5, 0}, std::vector<double>{1, 2, 4, 0});
  EXPECT_EQ(m.count, 4);
  EXPECT_EQ(m.out_of_bound, 1);
  EXPECT_EQ(m.out_of_certain, 0);
  EXPECT_EQ(m.bound_ratio, 2);
  EXPECT_EQ(m.certain_ratio, 0.25);
  EXPECT_EQ(m.worst, 2);
  EXPECT_EQ(m.worst_actual, -3);
  EXPECT_EQ(m.worst_expected, -4);
  EXPECT_EQ(m.worst_bound, 0.5);
  EXPECT_EQ(m.max_abs, 1);
  EXPECT_EQ(m.max_rel, 0.25);
  EXPECT_EQ(m.mae, 0.375);
  EXPECT_DOUBLE_EQ(m.rmse, std::sqrt(1.25 / 4));
  EXPECT_DOUBLE_EQ(m.nmse, 1.25 / 21);
  EXPECT_DOUBLE_EQ(m.cosine, (1 + 5 + 12) / std::sqrt(21.0 * (1 + 6.25 + 9)));
  // Mean 0.375, variance (1.25 - 4 * 0.375^2) / 3.
  EXPECT_DOUBLE_EQ(m.bias_z, 0.375 / std::sqrt((1.25 - 0.5625) / 3 / 4));
  EXPECT_FALSE(m.pass());
}

TEST(Compare, NothingAndZeros) {
  EXPECT_FALSE(compare({}, std::vector<double>{}, {}, {}).pass()) << "zero elements are no evidence";
  const std::vector<double> zero(20, 0.0);
  Metrics m = compare(std::vector<float>(20, 0.0f), zero, zero, zero);
  EXPECT_TRUE(m.pass()) << "bound 0, error 0";
  EXPECT_EQ(m.cosine, 1);
  EXPECT_EQ(m.nmse, 0);
  EXPECT_EQ(m.bias_z, 0);
  EXPECT_EQ(m.worst, 0);
  m = compare(std::vector<float>(20, 1e-30f), zero, zero, zero);
  EXPECT_EQ(m.out_of_bound, 20);
  EXPECT_EQ(m.bound_ratio, kInf) << "any error over a bound of 0";
  EXPECT_EQ(m.cosine, 0);
  EXPECT_EQ(m.nmse, kInf);
  EXPECT_EQ(m.bias_z, kInf) << "the same error everywhere";
  EXPECT_EQ(
      compare(std::vector<float>{2}, std::vector<double>{1}, std::vector<double>{2}, std::vector<double>{2})
          .bias_z,
      0);
}

TEST(Compare, BoundsThatAreNoBounds) {
  for (const double bound : {std::nan(""), -1.0}) {
    const std::vector<double> bounds = {1, bound, 1};
    const Metrics m = compare(std::vector<float>{1, 1, 1}, std::vector<double>{1, 1, 1}, bounds, bounds);
    EXPECT_FALSE(m.pass());
    EXPECT_EQ(m.out_of_bound, 1);
    EXPECT_EQ(m.bound_ratio, kInf);
    EXPECT_EQ(m.worst, 1);
  }
  const std::vector<double> endless(3, kInf);
  EXPECT_TRUE(compare(std::vector<float>{1, 2, 3}, std::vector<double>{1, 1, 1}, endless, endless).pass());
  // certain under expected: the element's bound is `expected`.
  const Metrics m = compare(std::vector<float>{2}, std::vector<double>{1}, std::vector<double>{4},
                            std::vector<double>{0.5});
  EXPECT_TRUE(m.pass());
  EXPECT_EQ(m.out_of_certain, 0);
  EXPECT_EQ(m.certain_ratio, 2);
}

TEST(Compare, UlpDistanceAcrossZero) {
  const auto ulp = [](float a, float b) {
    return compare(std::vector<float>{a}, std::vector<float>{b}, {}).max_ulp;
  };
  const float tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(ulp(1, std::nextafter(1.0f, 2.0f)), 1);
  EXPECT_EQ(ulp(0.0f, -0.0f), 0);
  EXPECT_EQ(ulp(tiny, -tiny), 2);
  EXPECT_EQ(ulp(-1, 1), 2 * 0x3f800000LL);
  EXPECT_EQ(ulp(std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest()), 2 * 0x7f7fffffLL);
}

TEST(Compare, TwoEngines) {
  const std::vector<float> a = {1, 2, -0.0f, kInfF}, b = {1, 2, 0.0f, kInfF};
  EXPECT_TRUE(compare(a, b, {}).pass()) << "bitwise up to the sign of zero";
  auto c = b;
  c[1] = std::nextafter(2.0f, 3.0f);
  Metrics m = compare(a, c, {});
  EXPECT_FALSE(m.pass());
  EXPECT_EQ(m.worst, 1);
  EXPECT_EQ(m.max_ulp, 1);
  EXPECT_TRUE(compare(a, c, std::vector<float>{0, 1e-6f, 0, 0}).pass());
  EXPECT_FALSE(compare(a, c, std::vector<float>{1, 1e-8f, 1, 1}).pass());
  EXPECT_THROW(compare(a, std::vector<float>{1}, {}), Error);
  EXPECT_THROW(compare(a, c, std::vector<float>{1}), Error);
  EXPECT_THROW(compare(a, std::vector<double>(4), std::vector<double>(4), std::vector<double>(3)), Error);
}

// At every position of a vector, a block and a tail.
TEST_F(CompareSeeded, NonFiniteAnywhere) {
  for (const size_t count : {1u, 15u, 16u, 17u, 1024u, 1041u, 2500u}) {
    const Case good = clean(count, random);
    ASSERT_TRUE(good.metrics().pass());
    for (size_t at = 0; at < count; at += count < 20 ? 1 : 1 + random() % (count / 8)) {
      SCOPED_TRACE(testing::Message() << "element " << at << " of " << count);
      Case c = good;
      c.actual[at] = kNanF;
      Metrics m = c.metrics();
      EXPECT_FALSE(m.pass());
      EXPECT_EQ(m.nan_count, 1);
      EXPECT_EQ(m.bound_ratio, kInf);
      EXPECT_EQ(m.worst, static_cast<int64_t>(at));
      c.reference[at] = std::nan("");
      EXPECT_TRUE(c.metrics().pass()) << "NaN where the reference has it";
      EXPECT_EQ(c.metrics().nan_count, 1);
      expect_same(c.metrics(), by_definition(c));
      c.actual[at] = 1;
      EXPECT_FALSE(c.metrics().pass());
      c.actual[at] = -kInfF;
      c.reference[at] = -kInf;
      m = c.metrics();
      EXPECT_TRUE(m.pass()) << "the same infinity";
      EXPECT_EQ(m.inf_count, 1);
      expect_same(m, by_definition(c));
      c.reference[at] = kInf;
      EXPECT_FALSE(c.metrics().pass());
      c.reference[at] = 1;
      EXPECT_EQ(c.metrics().bound_ratio, kInf);
      c.expected[at] = c.certain[at] = kInf;
      EXPECT_FALSE(c.metrics().pass()) << "not even under an infinite bound";
    }
  }
}

TEST_F(CompareSeeded, AgreesWithTheDefinitions) {
  for (int trial = 0; trial < 300; ++trial) {
    Case c = clean(random() % 5000, random);
    const auto somewhere = [&] { return random() % c.actual.size(); };
    if (!c.actual.empty())
      for (uint64_t fault = random() % 6; fault-- > 0;) {
        switch (random() % 6) {
          case 0:
            c.actual[somewhere()] *= 1.00001f;
            break;
          case 1:
            c.actual[somewhere()] = kNanF;
            break;
          case 2:
            c.actual[somewhere()] = kInfF;
            break;
          case 3:
            c.reference[somewhere()] = 0;
            break;
          case 4:
            c.expected[somewhere()] = 0;
            break;
          case 5:
            c.actual[somewhere()] *= -1;
            break;
        }
      }
    if (trial % 3 == 0)  // as in causal scores
      for (size_t i = 0; i < c.actual.size(); ++i)
        if (i % 7 > 3) c.actual[i] = -kInfF, c.reference[i] = -kInf;
    SCOPED_TRACE(testing::Message() << "trial " << trial << ", " << c.actual.size() << " elements");
    expect_same(c.metrics(), by_definition(c));
    if (HasFailure()) break;
  }
}

TEST_F(CompareSeeded, FirstOfEqualsIsTheWorst) {
  for (int trial = 0; trial < 50; ++trial) {
    const size_t count = 100 + random() % 4000;
    Case c{std::vector<float>(count, 1), std::vector<double>(count, 1), std::vector<double>(count, 0.5),
           std::vector<double>(count, 1)};
    EXPECT_EQ(c.metrics().worst, 0);
    const size_t first = random() % count, second = random() % count;
    c.actual[first] = 2;
    c.actual[second] = 0;
    EXPECT_EQ(c.metrics().worst, static_cast<int64_t>(std::min(first, second)));
    c.actual[second] = kNanF;
    EXPECT_EQ(c.metrics().worst, static_cast<int64_t>(second));
  }
}

TEST_F(CompareSeeded, SameBitsAtEveryAlignment) {
  const Case c = clean(3000, random);
  const Metrics want = c.metrics();
  for (size_t shift = 1; shift < 9; ++shift) {
    Case moved = c;
    for (auto* values : {&moved.reference, &moved.expected, &moved.certain})
      values->insert(values->begin(), shift, 7.0);
    moved.actual.insert(moved.actual.begin(), shift, 7.0f);
    const Metrics got =
        compare(std::span(moved.actual).subspan(shift), std::span(moved.reference).subspan(shift),
                std::span(moved.expected).subspan(shift), std::span(moved.certain).subspan(shift));
    EXPECT_EQ(std::memcmp(&got.bound_ratio, &want.bound_ratio, 8), 0);
    for (const auto member :
         {&Metrics::mae, &Metrics::rmse, &Metrics::nmse, &Metrics::cosine, &Metrics::bias_z,
          &Metrics::max_abs, &Metrics::max_rel, &Metrics::certain_ratio})
      EXPECT_EQ(got.*member, want.*member);
  }
}

TEST_F(CompareSeeded, PiecesJoinToTheWhole) {
  for (const size_t count : {1u, 16u, 1000u, 5000u}) {
    Case c = clean(count, random);
    c.actual[random() % count] = 1e9f;  // the worst, in one of the pieces
    if (count > 20) c.actual[random() % count] = kNanF;
    std::vector<Piece> pieces;
    for (size_t begin = 0; begin < count;) {
      const size_t size = 1 + random() % (count - begin);
      const auto part = [&](const auto& all) { return std::span(all).subspan(begin, size); };
      pieces.push_back(compare_piece(part(c.actual), part(c.reference), part(c.expected), part(c.certain)));
      begin += size;
    }
    const Metrics joined = join(pieces), whole = c.metrics();
    EXPECT_EQ(joined.count, whole.count);
    EXPECT_EQ(joined.out_of_bound, whole.out_of_bound);
    EXPECT_EQ(joined.out_of_certain, whole.out_of_certain);
    EXPECT_EQ(joined.bound_ratio, whole.bound_ratio);
    EXPECT_EQ(joined.certain_ratio, whole.certain_ratio);
    EXPECT_EQ(joined.worst, whole.worst) << count << " in " << pieces.size();
    EXPECT_TRUE(joined.worst_actual == whole.worst_actual || std::isnan(whole.worst_actual));
    EXPECT_EQ(joined.max_abs, whole.max_abs);
    EXPECT_EQ(joined.max_rel, whole.max_rel);
    EXPECT_EQ(joined.max_ulp, whole.max_ulp);
    EXPECT_EQ(joined.nan_count, whole.nan_count);
    EXPECT_EQ(joined.non_finite_mismatch, whole.non_finite_mismatch);
    const auto near = [](double a, double b) { return std::abs(a - b) <= 1e-9 * std::abs(b); };
    EXPECT_TRUE(near(joined.mae, whole.mae) && near(joined.rmse, whole.rmse) &&
                near(joined.nmse, whole.nmse) && near(joined.cosine, whole.cosine));
    EXPECT_TRUE(count <= 3 || std::abs(joined.bias_z - whole.bias_z) <= 1e-6 * std::abs(whole.bias_z))
        << joined.bias_z << " " << whole.bias_z;
  }
  EXPECT_EQ(join({}).count, 0);
}

TEST_F(CompareSeeded, BiasSeesWhatNoElementShows) {
  Case c = clean(200000, random);
  EXPECT_LT(std::fabs(c.metrics().bias_z), 6);
  for (size_t i = 0; i < c.actual.size(); ++i) {
    c.reference[i] = 1 + static_cast<double>(random() % 1000) / 1000;
    const double noise = 1e-6 * (static_cast<double>(random() % 2001) / 1000 - 1);
    c.expected[i] = c.certain[i] = 1e-5 * c.reference[i];
    c.actual[i] = static_cast<float>(c.reference[i] * (1 + noise - 1e-7));
  }
  EXPECT_TRUE(c.metrics().pass());
  EXPECT_LT(c.metrics().bias_z, -20);
}

TEST(Finding, NamesKeysAndRows) {
  Finding finding{.probe = "stage_parity",
                  .mode = "local",
                  .prompt = "p0_short",
                  .arm = "auto",
                  .phase = "decode0",
                  .layer = 3,
                  .stage = "softmax",
                  .status = Status::fail,
                  .shape = {3, 5, 7},
                  .kernel = "k"};
  EXPECT_EQ(finding.key(), "p0_short/auto/decode0/layer_03/softmax stage_parity(local)");
  EXPECT_TRUE(finding.worst_index().empty());
  finding.metrics.worst = 2 * 35 + 4 * 7 + 6;
  EXPECT_EQ(finding.worst_index(), (std::vector<int64_t>{2, 4, 6}));
  finding.metrics.bound_ratio = 1.5;
  const VerdictRow row = to_row(finding);
  EXPECT_EQ(row.worst_index, "[2, 4, 6]");
  EXPECT_EQ(row.status, "fail");
  EXPECT_EQ(row.bound_ratio, 1.5);
  EXPECT_EQ(row.layer, 3);
  finding.layer = -1;
  finding.mode = finding.stage = "";
  EXPECT_EQ(finding.key(), "p0_short/auto/decode0 stage_parity");
  EXPECT_EQ(worse(Status::pass, Status::fail), Status::fail);
  EXPECT_EQ(worse(Status::invalid, Status::fail), Status::invalid);
  EXPECT_EQ(worse(Status::pass, Status::pass), Status::pass);
  EXPECT_EQ(name_of(Status::invalid), "invalid");
}

}  // namespace
}  // namespace greta::probes
