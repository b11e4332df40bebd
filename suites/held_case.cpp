#include "suites/held_case.hpp"

#include <fmt/format.h>

#include <random>

#include "suites/passes.hpp"

namespace greta::suites {

HeldCase::HeldCase(const std::string& model_path, const Suite& suite, const std::string& device)
    : file_(GgufFile::open(model_path)),
      model_(file_),
      tokenizer_(Tokenizer::from(file_)),
      prompt_(load_prompt(suite.prompts.front(), *tokenizer_)),
      plan_(make_plan(suite, model_.config(), {prompt_}, {}, "")) {
  evidence_.prompt = prompt_.id;
  evidence_.arm = suite.arms.front().name;
  evidence_.model = &model_;
  PassHooks hooks;
  hooks.step_done = [](const probes::Phase&, int, probes::Run) {};
  hooks.delivered = [](const probes::Phase&, const probes::Place&, const probes::Tap&) {};
  hooks.check_interrupt = [] {};
  hooks.advanced = [](int64_t, const std::string&) {};
  const auto engine = make_engine(file_, {.device = device, .threads = 1});
  Passes(plan_.cases.front(), model_.config(), evidence_, hooks).first(*engine);
}

probes::Phase& HeldCase::phase(const std::string& name) {
  for (auto& phase : evidence_.phases)
    if (phase.name == name) return phase;
  throw probes::Missing(say("phase {} did not run", name));
}

Suite sensitivity_suite(const std::string& prompt) {
  Suite suite;
  suite.title = "sensitivity";
  suite.prompts = {prompt};
  suite.phases = {"prefill", "decode0"};
  suite.arms = {{.name = "auto"}};
  suite.probes = {{.use = "stage_parity"}};
  return suite;
}

std::vector<Sensitivity> sensitivity(HeldCase& held, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Sensitivity> out;
  for (const auto& row : stages()) {
    const int layer =
        row.per_layer ? static_cast<int>(random() % static_cast<uint64_t>(held.config().layers)) : -1;
    const auto of = [&](const char* phase) {
      return probes::smallest_noticed(held.evidence(), held.phase(phase), layer, row.stage, random);
    };
    Sensitivity found;
    found.prefill = of("prefill");
    found.decode0 = of("decode0");
    out.push_back(std::move(found));
  }
  return out;
}

std::string sensitivity_table(const std::vector<Sensitivity>& rows) {
  std::string out =
      fmt::format("{:<15}{:>16}{:>16}{:>16}{:>16}   (smallest change noticed; share of the tensor's RMS)\n",
                  "stage", "prefill", "of RMS", "decode0", "of RMS");
  for (const auto& [prefill, decode] : rows)
    out += fmt::format("{:<15}{:>16.2e}{:>16.1e}{:>16.2e}{:>16.1e}\n", name_of(prefill.place.stage),
                       prefill.change, prefill.share(), decode.change, decode.share());
  return out;
}

}  // namespace greta::suites
