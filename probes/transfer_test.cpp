// The probe transfer: what it lets pass, and each way in which a copy can go wrong.
#include <cstring>

#include "datasets/checksum.hpp"
#include "probes/fake_evidence.hpp"

namespace greta::probes {
namespace {

constexpr uint64_t kSeed = 4711;

std::span<const std::byte> bytes_of(const Tensor& tensor) { return {tensor.data(), tensor.bytes()}; }

TensorPtr pattern_tensor() {
  auto tensor = std::make_shared<Tensor>(DType::f32, std::vector<int64_t>{33});  // a last word that is half
  for (size_t i = 0; i < tensor->bytes(); ++i)
    tensor->data()[i] = static_cast<std::byte>(mix_word(kSeed, i / 8) >> (i % 8 * 8));
  return tensor;
}

// A call with one tensor on its way; `what_arrives` changes the tensor after the device took its checksum.
struct Way {
  Evidence evidence;
  Phase* phase;
  Tap tap;

  Way() : phase(&evidence.add("prefill", reference::Call{{5, 7, 9}, 0}, kSmall)) {
    std::mt19937_64 random(test_seed());
    tap = tap_of(*phase, Stage::ffn_gate, random_values(3 * 12, random));
    tap.device_checksum = checksum(bytes_of(*tap.tensor));
    tap.copy_delay = 3e-6;
    phase->pattern = {kSeed, {.tensor = pattern_tensor(), .copy_delay = 0}};
  }
  void what_arrives(const std::function<void(Tensor&)>& change) {
    auto changed = std::make_shared<Tensor>(tap.tensor->rows(0, tap.tensor->shape()[0]));
    change(*changed);
    tap.tensor = changed;
  }
  Finding verdict() {
    phase->put(0, Stage::ffn_gate, tap);
    return only(ProbeRun("transfer").whole_case(evidence, {{"prefill", 0, Stage::ffn_gate}}));
  }
};

TEST(Transfer, PassesWhatArrivedAsItWas) {
  const Finding finding = Way().verdict();
  EXPECT_EQ(finding.status, Status::pass) << finding.message.text();
  EXPECT_EQ(finding.metrics.count, 36);
}

// NaN of any bits is as good as a number: what the device had is what counts.
TEST(Transfer, JudgesBytesNotValues) {
  Way way;
  way.what_arrives([](Tensor& tensor) {
    const uint32_t odd_nan = 0xffc12345;
    std::memcpy(tensor.data() + 8, &odd_nan, 4);
    tensor.f32()[0] = -0.0f;
  });
  way.tap.device_checksum = checksum(bytes_of(*way.tap.tensor));
  way.tap.kernel = "another";
  EXPECT_EQ(way.verdict().status, Status::pass);
}

TEST(Transfer, SeesOneBitThatChangedAfterTheCopy) {
  Way way;
  way.what_arrives([](Tensor& tensor) { tensor.data()[77] ^= std::byte{4}; });
  const Finding finding = way.verdict();
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_NE(finding.message.text().find("is not what the device had"), std::string::npos);
}

TEST(Transfer, SeesACopyThatWasCutShort) {
  Way way;
  way.what_arrives([](Tensor& tensor) { std::memset(tensor.data() + 100, 0xff, tensor.bytes() - 100); });
  EXPECT_EQ(way.verdict().status, Status::fail);
}

// The device sums a 16-bit cache as it holds it; the evidence is widened.
TEST(Transfer, JudgesNarrowTensorsAsTheyAreStored) {
  for (const DType type : {DType::f16, DType::bf16}) {
    Way way;
    Tensor narrow(type, way.tap.tensor->shape());
    const auto values = way.tap.tensor->f32();
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t bits = type == DType::f16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      std::memcpy(narrow.data() + 2 * i, &bits, 2);
    }
    way.tap.tensor = std::make_shared<const Tensor>(narrow);
    Way wrong;
    wrong.tap = way.tap;
    way.tap.device_checksum = checksum(bytes_of(narrow));
    wrong.tap.device_checksum = *way.tap.device_checksum ^ 1;
    EXPECT_EQ(way.verdict().status, Status::pass);
    EXPECT_EQ(wrong.verdict().status, Status::fail);
  }
}

TEST(Transfer, SeesRowsThatChangedPlaces) {
  Way way;
  way.what_arrives([](Tensor& tensor) {
    const auto values = tensor.f32();
    std::swap_ranges(values.begin(), values.begin() + 12, values.begin() + 12);
  });
  EXPECT_EQ(way.verdict().status, Status::fail);
}

// Also when the bytes happen to be right.
TEST(Transfer, SeesACopyThatBeganBeforeTheKernelsEnd) {
  Way way;
  way.tap.copy_delay = -2e-6;
  const Finding finding = way.verdict();
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_NE(finding.message.text().find("before the kernel that made the tensor had ended"),
            std::string::npos);
  Way unknown;
  unknown.tap.copy_delay = std::nan("");
  EXPECT_EQ(unknown.verdict().status, Status::fail);
}

TEST(Transfer, SeesAWrongWordOfThePattern) {
  Way way;
  auto pattern = std::make_shared<Tensor>(way.phase->pattern->tap.tensor->rows(0, 33));
  pattern->data()[131] ^= std::byte{1};
  way.phase->pattern->tap.tensor = pattern;
  const Finding finding = way.verdict();
  EXPECT_EQ(finding.status, Status::fail);
  EXPECT_NE(finding.message.text().find("1 of 17 words wrong, the first at byte 128"), std::string::npos)
      << finding.message.text();
  Way other_seed;
  other_seed.phase->pattern->seed = kSeed + 1;
  EXPECT_EQ(other_seed.verdict().status, Status::fail);
  Way early;
  early.phase->pattern->tap.copy_delay = -1e-6;
  EXPECT_EQ(early.verdict().status, Status::fail);
}

TEST(Transfer, SaysNothingWithoutProofs) {
  Way no_checksum, no_times, no_pattern;
  no_checksum.tap.device_checksum.reset();
  no_times.tap.copy_delay.reset();
  no_pattern.phase->pattern.reset();
  for (Way* way : {&no_checksum, &no_times, &no_pattern}) EXPECT_EQ(way->verdict().status, Status::invalid);
}

}  // namespace
}  // namespace greta::probes
