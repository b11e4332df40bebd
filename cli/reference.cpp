// greta reference: what the reference computes, without an engine.
#include <fmt/format.h>

#include <filesystem>
#include <ostream>
#include <set>

#include "cli/commands.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/tokenizer.hpp"
#include "suites/reference_trace.hpp"

namespace greta::cli {
namespace {

Options options() {
  Options options(
      "greta reference MODEL [--prompt SPEC]… -o FILE",
      "Every stage as the float64 reference computes it from the tokens on, no engine involved: prefill, "
      "and decode0\n(the last token over a cache of the others), as float64 tensors of a trace. "
      "scripts/oracle.py holds such a file\nagainst PyTorch. MODEL: a .gguf file, or a preset.",
      1, 1);
  options
      .flag("prompt,p", "SPEC",
            "NAME, file:PATH, text:WORDS, tokens:1,2,3 or random:N (default p0_short); repeatable", true)
      .flag("quant", "Q", "quantisation of a preset (default q4_k_m)")
      .flag("seed", "N", "of a preset's weights and of random prompts (default 1)")
      .flag("out,o", "FILE", "where to (default: reference.h5)")
      .flag("force,f", "", "overwrite FILE")
      .flag("cache", "DIR",
            "where synthesised models are kept (default: $XDG_CACHE_HOME/greta or ~/.cache/greta)");
  return options;
}

std::vector<Prompt> prompts_of(const Given& given, const GgufFile& file, uint64_t seed) {
  std::vector<std::string> specs = given.texts("prompt");
  if (specs.empty()) specs.emplace_back("p0_short");
  const auto tokenizer = Tokenizer::from(file);
  std::vector<Prompt> prompts;
  std::set<std::string> ids;
  for (const auto& spec : specs) {
    prompts.push_back(load_prompt(spec, *tokenizer, seed));
    if (!ids.insert(prompts.back().id).second)
      fail_usage("two prompts have the id '{}' (the second is {}); name each once", prompts.back().id, spec);
  }
  return prompts;
}

}  // namespace

int reference(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  const std::string out = given.text("out", "reference.h5");
  if (std::filesystem::exists(out) && !given.has("force"))
    fail_usage("'{}' exists; overwrite it with --force", out);
  std::string model = given.positional().front();
  const uint64_t seed = given.seed("seed").value_or(1);
  check_model_name(model);
  if (is_preset(model))
    model = cached_preset(
        model, given.text("quant", "q4_k_m"), seed, cache_directory(given.text("cache")),
        [&](const std::string& path) { streams.err << "greta reference: making " << path << std::endl; });
  else if (given.has("quant"))
    fail_usage("--quant is for presets; '{}' is a file, quantised as it is", model);
  const GgufFile file = GgufFile::open(model);
  const auto prompts = prompts_of(given, file, seed);
  suites::write_reference_trace(file, prompts, out, line.whole);
  streams.out << fmt::format("wrote  {}\n", out);
  return 0;
}

}  // namespace greta::cli
