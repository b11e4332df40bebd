// greta bench: what an engine does in a second, beside what its memory could.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ostream>
#include <random>

#include "cli/commands.hpp"
#include "cli/engine_flags.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/gguf.hpp"
#include "engine/choices.hpp"

namespace greta::cli {
namespace {

using engine::ForwardResult;
using engine::LogitRows;
using engine::Taps;

Options options() {
  Options options(
      "greta bench [flags]",
      "Times the engine on tokens that mean nothing: prefill, decode at batch 1, and with --taps what a tap "
      "of "
      "every stage\ncosts. One line a figure, separated by tabs: name, value, unit, ceiling, share of it. "
      "Medians. Nothing is checked\nhere: greta run does that, with the same settings.",
      0, 0);
  options.flag("model,m", "PATH|PRESET", "a .gguf file, or a preset to synthesise (default: mini)")
      .flag("quant", "Q", "quantisation of a preset (default: q4_k_m)")
      .flag("prompt-tokens", "N", "tokens of the prefill (default: 512)")
      .flag("decode", "N", "steps of decode after it (default: 128)")
      .flag("repeat", "N", "prefills that are timed (default: 5)")
      .flag("taps", "", "also the time of the kernels with every stage tapped, over that with none")
      .flag("cache", "DIR",
            "where synthesised models are kept (default: $XDG_CACHE_HOME/greta or ~/.cache/greta)");
  add_device_flag(options);
  add_engine_flags(options);
  return options;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

class Bench {
 public:
  Bench(const GgufFile& file, const engine::Settings& settings, Streams& streams)
      : engine_(file, settings), out_(streams.out), vocabulary_(file.tensor("token_embd.weight").rows()) {
    ceiling_ = engine_.copy_rate();
    out_ << "# " << engine_.device() << "\n";
    line("copy", ceiling_ / 1e9, "GB/s", 0);
  }

  void prefill(int64_t tokens, int64_t repeats) {
    prompt_ = random_tokens(tokens);
    std::vector<double> wall, kernels;
    for (int64_t i = 0; i < repeats + 1; ++i) {  // the first one allocates
      engine_.reset();
      const double seconds = timed([&] { last_ = call(prompt_, Taps::none()); });
      if (i == 0) continue;
      wall.push_back(seconds);
      kernels.push_back(last_.engine_seconds);
    }
    line(fmt::format("prefill {}", tokens), static_cast<double>(tokens) / median(wall), "tokens/s", 0);
    line(fmt::format("prefill {}, kernels", tokens), median(kernels) * 1e3, "ms", 0);
  }

  void decode(int64_t steps) {
    std::vector<double> wall, kernels;
    int32_t token = last_.top1;
    for (int64_t i = 0; i < steps; ++i) {
      const double seconds = timed([&] { last_ = call({token}, Taps::none()); });
      token = last_.top1;
      if (i < steps / 8) continue;  // graphs are captured
      wall.push_back(seconds);
      kernels.push_back(last_.engine_seconds);
    }
    const double ceiling = ceiling_ / static_cast<double>(engine_.decode_weight_bytes());
    line(fmt::format("decode after {} ({})", prompt_.size(), last_.launched), 1 / median(wall), "tokens/s",
         ceiling);
    line("decode, kernels", median(kernels) * 1e3, "ms", 0);
  }

  void taps(int64_t tokens, int64_t repeats) {
    const auto prompt = random_tokens(tokens);
    const std::vector<int32_t> one = {prompt.front()};
    for (const bool decode : {false, true}) {
      std::vector<double> with, without, drained;
      for (int64_t i = 0; i < repeats + 1; ++i) {
        for (const bool tapped : {false, true}) {
          engine_.reset();
          if (decode) call(prompt, Taps::none());
          ForwardResult result;
          const double seconds =
              timed([&] { result = call(decode ? one : prompt, tapped ? Taps::all() : Taps::none()); });
          if (i == 0) continue;
          (tapped ? with : without).push_back(result.engine_seconds);
          if (tapped) drained.push_back(seconds);
        }
      }
      const std::string what =
          decode ? fmt::format("decode after {}", tokens) : fmt::format("prefill {}", tokens);
      line(what + ", kernels without taps", median(without) * 1e3, "ms", 0);
      line(what + ", kernels with all taps", median(with) * 1e3, "ms", 0);
      line(what + ", all taps over none", median(with) / median(without), "times", 0);
      line(what + ", until all taps are delivered", median(drained) * 1e3, "ms", 0);
    }
  }

 private:
  std::vector<int32_t> random_tokens(int64_t count) {
    std::vector<int32_t> out(static_cast<size_t>(count));
    for (auto& token : out) token = static_cast<int32_t>(random_() % static_cast<uint64_t>(vocabulary_));
    return out;
  }
  ForwardResult call(const std::vector<int32_t>& tokens, const Taps& taps) {
    return engine_.forward(tokens, LogitRows::none, taps, [](engine::TapRecord&&) {});
  }
  template <typename Work>
  static double timed(Work&& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  void line(const std::string& name, double value, const char* unit, double ceiling) {
    out_ << (ceiling > 0 ? fmt::format("{}\t{:.4g}\t{}\t{:.4g}\t{:.3f}\n", name, value, unit, ceiling,
                                       value / ceiling)
                         : fmt::format("{}\t{:.4g}\t{}\t-\t-\n", name, value, unit))
         << std::flush;
  }

  engine::Engine engine_;
  std::ostream& out_;
  int64_t vocabulary_;
  std::mt19937_64 random_{1};
  double ceiling_ = 0;
  std::vector<int32_t> prompt_;
  ForwardResult last_;
};

std::string model_file(const Given& given, Streams& streams) {
  const std::string model = given.text("model", "mini");
  check_model_name(model);
  if (!is_preset(model)) return model;
  return cached_preset(
      model, given.text("quant", "q4_k_m"), 1, cache_directory(given.text("cache")),
      [&](const std::string& path) { streams.err << "greta bench: making " << path << std::endl; });
}

}  // namespace

int bench(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  constexpr int64_t most = 1 << 20;
  const int64_t tokens = given.number("prompt-tokens", 1, most).value_or(512),
                steps = given.number("decode", 1, most).value_or(128),
                repeats = given.number("repeat", 1, 1000).value_or(5);
  engine::Settings settings;
  settings.device = given.text("device", "host");
  for (const auto& [name, value] : engine_settings(given)) engine::choose(settings, name, value);
  settings.context = static_cast<int>(tokens + steps + 1);
  settings.poison = false;
  const GgufFile file = GgufFile::open(model_file(given, streams));
  Bench bench(file, settings, streams);
  bench.prefill(tokens, repeats);
  bench.decode(steps);
  if (given.has("taps")) bench.taps(tokens, repeats);
  return 0;
}

}  // namespace greta::cli
