// For the runner's tests: the real engine behind a port that lets a test lose, move, repeat or change what
// comes out of it.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>

#include "datasets/synthesise.hpp"
#include "suites/engine_port.hpp"
#include "suites/runner.hpp"

namespace greta::suites {

// A tiny model and a directory for a run's output; both go when the test is over.
class RunFolder {
 public:
  explicit RunFolder(SynthesisOptions options = {.preset = "tiny", .quant = "q8_0", .seed = 5, .layers = 2}) {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("greta_run_" + std::to_string(getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directories(path_);
    synthesise(options, model());
  }
  ~RunFolder() { std::filesystem::remove_all(path_); }
  std::string model() const { return path_ / "model.gguf"; }
  std::string out() const { return path_ / "out"; }
  RunOptions options() const {
    return {.model_path = model(), .out_dir = out(), .command_line = "greta run test", .threads = 1};
  }

 private:
  std::filesystem::path path_;
};

// Which call of an engine's life, and how many tokens it takes: enough to tell the phases of a case apart.
struct CallInfo {
  int call = 0;  // since the engine was made
  int since_reset = 0;
  size_t tokens = 0;
  bool tapped = false;
};

struct Tampering {
  // Called for each record in place of the sink; hands on what shall arrive.
  std::function<void(const CallInfo&, engine::TapRecord&&, const engine::TapSink&)> record;
  std::function<void(const CallInfo&, engine::ForwardResult&)> result;
  std::string model_digest;  // empty: the model's own
};

class TamperedEngine final : public EnginePort {
 public:
  TamperedEngine(std::unique_ptr<EnginePort> engine, const Tampering& tampering)
      : engine_(std::move(engine)), tampering_(tampering) {}
  void reset() override {
    engine_->reset();
    info_.since_reset = 0;
  }
  engine::ForwardResult forward(std::span<const int32_t> tokens, engine::LogitRows rows,
                                const engine::Taps& taps, const engine::TapSink& sink) override {
    info_.tokens = tokens.size();
    info_.tapped = taps.stages.any();
    auto result = engine_->forward(tokens, rows, taps, through(sink));
    if (tampering_.result) tampering_.result(info_, result);
    ++info_.call;
    ++info_.since_reset;
    return result;
  }
  void tap_weights(const engine::TapSink& sink) override { engine_->tap_weights(through(sink)); }
  std::string device() const override { return engine_->device(); }
  std::string backend() const override { return engine_->backend(); }
  std::string model_digest() const override {
    return tampering_.model_digest.empty() ? engine_->model_digest() : tampering_.model_digest;
  }

 private:
  engine::TapSink through(const engine::TapSink& sink) {
    return [this, &sink](engine::TapRecord&& record) {
      if (tampering_.record)
        tampering_.record(info_, std::move(record), sink);
      else
        sink(std::move(record));
    };
  }
  std::unique_ptr<EnginePort> engine_;
  const Tampering& tampering_;
  CallInfo info_;
};

inline MakeEngine tampered(const Tampering& tampering) {
  return [&tampering](const GgufFile& file, const engine::Settings& settings) -> std::unique_ptr<EnginePort> {
    return std::make_unique<TamperedEngine>(make_engine(file, settings), tampering);
  };
}

// The record's tensor with one element changed.
inline void change(engine::TapRecord& record, size_t at, const std::function<float(float)>& to) {
  const auto from = record.tensor->f32();
  Tensor copy = Tensor::from_f32(record.tensor->shape(), from);
  copy.f32()[at] = to(from[at]);
  record.tensor = std::make_shared<const Tensor>(std::move(copy));
}

}  // namespace greta::suites
