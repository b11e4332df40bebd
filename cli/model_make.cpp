// greta model make: a synthetic Llama model.
#include <fmt/format.h>

#include <filesystem>
#include <ostream>

#include "cli/commands.hpp"
#include "cli/model_cache.hpp"
#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/gguf.hpp"
#include "datasets/synthesise.hpp"
#include "reports/table.hpp"

namespace greta::cli {
namespace {

Options options() {
  Options options("greta model make --preset P --quant Q --seed N -o FILE [flags]",
                  "Synthesises a Llama model with a network's statistics. The same flags give the same bytes "
                  "on any machine.",
                  0, 0);
  options.flag("preset", "P", "tiny, mini or llama3-8b (default tiny): see `greta list presets`")
      .flag("quant", "Q", "quantisation (default f32): see `greta list presets`")
      .flag("seed", "N", "of all weights (default 1)")
      .flag("output,o", "FILE", "the .gguf to write")
      .flag("force,f", "", "overwrite FILE")
      .flag("layers", "N", "number of layers")
      .flag("embedding", "N", "embedding size D")
      .flag("heads", "N", "query heads")
      .flag("kv-heads", "N", "key and value heads")
      .flag("head-dim", "N", "size of a head")
      .flag("feed-forward", "N", "feed-forward size F")
      .flag("vocab", "N", "tokens in the vocabulary")
      .flag("context", "N", "longest sequence")
      .flag("rope-base", "X", "base of the RoPE frequencies")
      .flag("eps", "X", "epsilon of the norms")
      .flag("tied", "yes|no", "the output weight is the token embedding")
      .flag("rope-factors", "yes|no", "a rope_freqs.weight, as Llama 3.1 has one")
      .flag("threads,j", "N", "workers (default: all cores); does not change a byte");
  return options;
}

std::optional<bool> yes_or_no(const Given& given, const std::string& flag) {
  if (!given.has(flag)) return std::nullopt;
  return given.one_of(flag, {"yes", "no"}, "no") == "yes";
}

SynthesisOptions synthesis_of(const Given& given) {
  constexpr int64_t kMost = int64_t{1} << 31;
  SynthesisOptions made;
  made.preset = given.one_of("preset", synthesis_presets(), made.preset);
  made.quant = given.one_of("quant", synthesis_quants(), made.quant);
  made.seed = given.seed("seed").value_or(made.seed);
  made.threads = static_cast<int>(given.number("threads", 1, 4096).value_or(0));
  made.layers = given.number("layers", 1, kMost);
  made.embedding = given.number("embedding", 1, kMost);
  made.heads = given.number("heads", 1, kMost);
  made.kv_heads = given.number("kv-heads", 1, kMost);
  made.head_dim = given.number("head-dim", 1, kMost);
  made.feed_forward = given.number("feed-forward", 1, kMost);
  made.vocabulary = given.number("vocab", 1, kMost);
  made.context = given.number("context", 1, kMost);
  if (const auto base = given.real("rope-base")) made.rope_base = static_cast<float>(*base);
  if (const auto eps = given.real("eps")) made.eps = static_cast<float>(*eps);
  made.tied = yes_or_no(given, "tied");
  made.rope_factors = yes_or_no(given, "rope-factors");
  return made;
}

}  // namespace

int model_make(const CommandLine& line, Streams& streams) {
  namespace fs = std::filesystem;
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  const SynthesisOptions made = synthesis_of(given);
  resolve_shape(made);  // a shape that no Llama has is said before the disk is touched
  const std::string path = given.text("output");
  if (path.empty()) fail_usage("where to? name the file with -o FILE");
  if (fs::is_directory(path)) fail_usage("'{}' is a directory; name a file with -o", path);
  if (fs::exists(path) && !given.has("force")) fail_usage("'{}' exists; overwrite it with --force", path);
  const std::string parent = fs::path(path).parent_path();
  if (!fs::is_directory(parent.empty() ? "." : parent))
    fail_usage("there is no directory '{}' to write '{}' in", parent, path);
  make_atomically(path, [&](const std::string& temporary) { synthesise(made, temporary); });
  streams.out << fmt::format("wrote {}: {} {}, seed {}, {} bytes, xxh3 {}\n", path, made.preset, made.quant,
                             made.seed, reports::grouped(static_cast<int64_t>(fs::file_size(path))),
                             GgufFile::open(path).digest());
  return 0;
}

}  // namespace greta::cli
