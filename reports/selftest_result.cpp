#include "reports/selftest_result.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace greta::reports {

using probes::Answer;
using probes::Status;

namespace {

bool everywhere(const SelftestFault& fault, bool SelftestCell::*what) {
  return fault.active() > 0 && std::all_of(fault.cells.begin(), fault.cells.end(),
                                           [&](const auto& cell) { return !cell.active || cell.*what; });
}

bool fits(const SelftestFault& fault) {
  return std::find(fault.causes.begin(), fault.causes.end(), fault.cause) != fault.causes.end();
}

}  // namespace

int64_t SelftestFault::active() const {
  return std::count_if(cells.begin(), cells.end(), [](const auto& cell) { return cell.active; });
}
bool SelftestFault::detected() const { return everywhere(*this, &SelftestCell::detected); }
bool SelftestFault::localised() const { return everywhere(*this, &SelftestCell::localised); }
bool SelftestFault::explained() const { return answer == Answer::explained && fits(*this); }
bool SelftestFault::indistinguishable() const { return answer == Answer::indistinguishable && fits(*this); }
bool SelftestFault::explained_wrongly() const { return answer != Answer::unexplained && !fits(*this); }

void SelftestResult::identify(const RunIdentity& identity) {
  model = identity.model_path;
  digest = identity.model_digest;
  greta_version = identity.greta_version;
  build = identity.build;
  created = identity.created;
}

int64_t SelftestResult::planted() const { return static_cast<int64_t>(faults.size()); }

int64_t SelftestResult::count(bool (SelftestFault::*what)() const) const {
  return std::count_if(faults.begin(), faults.end(), [&](const auto& fault) { return (fault.*what)(); });
}

std::vector<std::string> SelftestResult::shortfalls() const {
  std::vector<std::string> out;
  if (!interrupted.empty()) out.push_back("ended early: " + interrupted);
  for (const auto& fault : faults) {
    if (!fault.trouble.empty())
      out.push_back(fmt::format("{}: {}", fault.fault, fault.trouble));
    else if (fault.active() == 0)
      out.push_back(fmt::format("{} changed nothing anywhere", fault.fault));
    else if (!fault.detected())
      out.push_back(fmt::format("{} was not detected everywhere", fault.fault));
    else if (!fault.localised())
      out.push_back(fmt::format("{} was not localised everywhere", fault.fault));
    else if (fault.explained_wrongly())
      out.push_back(fmt::format("{} was explained as {}", fault.fault, fmt::join(fault.causes, ", ")));
    else if (fault.answer == Answer::unexplained)
      out.push_back(fmt::format("{} stayed unexplained", fault.fault));
  }
  if (planted() > 0 && static_cast<double>(count(&SelftestFault::explained)) <
                           kExplainedShare * static_cast<double>(planted()))
    out.push_back(fmt::format("{} of {} faults were explained; {:.0f} % is the least",
                              count(&SelftestFault::explained), planted(), 100 * kExplainedShare));
  for (const auto& alarm : false_alarms) out.push_back("false alarm: " + alarm);
  if (faults.empty() && clean_runs == 0) out.emplace_back("nothing ran");
  return out;
}

Status SelftestResult::status() const {
  const bool no_verdict = !interrupted.empty() || (faults.empty() && clean_runs == 0) ||
                          std::any_of(faults.begin(), faults.end(), [](const auto& fault) {
                            return !fault.trouble.empty() || fault.active() == 0;
                          });
  if (no_verdict) return Status::invalid;
  return shortfalls().empty() ? Status::pass : Status::fail;
}

}  // namespace greta::reports
