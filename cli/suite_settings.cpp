#include "cli/suite_settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cli/engine_flags.hpp"
#include "cli/environment.hpp"
#include "cli/suite_files.hpp"
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "engine/choices.hpp"
#include "engine/faults/fault.hpp"
#include "probes/probe.hpp"

namespace greta::cli {
namespace {

// What flags and variables ask of the engine, in every arm; a flag goes before a variable.
std::map<std::string, std::string> forced_settings(const Given& given) {
  std::map<std::string, std::string> out;
  if (const auto unit = variable(kForceRoute); !unit.empty()) out["unit"] = unit;
  if (const auto shape = variable(kForceGemm); !shape.empty()) out["shape"] = shape;
  for (const auto& [name, value] : engine_settings(given)) out[name] = value;
  return out;
}

// Arms that are then no different from an earlier one are dropped.
void force_settings(suites::Suite& suite, const Given& given, std::ostream& err) {
  const auto forced = forced_settings(given);
  if (forced.empty()) return;
  std::string text;
  for (const auto& [name, value] : forced) text += (text.empty() ? "" : " ") + name + "=" + value;
  std::vector<suites::Arm> kept;
  for (auto arm : suite.arms) {
    for (const auto& [name, value] : forced) arm.set(name, value);
    const auto same = std::find_if(kept.begin(), kept.end(), [&](const auto& other) {
      return std::all_of(
                 engine::choices().begin(), engine::choices().end(),
                 [&](const auto& choice) { return other.get(choice.name) == arm.get(choice.name); }) &&
             other.faults == arm.faults && other.keys_window == arm.keys_window && other.quant == arm.quant &&
             other.seed == arm.seed && (other.prompts.empty() || other.prompts == arm.prompts);
    });
    if (same == kept.end())
      kept.push_back(arm);
    else
      err << fmt::format("greta run: arm '{}' is left out: with {} it is arm '{}'\n", arm.name, text,
                         same->name);
  }
  suite.arms = std::move(kept);
}

void keep_prompt(suites::Suite& suite, std::ostream& err) {
  const std::string id = variable(kPromptId);
  if (id.empty()) return;
  if (std::find(suite.prompts.begin(), suite.prompts.end(), id) == suite.prompts.end())
    throw Error(ExitCode::usage,
                fmt::format("{}: {}", kPromptId, unknown_name("prompt of the suite", id, suite.prompts)));
  suite.prompts = {id};
  std::erase_if(suite.arms, [&](const suites::Arm& arm) {
    const bool takes =
        arm.prompts.empty() || std::find(arm.prompts.begin(), arm.prompts.end(), id) != arm.prompts.end();
    if (!takes)
      err << fmt::format("greta run: arm '{}' is left out: it does not take prompt {}\n", arm.name, id);
    return !takes;
  });
  if (suite.arms.empty()) fail_usage("{}: no arm of {} takes prompt {}", kPromptId, suite.path, id);
}

// An option of every probe of the suite that has it; uses that are then the same are one.
void set_option(suites::Suite& suite, std::string_view name, const std::string& option) {
  const std::string value = variable(name);
  if (value.empty()) return;
  bool taken = false;
  for (auto& use : suite.probes) {
    const auto& entry = probes::find_probe(use.use);
    if (std::none_of(entry.options.begin(), entry.options.end(),
                     [&](const auto& o) { return o.name == option; }))
      continue;
    taken = true;
    use.options[option] = value;
    try {
      probes::complete_options(entry, use.options);
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("{}: {}", name, error.what()));
    }
  }
  if (!taken) fail_usage("{} is set, but no probe of {} has the option {}", name, suite.path, option);
  suite.overridden[option] = name;
  std::vector<suites::ProbeUse> kept;
  for (auto& use : suite.probes)
    if (std::none_of(kept.begin(), kept.end(), [&](const auto& other) {
          return other.use == use.use && other.stages == use.stages && other.options == use.options;
        }))
      kept.push_back(use);
  suite.probes = std::move(kept);
}

void obey_variables(suites::Suite& suite, std::ostream& err) {
  keep_prompt(suite, err);
  if (const auto layer = variable(kAttnLayer); !layer.empty()) {
    suite.layers = {std::stoi(layer)};
    suite.overridden["layers"] = kAttnLayer;
  }
  set_option(suite, kAttnHead, "heads");
  set_option(suite, kDimsSample, "dims");
  if (const auto window = variable(kKeysWindow); !window.empty())
    for (auto& arm : suite.arms) arm.keys_window = std::stoll(window);
}

}  // namespace

suites::Suite suite_with_settings(const std::string& name, const Given& given, std::ostream& err) {
  suites::Suite suite = suites::load_suite(find_suite(name));
  suite.model = given.text("model", suite.model);
  suite.quant = given.text("quant", suite.quant);
  suite.seed = given.seed("seed").value_or(suite.seed);
  if (given.has("prompt")) {
    suite.prompts = given.texts("prompt");
    for (auto& arm : suite.arms) arm.prompts.clear();
  }
  for (auto& arm : suite.arms)
    for (const auto& fault : given.texts("fault")) {
      engine::Fault::parse(fault);  // a typo is told before a model is made
      arm.faults.push_back(fault);
    }
  force_settings(suite, given, err);
  obey_variables(suite, err);
  return suite;
}

}  // namespace greta::cli
