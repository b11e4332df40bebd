// greta list: what there is, from the registries themselves.
#include <fmt/format.h>

#include <array>
#include <ostream>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/suite_files.hpp"
#include "datasets/cause.hpp"
#include "datasets/error.hpp"
#include "datasets/prompts.hpp"
#include "datasets/stage.hpp"
#include "datasets/synthesise.hpp"
#include "engine/choices.hpp"
#include "probes/probe.hpp"
#include "reports/verdicts_schema.hpp"
#include "suites/suite.hpp"

namespace greta::cli {
namespace {

std::string list_probes() {
  std::string text;
  for (const auto* probe : probes::registered_probes()) {
    text += fmt::format("  {:<16} {}\n", probe->name, probe->doc);
    for (const auto& option : probe->options)
      text += fmt::format("  {:<16}   {} = {}  {}\n", "", option.name, option.values, option.doc);
  }
  return text;
}

std::string list_stages() {
  std::string text;
  for (const auto& stage : stages()) {
    text += fmt::format("  {:<14} {:<10} {}\n", stage.name, "[" + std::string(stage.axes) + "]", stage.doc);
    if (!stage.others.empty()) text += fmt::format("  {:<14} {:<10} {}\n", "", "", stage.others);
  }
  return text +
         "  also known as: GRETA · llama.cpp · Hugging Face. S tokens of this call, T positions in the "
         "cache, D embedding,\n"
         "  H and Hkv heads, Dh head size, F feed-forward, V vocabulary\n";
}

std::string list_suites() {
  std::string text;
  for (const auto& file : installed_suites()) {
    std::string title;
    try {
      title = suites::load_suite(file.path).title;
    } catch (const Error& error) {
      title = fmt::format("(cannot be read: {})", error.what());
    }
    text += fmt::format("  {:<14} {}  {}\n", file.name, title, file.path);
  }
  return text;
}

std::string list_prompts() {
  std::string text;
  for (const auto& prompt : builtin_prompts()) text += fmt::format("  {:<14} {}\n", prompt.id, prompt.doc);
  return text + "  and file:PATH, text:WORDS, tokens:1,2,3, random:N (N tokens that follow from the seed)\n";
}

std::string list_presets() {
  std::string text;
  for (const auto& preset : synthesis_presets()) {
    SynthesisOptions options;
    options.preset = preset;
    const ModelShape s = resolve_shape(options);
    text += fmt::format(
        "  {:<14} {} layers, embedding {}, {} heads, {} KV heads, feed-forward {}, vocabulary {}, context "
        "{}\n",
        preset, s.layers, s.embedding, s.heads, s.kv_heads, s.feed_forward, s.vocabulary, s.context);
  }
  return text + fmt::format("  quantisations: {}\n", fmt::join(synthesis_quants(), ", "));
}

std::string list_faults() {
  std::string text;
  for (const Cause& cause : causes()) {
    text += fmt::format("  {:<26} {}\n", cause.text(), cause.what);
    text += fmt::format("  {:<26}   breaks {}; seen: {}\n", "",
                        cause.stages.empty()     ? "no stage"
                        : cause.breaks_weights() ? "weight/… first, then what multiplies with it"
                                                 : cause.stages,
                        cause.seen);
  }
  return text +
         "  planted with greta run --fault, or faults = [\"…\"] of an arm: "
         "[SCOPE.]…CAUSE=VALUE[@rows>N][@layer=N][@head=N];\n"
         "  scopes: a stage, gemm, kv, norm, ffn, prefill, decode; of a weight: token_embd, attn_q, … "
         "(q.prefill.weight_layout=col,\n  gemm.tile_store=transposed@rows>32, kv.layer_base=0)\n";
}

std::string list_settings() {
  std::string text;
  for (const auto& choice : engine::choices())
    text += fmt::format("  {:<14} {:<24} {}\n", choice.name, choice.values, choice.doc);
  return text +
         "  keys of an [[arm]] and of the table [engine] of a suite, flags of greta run; the first value is "
         "the default\n";
}

std::string schema() { return std::string(embedded::verdicts_schema()); }

struct Topic {
  std::string_view name;
  std::string (*text)();
};
constexpr std::array<Topic, 7> kTopics = {{{"probes", list_probes},
                                           {"stages", list_stages},
                                           {"suites", list_suites},
                                           {"faults", list_faults},
                                           {"settings", list_settings},
                                           {"prompts", list_prompts},
                                           {"presets", list_presets}}};

}  // namespace

int list(const CommandLine& line, Streams& streams) {
  const Options flags(
      "greta list [probes|stages|suites|faults|settings|prompts|presets|schema]",
      "What there is; without a topic, all of it. schema, which has to be asked for: the JSON schema of "
      "verdicts.json.",
      0, 1);
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  std::vector<std::string> names;
  for (const auto& topic : kTopics) names.emplace_back(topic.name);
  names.emplace_back("schema");
  const std::string wanted =
      given.positional().empty() ? "" : choice("TOPIC", given.positional().front(), names);
  if (wanted == "schema") streams.out << schema();
  for (const auto& topic : kTopics)
    if (wanted.empty() || topic.name == wanted) streams.out << topic.name << "\n" << topic.text();
  return 0;
}

}  // namespace greta::cli
