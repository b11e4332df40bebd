// Cases on several devices at once give what they give on one.
#include <gtest/gtest.h>

#include <fstream>
#include <mutex>
#include <set>

#include "datasets/trace.hpp"
#include "suites/runner.hpp"
#include "suites/tampered_engine.hpp"

namespace greta::suites {
namespace {

const std::string kSuite = R"(
prompts = ["tokens:5,9,2,7", "tokens:1", "tokens:3,3,8", "tokens:40,2,9,11,6,7", "tokens:12,1"]
phases = ["prefill", "decode0"]
[[arm]]
name = "right"
[[arm]]
name = "wrong"
faults = ["q.prefill.weight_layout=col"]
[[probe]]
use = "stage_parity"
[[probe]]
use = "determinism"
)";

// The host machine runs one engine at a time: a lock around each call stands for a card of its own.
class Locked final : public EnginePort {
 public:
  Locked(std::unique_ptr<EnginePort> engine, std::string device, std::mutex& lock,
         std::set<std::string>& used)
      : engine_(std::move(engine)), device_(std::move(device)), lock_(lock), used_(used) {}
  void reset() override {
    const std::lock_guard guard(lock_);
    engine_->reset();
  }
  engine::ForwardResult forward(std::span<const int32_t> tokens, engine::LogitRows rows,
                                const engine::Taps& taps, const engine::TapSink& sink) override {
    const std::lock_guard guard(lock_);
    used_.insert(device_);
    return engine_->forward(tokens, rows, taps, sink);
  }
  void tap_weights(const engine::TapSink& sink) override {
    const std::lock_guard guard(lock_);
    engine_->tap_weights(sink);
  }
  std::string device() const override { return device_; }
  std::string backend() const override { return engine_->backend(); }
  std::string model_digest() const override { return engine_->model_digest(); }

 private:
  const std::unique_ptr<EnginePort> engine_;
  const std::string device_;
  std::mutex& lock_;
  std::set<std::string>& used_;
};

struct Outcome {
  reports::RunResult result;
  std::vector<std::string> lines, tensors;
  std::set<std::string> used;
};

Outcome run_on(std::vector<std::string> devices) {
  const RunFolder folder;
  Outcome out;
  std::mutex lock;
  auto options = folder.options();
  options.devices = std::move(devices);
  const MakeEngine make = [&](const GgufFile& file,
                              engine::Settings settings) -> std::unique_ptr<EnginePort> {
    const std::lock_guard guard(lock);
    const std::string device = std::exchange(settings.device, "host");
    return std::make_unique<Locked>(make_engine(file, settings), device, lock, out.used);
  };
  out.result = run(parse_suite(kSuite, "devices.toml"), options, make);
  for (const auto& finding : out.result.findings)
    out.lines.push_back(finding.key() + " " + std::string(name_of(finding.status)) + " " +
                        std::to_string(to_row(finding).bound_ratio) + " " + finding.message.text());
  const TraceReader trace(folder.out() + "/trace.h5");
  for (const auto& key : trace.keys()) {
    const auto record = trace.read(key);
    const auto* bytes = reinterpret_cast<const char*>(record.tensor->data());
    out.tensors.push_back(key.path() + " " + record.kernel + " " +
                          std::string(bytes, record.tensor->bytes()));
  }
  return out;
}

TEST(Devices, ThreeGiveWhatOneGives) {
  const Outcome one = run_on({"host"}), three = run_on({"a", "b", "c"});
  EXPECT_EQ(three.used, (std::set<std::string>{"a", "b", "c"}));
  EXPECT_EQ(one.result.status, probes::Status::fail);  // the wrong arm
  EXPECT_EQ(one.result.status, three.result.status);
  EXPECT_EQ(one.lines, three.lines);
  EXPECT_EQ(one.tensors, three.tensors);
  ASSERT_EQ(one.result.explanations.size(), three.result.explanations.size());
  EXPECT_FALSE(one.result.explanations.empty());
  EXPECT_EQ(three.result.identity.device, "a + b + c");
  EXPECT_TRUE(three.result.interrupted.empty()) << three.result.interrupted.text();
}

TEST(Devices, WhatIsFoundBeforeAnErrorIsKeptInOrder) {
  const RunFolder folder;
  auto options = folder.options();
  options.devices = {"a", "b"};
  std::mutex lock;
  std::set<std::string> used;
  Tampering tampering;
  tampering.result = [](const CallInfo& info, engine::ForwardResult&) {
    if (info.tokens == 6) throw std::runtime_error("the card fell off the bus");
  };
  const MakeEngine make = [&](const GgufFile& file,
                              engine::Settings settings) -> std::unique_ptr<EnginePort> {
    const std::lock_guard guard(lock);
    const std::string device = std::exchange(settings.device, "host");
    return std::make_unique<Locked>(tampered(tampering)(file, settings), device, lock, used);
  };
  const auto result = run(parse_suite(kSuite, "devices.toml"), options, make);
  EXPECT_NE(result.interrupted.text().find("fell off the bus"), std::string::npos);
  EXPECT_EQ(result.status, probes::Status::invalid);
  EXPECT_FALSE(result.findings.empty());
  EXPECT_TRUE(TraceReader(folder.out() + "/trace.h5").keys().size() > 0);
}

TEST(Devices, AListNamesEachOnce) {
  EXPECT_EQ(engine::parse_devices("host"), (std::vector<std::string>{"host"}));
  EXPECT_EQ(engine::parse_devices("hip:0,hip:2"), (std::vector<std::string>{"hip:0", "hip:2"}));
  EXPECT_ANY_THROW(engine::parse_devices("hip:0,hip:0"));
  EXPECT_ANY_THROW(engine::parse_devices("host,hip:0"));
}

}  // namespace
}  // namespace greta::suites
