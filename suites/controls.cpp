#include "suites/controls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "datasets/message.hpp"
#include "probes/keys_window.hpp"

namespace greta::suites {
namespace {

using probes::Finding;
using probes::Status;
using reports::Control;

// Where a kernel ran: prompt, phase, layer, stage.
using Places = std::map<std::string, std::string>;

constexpr std::string_view kPrefillSide = " | prefill: ";

bool is_product(const Finding& finding) { return finding.contract.starts_with("op=matmul"); }

Places kernels_of(const std::vector<Finding>& findings, const std::string& arm, bool products_only) {
  Places out;
  for (const auto& finding : findings)
    if (finding.arm == arm && finding.prompt != "weights" && !finding.kernel.empty() &&
        (!products_only || is_product(finding))) {
      const auto add = [&](const std::string& phase, const std::string& kernel) {
        out.emplace(fmt::format("{}/{}/layer_{}/{}", finding.prompt, phase, finding.layer, finding.stage),
                    kernel);
      };
      // phase_parity names both sides' kernels: "A | prefill: B".
      if (finding.probe == "tap_neutrality") {  // how the calls without taps were launched
        add(finding.phase + "/untapped", finding.kernel);
        continue;
      }
      const auto bar = finding.kernel.find(kPrefillSide);
      add(finding.phase, finding.kernel.substr(0, bar));
      if (bar != std::string::npos) add("prefill_last", finding.kernel.substr(bar + kPrefillSide.size()));
    }
  return out;
}

Message names_of(const Places& places) {
  std::set<std::string> names;
  for (const auto& [place, kernel] : places) names.insert(kernel);
  std::vector<Message> out;
  for (const auto& name : names) {
    if (out.size() == 4) return say("{} and {} more", joined(out, ", "), names.size() - 4);
    out.push_back(verbatim(name));
  }
  return joined(out, ", ");
}

// "matmul_valu_gemv_q4_K<…>" names its unit and its shape between underscores.
bool names_part(const std::string& kernel, const std::string& part) {
  const auto at = kernel.find("_" + part);
  return at != std::string::npos &&
         (kernel.size() == at + part.size() + 1 || kernel[at + part.size() + 1] == '_' ||
          kernel[at + part.size() + 1] == '<');
}

Control same_model(const std::string& arm, const std::string& reference, const std::string& engine) {
  if (engine == reference)
    return {"model", arm, Status::pass, say("engine and reference both hold {}", reference)};
  return {
      "model", arm, Status::invalid,
      say("the engine runs model {}, the reference holds {}: other weights are no error", engine, reference)};
}

Control planned(const std::vector<Finding>& findings, const std::string& arm) {
  Control control{.name = "planned", .arm = arm, .status = Status::pass};
  int64_t of_arm = 0, missing = 0;
  const Finding* first = nullptr;
  for (const auto& finding : findings) {
    if (finding.arm != arm) continue;
    ++of_arm;
    // One that compared something and is INVALID all the same says why itself (a window).
    if (finding.status != Status::invalid || finding.metrics.count > 0) continue;
    ++missing;
    if (!first) first = &finding;
  }
  if (missing == 0) {
    control.line = say("all {} comparisons had what they need, once and whole", of_arm);
    return control;
  }
  control.status = Status::invalid;
  control.line = say("{} of {} comparisons lack evidence; the first: {}: {}", missing, of_arm, first->key(),
                     first->message);
  return control;
}

std::optional<Control> route(const Arm& arm, const std::vector<Finding>& findings) {
  if (arm.unit == "auto" && arm.shape == "auto") return std::nullopt;
  Control control{.name = "route", .arm = arm.name, .status = Status::pass};
  const Places places = kernels_of(findings, arm.name, true);
  if (places.empty()) return std::nullopt;  // no matrix product was judged
  for (const auto& [place, kernel] : places) {
    for (const auto& forced : {arm.unit, arm.shape}) {
      if (forced == "auto" || names_part(kernel, forced)) continue;
      control.status = Status::invalid;
      control.line = say("inert factor: the arm forces unit={} shape={}, but {} ran {}; what ran in all: {}",
                         arm.unit, arm.shape, place, kernel, names_of(places));
      return control;
    }
  }
  control.line = say("unit={} shape={} ran everywhere: {}", arm.unit, arm.shape, names_of(places));
  return control;
}

std::optional<Control> factor(const Arm& arm, const std::vector<Finding>& findings) {
  if (arm.differs_from.empty()) return std::nullopt;
  Control control{.name = "factor", .arm = arm.name, .status = Status::invalid};
  const Places own = kernels_of(findings, arm.name, false),
               other = kernels_of(findings, arm.differs_from, false);
  int64_t common = 0, differ = 0;
  Message example;
  for (const auto& [place, kernel] : own) {
    const auto found = other.find(place);
    if (found == other.end()) continue;
    ++common;
    if (found->second == kernel) continue;
    if (differ++ == 0) example = say("{}: {} against {}", place, kernel, found->second);
  }
  if (common == 0)
    control.line = say("arm '{}' has no place in common with '{}'", arm.name, arm.differs_from);
  else if (differ == 0)
    control.line = say("inert factor: '{}' ran the same kernels as '{}' in all {} places: {}", arm.name,
                       arm.differs_from, common, names_of(own));
  else {
    control.status = Status::pass;
    control.line =
        say("other kernels than '{}' in {} of {} places, {}", arm.differs_from, differ, common, example);
  }
  return control;
}

// A window that leaves out keys that matter shows the instrument, not the engine; one that no probe looks
// through is an inert factor.
std::optional<Control> window(const Arm& arm, const std::vector<Finding>& findings) {
  if (arm.keys_window == 0) return std::nullopt;
  Control control{.name = "window", .arm = arm.name, .status = Status::invalid};
  int64_t through = 0, short_of = 0;
  const Finding* first = nullptr;
  for (const auto& finding : findings) {
    if (finding.arm != arm.name) continue;
    const auto has = [&](std::string_view name) {
      return std::any_of(finding.figures.begin(), finding.figures.end(),
                         [&](const auto& figure) { return figure.name == name; });
    };
    through += has(probes::kWindow);
    if (!has(probes::kKeysLeftOut)) continue;
    ++short_of;
    if (!first) first = &finding;
  }
  if (through == 0) {
    control.line =
        say("inert factor: keys_window = {}, but no comparison of the arm looks at keys through it",
            arm.keys_window);
  } else if (first) {
    control.line =
        say("keys_window = {} leaves out keys that matter in {} of {} comparisons; the first: {}: {}",
            arm.keys_window, short_of, through, first->key(), first->message);
  } else {
    control.status = Status::pass;
    control.line = say("keys_window = {} leaves out nothing that matters in any of {} comparisons",
                       arm.keys_window, through);
  }
  return control;
}

std::optional<Control> repeat(const std::string& arm, const std::vector<Finding>& findings) {
  int64_t same = 0, other = 0;
  const Finding* first = nullptr;
  for (const auto& finding : findings) {
    if (finding.arm != arm || finding.probe != "determinism" || finding.status == Status::invalid) continue;
    (finding.status == Status::pass ? same : other) += 1;
    if (finding.status == Status::fail && !first) first = &finding;
  }
  if (same + other == 0) return std::nullopt;  // the suite does not repeat
  Control control{.name = "repeat", .arm = arm, .status = Status::pass};
  // An engine that does not repeat itself has failed a probe of its own: that is a verdict, not the lack of
  // one.
  control.line = other == 0 ? say("the same bits twice in {} tensors", same)
                            : say("{} of {} tensors had other bits the second time, the first of them {}",
                                  other, same + other, first->key());
  return control;
}

}  // namespace

std::vector<Control> controls_of(const Suite& suite, const std::vector<Finding>& findings,
                                 const std::map<std::string, std::string>& references,
                                 const std::map<std::string, std::string>& models) {
  std::vector<Control> out;
  for (const auto& arm : suite.arms) {
    if (std::none_of(findings.begin(), findings.end(), [&](const auto& f) { return f.arm == arm.name; }))
      continue;
    if (const auto own = models.find(arm.name); own != models.end())
      out.push_back(same_model(arm.name, references.at(arm.name), own->second));
    out.push_back(planned(findings, arm.name));
    for (auto& control :
         {route(arm, findings), factor(arm, findings), window(arm, findings), repeat(arm.name, findings)})
      if (control) out.push_back(*control);
  }
  return out;
}

}  // namespace greta::suites
