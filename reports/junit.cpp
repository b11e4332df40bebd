#include "reports/junit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <pugixml.hpp>
#include <sstream>

#include "reports/atomic_file.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"
#include "reports/unmet.hpp"
#include "reports/xml_text.hpp"

namespace greta::reports {
namespace {

using probes::Finding;
using probes::Status;

constexpr Language kLanguage =
    Language::english;  // as CI's own words and the tests' names, which must not change

struct TestCase {
  std::string name, classname;
  Status status = Status::pass;
  std::string message, body;
};

struct TestSuite {
  std::string name;
  std::vector<std::pair<std::string, std::string>> properties;
  std::vector<TestCase> cases;
  double seconds = 0;
  std::string says;  // system-out
  int64_t count(Status status) const {
    return std::count_if(cases.begin(), cases.end(), [&](const auto& c) { return c.status == status; });
  }
};

std::string class_of(const RunResult& run, const std::string& arm) {
  std::string name = run.title.empty() ? "greta" : run.title;
  std::replace(name.begin(), name.end(), '.', '_');  // a dot is a package to Jenkins
  return name + "." + arm;
}

// "p0_short decode0 stage_parity (local)"
std::string case_of(const Finding& finding) { return case_name(finding) + " " + probe_name(finding); }

std::string body_of(const RunResult& run, const FindingRefs& bad) {
  constexpr size_t kListed = 25;
  const Finding& worst = *worst_finding(bad);
  std::string text;
  const auto line = [&](const Message& message) { text += in(kLanguage, message) + "\n"; };
  line(say("worst: {}", worst.key()));
  if (worst.metrics.count > 0) line(say("worst element: {}", worst_element(worst)));
  if (const auto bound = worst.reason; !bound.empty()) line(say("bound: {}", bound));
  if (!worst.kernel.empty()) line(say("kernel: {}", worst.kernel));
  if (!worst.contract.empty()) line(say("contract: {}", worst.contract));
  if (const auto command = rerun_command(run, *bad.front()); !command.empty())
    line(say("rerun: {}", command));
  text += "\n";
  for (size_t i = 0; i < std::min(bad.size(), kListed); ++i)
    text += fmt::format("{} {}: {}\n", upper_name(status_of(*bad[i])), bad[i]->key(),
                        in(kLanguage, bad[i]->message));
  if (bad.size() > kListed) line(say("and {} more, in verdicts.json", bad.size() - kListed));
  return text;
}

TestCase judged(const RunResult& run, const std::string& arm, const Group& group) {
  TestCase out{.name = group.name, .classname = class_of(run, arm), .status = worst_status(group.findings)};
  if (out.status == Status::pass) return out;
  const auto bad =
      select(group.findings, [](const Finding& finding) { return status_of(finding) != Status::pass; });
  const auto first = std::find_if(bad.begin(), bad.end(),
                                  [&](const auto* finding) { return status_of(*finding) == out.status; });
  out.message = in(kLanguage, say("{} of {} comparisons do not pass; first {}: {}", bad.size(),
                                  group.findings.size(), (*first)->key(), in(kLanguage, (*first)->message)));
  out.body = body_of(run, bad);
  return out;
}

// One part of an expectation, held against what came with the rest of it out of the way.
void add_part(const RunResult& run, const ArmResult& arm, probes::Status if_unmet, const std::string& name,
              const Expectation& part, TestSuite& suite) {
  ArmResult only = arm;
  only.expect = part;
  TestCase out{.name = name, .classname = class_of(run, arm.name)};
  if (outcome_of(run, only) != Status::pass) {
    out.status = if_unmet;
    out.message = unmet(run, only, kLanguage);
    out.body = unmet(run, arm, kLanguage) + "\n";
    if (const Finding* first = first_failing(run, arm)) out.body += body_of(run, {first});
  }
  suite.cases.push_back(std::move(out));
}

void add_expectation(const RunResult& run, const ArmResult& arm, TestSuite& suite) {
  const Status came = conclude_arm(run, arm.name);
  const std::string verdict(probes::name_of(came));
  const Status if_unmet = came == Status::invalid ? Status::invalid : Status::fail;
  const Expectation& e = arm.expect;
  add_part(run, arm, if_unmet, "expected verdict: " + e.verdict, {.verdict = e.verdict}, suite);
  if (!e.first.empty())
    add_part(run, arm, if_unmet, "expected first failing stage: " + e.first,
             {.verdict = verdict, .first = e.first}, suite);
  if (!e.cause.empty())
    add_part(run, arm, if_unmet, "expected cause: " + e.cause, {.verdict = verdict, .cause = e.cause}, suite);
  if (!e.causes.empty())
    add_part(run, arm, if_unmet, fmt::format("expected causes: {}", fmt::join(e.causes, ", ")),
             {.verdict = verdict, .causes = e.causes}, suite);
  if (!e.control.empty())
    add_part(run, arm, if_unmet, "expected refusal by control: " + e.control,
             {.verdict = verdict, .control = e.control}, suite);
  for (const auto& figure : e.figures)
    add_part(run, arm, if_unmet, "expected figure: " + in(kLanguage, figure.text()),
             {.verdict = verdict, .figures = {figure}}, suite);
  if (outcome_of(run, arm) != Status::pass && suite.count(Status::pass) == std::ssize(suite.cases))
    add_part(run, arm, if_unmet, "expectation", e, suite);  // whatever else was expected
  const auto findings = select(all_findings(run), [&](const Finding& f) { return f.arm == arm.name; });
  const auto fail = std::count_if(findings.begin(), findings.end(),
                                  [](const auto* f) { return status_of(*f) == Status::fail; });
  suite.says = in(kLanguage, say("This arm is judged by what the suite expects of it: {}. {} of its {} "
                                 "findings fail; they are in verdicts.json.",
                                 in(kLanguage, e.text()), fail, findings.size()));
}

void add_findings(const RunResult& run, const std::string& arm, TestSuite& suite) {
  for (const auto& control : run.controls) {
    if (control.arm != arm) continue;
    const std::string line = in(kLanguage, control.line);
    suite.cases.push_back({"control " + control.name, class_of(run, arm), control.status,
                           control.status == Status::pass ? "" : line, line});
  }
  const auto findings = select(all_findings(run), [&](const Finding& f) { return f.arm == arm; });
  for (const auto& group : group_by(findings, case_of)) suite.cases.push_back(judged(run, arm, group));
  if (findings.empty())
    suite.cases.push_back({"findings", class_of(run, arm), Status::invalid,
                           in(kLanguage, say("arm '{}' has no finding", arm)), ""});
}

std::vector<std::pair<std::string, std::string>> identity_of(const RunResult& run) {
  const auto& id = run.identity;
  return {{"suite", run.suite_path},
          {"model", id.model_path},
          {"model_digest", id.model_digest},
          {"device", id.device},
          {"backend", id.backend},
          {"reference", run.reference},
          {"greta_version", id.greta_version},
          {"build", id.build},
          {"created", id.created},
          {"command_line", id.command_line},
          {"rerun", run.rerun},
          {"planned", std::to_string(run.planned)},
          {"compared", std::to_string(run.compared)}};
}

// What belongs to no arm: whether there is a verdict at all, and whether the arms account for it.
TestSuite whole_run(const RunResult& run, const std::vector<TestSuite>& arms) {
  TestSuite suite{.name = "run", .properties = identity_of(run), .seconds = run.wall_seconds};
  TestCase evidence{.name = "evidence is complete", .classname = class_of(run, "run")};
  const Status verdict = verdict_of(run);
  if (verdict == Status::invalid) {
    evidence.status = Status::invalid;
    for (const auto& reason : invalid_reasons(run)) {
      if (evidence.message.empty()) evidence.message = in(kLanguage, reason);
      evidence.body += in(kLanguage, reason) + "\n";
    }
  }
  const bool accounted =
      std::any_of(arms.begin(), arms.end(), [](const auto& arm) { return arm.count(Status::fail) > 0; });
  TestCase whole{.name = "verdict", .classname = class_of(run, "run")};
  if (verdict == Status::fail && !accounted) {
    whole.status = Status::fail;
    whole.message = in(kLanguage, say("the runner's verdict is FAIL, though no finding fails"));
  }
  suite.cases = {std::move(evidence), std::move(whole)};
  suite.says = upper_name(verdict) + ": " + counts_text(run);
  return suite;
}

std::vector<TestSuite> suites_of(const RunResult& run) {
  std::vector<TestSuite> arms;
  std::vector<std::string> named;
  for (const auto& arm : run.arms) {
    TestSuite& suite =
        arms.emplace_back(TestSuite{.name = arm.name, .properties = {{"settings", arm.settings}}});
    named.push_back(arm.name);
    if (arm.expect.any())
      add_expectation(run, arm, suite);
    else
      add_findings(run, arm.name, suite);
  }
  for (const auto& finding : run.findings) {  // of an arm that the run does not name
    if (std::find(named.begin(), named.end(), finding.arm) != named.end()) continue;
    named.push_back(finding.arm);
    add_findings(run, finding.arm, arms.emplace_back(TestSuite{.name = finding.arm}));
  }
  arms.insert(arms.begin(), whole_run(run, arms));
  return arms;
}

void set(pugi::xml_node node, const char* name, const std::string& value) {
  node.append_attribute(name).set_value(xml_text(value).c_str());
}

void add_text(pugi::xml_node node, const std::string& text) {
  node.append_child(pugi::node_pcdata).set_value(xml_text(text).c_str());
}

void add_case(pugi::xml_node to, const TestCase& from) {
  auto node = to.append_child("testcase");
  set(node, "name", from.name);
  set(node, "classname", from.classname);
  set(node, "time", "0");
  if (from.status == Status::pass) return;
  auto bad = node.append_child(from.status == Status::fail ? "failure" : "error");
  set(bad, "message", from.message);
  set(bad, "type", upper_name(from.status));
  if (!from.body.empty()) add_text(bad, from.body);
}

// "2026-11-21T08:00:00", as the schema wants it: without the zone, which is UTC.
std::string timestamp_of(const RunResult& run) {
  const std::string& created = run.identity.created;
  return created.size() >= 19 ? created.substr(0, 19) : "1970-01-01T00:00:00";
}

void add_suite(pugi::xml_node to, const RunResult& run, const TestSuite& from, size_t id) {
  auto node = to.append_child("testsuite");
  set(node, "name", from.name);
  set(node, "package", "greta");
  set(node, "id", std::to_string(id));
  set(node, "timestamp", timestamp_of(run));
  set(node, "hostname", "localhost");
  set(node, "tests", std::to_string(from.cases.size()));
  set(node, "failures", std::to_string(from.count(Status::fail)));
  set(node, "errors", std::to_string(from.count(Status::invalid)));
  set(node, "time", fmt::format("{:.3f}", from.seconds));
  auto properties = node.append_child("properties");
  for (const auto& [name, value] : from.properties) {
    auto property = properties.append_child("property");
    set(property, "name", name);
    set(property, "value", value);
  }
  if (from.properties.empty()) node.remove_child(properties);
  for (const auto& item : from.cases) add_case(node, item);
  add_text(node.append_child("system-out"), from.says);
  node.append_child("system-err");
}

}  // namespace

std::string junit_report(const RunResult& run) {
  pugi::xml_document document;
  auto declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version").set_value("1.0");
  declaration.append_attribute("encoding").set_value("UTF-8");
  auto root = document.append_child("testsuites");
  size_t id = 0;
  for (const auto& suite : suites_of(run)) add_suite(root, run, suite, id++);
  std::ostringstream out;
  document.save(out, " ", pugi::format_default, pugi::encoding_utf8);
  return out.str();
}

void write_junit(const RunResult& run, const std::string& path) { write_atomically(path, junit_report(run)); }

}  // namespace greta::reports
