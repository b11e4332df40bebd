// The expected bound of a dot product: never crossed by a correct f32 kernel in any order, never idle,
// crossed by far by a fault.
#include "reference/dot.hpp"

#include <gtest/gtest.h>

#include <map>

#include "datasets/test_seed.hpp"
#include "reference/float_kernels.hpp"

namespace greta::reference {
namespace {

using Vector = std::vector<float>;

struct Data {
  int rows, outputs, terms;
  std::vector<Vector> x, w;
};

// Activations as a network has them: normal, a few outlier channels 40 times as large; weights of 16 levels a
// sub-block of 32.
void network_like(Data& data, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  for (auto& row : data.x)
    for (int k = 0; k < data.terms; ++k) row[k] = normal(random) * (k % 97 == 5 ? 40.0f : 1.0f);
  for (auto& row : data.w) {
    float scale = 0.02f;
    for (int k = 0; k < data.terms; ++k) {
      if (k % 32 == 0) scale = 0.02f * std::exp(0.3f * normal(random));
      row[k] = scale * (std::round(std::clamp(normal(random) * 3.0f, -7.0f, 7.0f)) + 0.25f);
    }
  }
}

void same_sign(Data& data, std::mt19937_64& random) {
  std::uniform_real_distribution<float> uniform(0.1f, 1.0f);
  for (auto* side : {&data.x, &data.w})
    for (auto& row : *side)
      for (auto& value : row) value = uniform(random);
}

// Every second half undoes the first to one part in a million; the terms with one sign come in long runs.
void cancelling(Data& data, std::mt19937_64& random) {
  same_sign(data, random);
  std::normal_distribution<float> normal;
  const int half = data.terms / 2;
  for (auto& row : data.x)
    for (int k = 0; k < half; ++k) row[k + half] = -row[k];
  for (auto& row : data.w)
    for (int k = 0; k < half; ++k) row[k + half] = row[k] * (1 + 1e-6f * normal(random));
}

Data make(int rows, int outputs, int terms, void (*fill)(Data&, std::mt19937_64&), std::mt19937_64& random) {
  Data data{rows, outputs, terms, std::vector<Vector>(rows, Vector(terms)),
            std::vector<Vector>(outputs, Vector(terms))};
  fill(data, random);
  return data;
}

Matrix matrix_of(const std::vector<Vector>& rows) {
  Matrix out(rows.size(), rows[0].size());
  for (Eigen::Index i = 0; i < out.rows(); ++i)
    for (Eigen::Index k = 0; k < out.cols(); ++k) out(i, k) = rows[i][k];
  return out;
}

Bounded bounds(const Data& data, int chain) {
  auto errors = Errors::of_shape(data.rows, data.outputs);
  dot_products(DotOperand(matrix_of(data.x)), matrix_of(data.w), {.chain = static_cast<double>(chain)},
               errors, 0);
  return judge(std::move(errors));
}

// NaN counts as infinitely far.
double worst_ratio(const Matrix& actual, const Bounded& bounded, const Matrix& bound) {
  double worst = 0;
  for (Eigen::Index i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual.data()[i] - bounded.value.data()[i]);
    if (!(error <= 0)) worst = std::max(worst, std::isnan(error) ? INFINITY : error / bound.data()[i]);
  }
  return worst;
}

Matrix run(const Summation& order, const Data& data) {
  Matrix y(data.rows, data.outputs);
  for (int i = 0; i < data.rows; ++i)
    for (int j = 0; j < data.outputs; ++j) y(i, j) = order.dot(data.w[j], data.x[i]);
  return y;
}

TEST(Dot, SumsByHand) {
  Matrix x(1, 4), w(2, 4);
  x << 1, -2, 3, 4;
  w << 1, 1, 1, 1, 0.5, 2, -1, 0;
  auto errors = Errors::of_shape(1, 3);
  dot_products(DotOperand(x), w, {.chain = 3, .extra = 1, .scale = 2}, errors, 1);
  EXPECT_EQ(errors.value(0, 1), 12);
  EXPECT_EQ(errors.value(0, 2), 2 * (0.5 - 4 - 3));
  const double floor = 7 * kTiny;
  EXPECT_DOUBLE_EQ(errors.certain(0, 1), 2 * (gamma(5) * 10 + kU * 6 + floor));
  EXPECT_DOUBLE_EQ(errors.rms(0, 1), 2 * kU * std::sqrt(5.0 * 30 + 3.0 * 36));
  EXPECT_DOUBLE_EQ(errors.linear(0, 2), 2 * (kU * 6.5 + floor));
  EXPECT_EQ(errors.value(0, 0), 0) << "other columns are left alone";
}

// The sums of magnitudes over many rows are made in f32, upward: never below those of one row, in float64,
// and above them by no more than they allow for.
TEST(Dot, OneRowAndManyAgree) {
  std::mt19937_64 random(test_seed());
  const auto data = make(5, 9, 1003, network_like, random);
  const auto many = bounds(data, 40);
  const double allowed = 2 * gamma(1003 + 4) + 1e-12;
  for (int i = 0; i < data.rows; ++i) {
    auto one = data;
    one.x = {data.x[i]};
    one.rows = 1;
    const auto row = bounds(one, 40);
    EXPECT_LT((row.value - many.value.row(i)).cwiseAbs().maxCoeff(), 1e-12);
    for (const auto& [of_row, of_many] :
         {std::pair{row.expected, many.expected}, {row.certain, many.certain}}) {
      const auto excess = ((of_many.row(i) - of_row).array() / of_row.array()).eval();
      EXPECT_GE(excess.minCoeff(), -1e-12);
      EXPECT_LE(excess.maxCoeff(), allowed);
    }
  }
}

// Rows of any size beside each other, up to where a square leaves f32, and more terms than one block has.
TEST(Dot, SumsOfMagnitudesAreNeverTooSmall) {
  std::mt19937_64 random(test_seed());
  std::normal_distribution<double> normal;
  const auto sized = [&](Eigen::Index rows, Eigen::Index terms) {
    Matrix m = Matrix::NullaryExpr(rows, terms, [&] { return normal(random); });
    for (Eigen::Index i = 0; i < rows; ++i)
      m.row(i) *= std::ldexp(1.0, static_cast<int>(random() % 250) - 130);
    m.row(0).setZero();
    m(1, 3) *= 0x1p90;  // one outlier: the others underflow beside it
    return m;
  };
  for (const Eigen::Index terms : {5, 1000, static_cast<int>(kMagnitudeTerms) + 77}) {
    for (const double least : {0.0, 0x1p-14}) {
      Matrix x = sized(4, terms), w = sized(6, terms);
      w(2, 3) = 0;  // the outlier meets nothing
      const auto sizes = [&](const Matrix& m) -> Matrix {
        return m.unaryExpr([&](double value) { return magnitude(value, least); });
      };
      const Matrix abs = sizes(x) * sizes(w).transpose(),
                   square = sizes(x).cwiseAbs2() * sizes(w).cwiseAbs2().transpose();
      Magnitudes of_x, of_w;
      of_x.set(x, least);
      of_w.set(w, least);
      Matrix abs_sums, square_sums;
      Magnitudes::products(of_x, of_w, abs_sums, square_sums);
      const double block = static_cast<double>(std::min(terms, kMagnitudeTerms)) + 4;
      for (Eigen::Index i = 0; i < x.rows(); ++i)
        for (Eigen::Index j = 0; j < w.rows(); ++j) {
          SCOPED_TRACE(testing::Message() << terms << " terms, " << i << ", " << j);
          EXPECT_GE(abs_sums(i, j), abs(i, j) * (1 - 1e-12));
          EXPECT_GE(square_sums(i, j), square(i, j) * (1 - 1e-12));
          const double most = (1 + 2.1 * gamma(block));
          const double reach = sizes(x).row(i).maxCoeff() * sizes(w).row(j).maxCoeff(),
                       floor = static_cast<double>(terms) * 0x1p-117;
          EXPECT_LE(abs_sums(i, j), abs(i, j) * most + floor * reach);
          EXPECT_LE(square_sums(i, j), square(i, j) * most + floor * reach * reach);
        }
    }
  }
}

TEST(Dot, IsLinear) {
  std::mt19937_64 random(test_seed());
  auto data = make(4, 6, 300, network_like, random);
  const auto once = bounds(data, 40);
  for (auto& row : data.x)
    for (auto& value : row) value *= -8;
  const auto scaled = bounds(data, 40);
  EXPECT_TRUE(scaled.value.isApprox(-8 * once.value, 1e-14));
  EXPECT_TRUE(scaled.expected.isApprox(8 * once.expected, 1e-12)) << "a bound has the unit of its value";
}

TEST(Dot, CorrectKernelsStayInsideAndTheBoundIsNotIdle) {
  std::mt19937_64 random(test_seed());
  const std::map<std::string, void (*)(Data&, std::mt19937_64&)> inputs = {
      {"network", network_like}, {"same sign", same_sign}, {"cancelling", cancelling}};
  int64_t elements = 0;
  for (const auto& [input, fill] : inputs) {
    for (const int terms : {7, 64, 256, 1000, 4096}) {
      const int outputs = std::clamp(60000 / terms, 24, 300);
      const auto data = make(12, outputs, terms, fill, random);
      for (const auto& order : summations()) {
        SCOPED_TRACE(input + ", " + order.name + ", K=" + std::to_string(terms));
        const auto bounded = bounds(data, order.chain(terms));
        const auto actual = run(order, data);
        const double ratio = worst_ratio(actual, bounded, bounded.expected);
        EXPECT_LE(ratio, 1);
        EXPECT_LE(worst_ratio(actual, bounded, bounded.certain), 1);
        EXPECT_TRUE((bounded.expected.array() <= bounded.certain.array()).all());
        if (input == "network" && terms >= 64) {
          EXPECT_GE(ratio, 0.02) << "idle";
        }
        elements += actual.size();
      }
    }
  }
  RecordProperty("elements", std::to_string(elements));
}

TEST(Dot, FaultsAreFarOutside) {
  std::mt19937_64 random(test_seed());
  using Fault =
      std::function<void(Vector&, Vector&, size_t)>;  // of one output's weights and one row's activations
  const std::map<std::string, Fault> faults = {
      {"scale of one block +2 %",
       [](Vector& w, Vector&, size_t b) {
         for (size_t k = 0; k < 32; ++k) w[b * 32 + k] *= 1.02f;
       }},
      {"two neighbours swapped",
       [](Vector& w, Vector&, size_t b) { std::swap(w[b * 32 + 3], w[b * 32 + 4]); }},
      {"one weight zeroed", [](Vector& w, Vector&, size_t b) { w[b * 32 + 7] = 0; }},
      {"last k dropped", [](Vector& w, Vector&, size_t) { w.back() = 0; }},
      {"row × 1.001",
       [](Vector& w, Vector&, size_t) {
         for (auto& value : w) value *= 1.001f;
       }},
  };
  for (const int terms : {256, 4096}) {
    const auto data = make(16, 24, terms, network_like, random);
    const auto& order = summations()[3];
    const auto bounded = bounds(data, order.chain(terms));
    for (const auto& [name, plant] : faults) {
      auto broken = data;
      const auto block = random() % (terms / 32);
      for (auto& row : broken.w) plant(row, broken.x[0], block);
      const double ratio = worst_ratio(run(order, broken), bounded, bounded.expected);
      EXPECT_GT(ratio, 10) << name << ", K=" << terms;
      RecordProperty(name + " K=" + std::to_string(terms), std::to_string(ratio));
    }
  }
}

TEST(Dot, NonFiniteOperandsGoWhereIeeeSendsThem) {
  std::mt19937_64 random(test_seed());
  for (const int rows : {1, 5}) {
    auto data = make(rows, 6, 100, network_like, random);
    data.x[0][17] = INFINITY;
    data.w[2][17] = 0;
    data.w[3][40] = NAN;
    const auto bounded = bounds(data, 100);
    const auto actual = run(summations()[0], data);
    for (Eigen::Index i = 0; i < actual.size(); ++i) {
      const double a = actual.data()[i], v = bounded.value.data()[i];
      EXPECT_TRUE(std::isnan(a) ? std::isnan(v) : std::isinf(a) ? a == v : std::isfinite(v)) << a << " " << v;
      EXPECT_EQ(std::isfinite(v), bounded.expected.data()[i] + bounded.certain.data()[i] > 0);
    }
  }
}

}  // namespace
}  // namespace greta::reference
