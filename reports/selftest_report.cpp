#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/stage.hpp"
#include "probes/usual_rules.hpp"
#include "reports/selftest_result.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using Json = nlohmann::ordered_json;
using probes::Answer;

std::string percent(int64_t part, int64_t whole) {
  return whole == 0 ? "—"
                    : fmt::format("{:.0f} %", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

std::string answer_text(const SelftestFault& fault) {
  if (!fault.trouble.empty()) return "— " + fault.trouble;
  if (fault.answer == Answer::unexplained) return "unexplained";
  if (fault.explained()) return fmt::format("explained, the next best misfit {:.3g} bounds", fault.margin);
  if (fault.explained_wrongly()) return fmt::format("WRONG: {}", fmt::join(fault.causes, ", "));
  return fmt::format("indistinguishable: {}; {}", fmt::join(fault.causes, " = "), fault.tells);
}

// "3/3": cells where it holds, of those where the fault is active.
std::string share(const SelftestFault& fault, bool SelftestCell::*what) {
  const auto hold = std::count_if(fault.cells.begin(), fault.cells.end(),
                                  [&](const auto& cell) { return cell.active && cell.*what; });
  return fmt::format("{}/{}", hold, fault.active());
}

std::string faults_text(const SelftestResult& result) {
  std::string out =
      fmt::format("\n{:<44} {:>8} {:>9} {:>8}  {}\n", "fault", "detected", "localised", "inert in", "answer");
  for (const auto& fault : result.faults)
    out += fmt::format("{:<44} {:>8} {:>9} {:>8}  {}\n", fault.fault, share(fault, &SelftestCell::detected),
                       share(fault, &SelftestCell::localised),
                       static_cast<int64_t>(fault.cells.size()) - fault.active(), answer_text(fault));
  return out;
}

// Kind of place: a stage, or "weight".
std::string place_of(const std::string& stage) { return stage.starts_with("weight/") ? "weight" : stage; }

struct Matrix {
  std::vector<std::string> names;  // in the order of the pipeline
  std::map<std::pair<std::string, std::string>, int64_t> cells;
};

Matrix confusion(const SelftestResult& result) {
  Matrix matrix;
  std::set<std::string> used;
  for (const auto& fault : result.faults)
    for (const auto& cell : fault.cells) {
      if (!cell.active) continue;
      const std::string planted = place_of(fault.stages);
      const std::string seen = !cell.detected   ? "undetected"
                               : cell.localised ? planted
                                                : place_of(cell.first.empty() ? "elsewhere" : cell.first);
      ++matrix.cells[{planted, seen}];
      used.insert({planted, seen});
    }
  const auto take = [&](const std::string& name) {
    if (used.erase(name)) matrix.names.push_back(name);
  };
  take("weight");
  for (const auto& row : stages()) take(std::string(row.name));
  matrix.names.insert(matrix.names.end(), used.begin(), used.end());
  return matrix;
}

std::string confusion_text(const SelftestResult& result) {
  const Matrix matrix = confusion(result);
  std::string out = "\nplanted in (row) and first failing (column), cells of prompt × phase\n";
  for (const auto& planted : matrix.names) {
    std::string row;
    for (const auto& seen : matrix.names)
      if (const auto found = matrix.cells.find({planted, seen}); found != matrix.cells.end())
        row += fmt::format("  {} {}", seen, found->second);
    if (!row.empty()) out += fmt::format("  {:<14} ->{}\n", planted, row);
  }
  return out;
}

std::string rules_text(const SelftestResult& result) {
  int64_t active = 0, ours = 0;
  for (const auto& fault : result.faults)
    for (const auto& cell : fault.cells) {
      active += cell.active;
      ours += cell.active && cell.detected;
    }
  std::string out = fmt::format("\n{:<20} {:>14} {:>8} {:>26}   {}\n", "rule", "kills (cells)", "faults",
                                "refuses in the clean run", "faults that it lets pass somewhere");
  out += fmt::format("{:<20} {:>14} {:>8} {:>26}\n", "greta", fmt::format("{} of {}", ours, active),
                     result.count(&SelftestFault::detected), 0);
  for (const auto rule : probes::kUsualRules) {
    int64_t kills = 0, whole = 0;
    std::vector<std::string> missed;
    for (const auto& fault : result.faults) {
      bool all = fault.active() > 0;
      for (const auto& cell : fault.cells) {
        if (!cell.active) continue;
        const bool killed = cell.refused_by.contains(std::string(rule));
        kills += killed;
        all &= killed;
      }
      whole += all;
      if (!all) missed.push_back(fault.fault);
    }
    const auto alarms = result.rule_false_alarms.find(std::string(rule));
    out += fmt::format(
        "{:<20} {:>14} {:>8} {:>26}   {}\n", rule, fmt::format("{} of {}", kills, active), whole,
        fmt::format("{} of {} tensors", alarms == result.rule_false_alarms.end() ? 0 : alarms->second,
                    result.clean_tensors),
        fmt::join(missed, " "));
  }
  return out;
}

std::string smallest_text(const SelftestResult& result) {
  std::string out = "\nsmallest change of one element that is noticed, and its share of the tensor's RMS\n";
  for (const auto& row : result.smallest)
    out += fmt::format("  {:<14} {:<8} {:>10.2e} {:>10.1e}\n", row.stage, row.phase, row.change, row.share);
  return out;
}

Json json_of(const SelftestFault& fault) {
  Json out = {{"fault", fault.fault},
              {"cause", fault.cause},
              {"stages", fault.stages},
              {"detected", fault.detected()},
              {"localised", fault.localised()},
              {"explained", fault.explained()},
              {"answer", probes::name_of(fault.answer)},
              {"causes", fault.causes},
              {"margin", std::isfinite(fault.margin) ? Json(fault.margin) : Json("Infinity")},
              {"tells", fault.tells},
              {"conclusion", fault.conclusion},
              {"trouble", fault.trouble},
              {"cells", Json::array()}};
  for (const auto& cell : fault.cells)
    out["cells"].push_back({{"prompt", cell.prompt},
                            {"phase", cell.phase},
                            {"active", cell.active},
                            {"detected", cell.detected},
                            {"localised", cell.localised},
                            {"first", cell.first},
                            {"refused_by", cell.refused_by}});
  return out;
}

}  // namespace

std::string selftest_terminal(const SelftestResult& result) {
  std::string out = fmt::format("selftest of {} ({}), seed {}\n", result.model, result.digest, result.seed);
  if (!result.faults.empty()) {
    out += faults_text(result) + confusion_text(result) + rules_text(result);
    if (!result.smallest.empty()) out += smallest_text(result);
    const int64_t planted = result.planted();
    out += fmt::format(
        "\nfaults {}: detected {}, localised {}, explained {}, indistinguishable {}, explained wrongly {}\n",
        planted, percent(result.count(&SelftestFault::detected), planted),
        percent(result.count(&SelftestFault::localised), planted),
        percent(result.count(&SelftestFault::explained), planted),
        result.count(&SelftestFault::indistinguishable), result.count(&SelftestFault::explained_wrongly));
  }
  for (const auto& line : result.left_out) out += "left out: " + line + "\n";
  if (result.clean_runs > 0)
    out += fmt::format("clean runs {}: {} FAIL, {} INVALID\n", result.clean_runs, result.clean_fail,
                       result.clean_invalid);
  for (const auto& line : result.shortfalls()) out += "  short: " + line + "\n";
  return out +
         fmt::format("{}  selftest, {:.0f} s\n", upper(probes::name_of(result.status())), result.seconds);
}

std::string selftest_json(const SelftestResult& result) {
  const Matrix matrix = confusion(result);
  Json out = {{"schema", "greta.selftest"},
              {"schema_version", 1},
              {"status", probes::name_of(result.status())},
              {"shortfalls", result.shortfalls()},
              {"greta_version", result.greta_version},
              {"build", result.build},
              {"created", result.created},
              {"command_line", result.command_line},
              {"model", result.model},
              {"model_digest", result.digest},
              {"seed", result.seed},
              {"seconds", result.seconds},
              {"planted", result.planted()},
              {"detected", result.count(&SelftestFault::detected)},
              {"localised", result.count(&SelftestFault::localised)},
              {"explained", result.count(&SelftestFault::explained)},
              {"indistinguishable", result.count(&SelftestFault::indistinguishable)},
              {"explained_wrongly", result.count(&SelftestFault::explained_wrongly)},
              {"clean_runs", result.clean_runs},
              {"clean_fail", result.clean_fail},
              {"clean_invalid", result.clean_invalid},
              {"false_alarms", result.false_alarms},
              {"rule_false_alarms", result.rule_false_alarms},
              {"clean_tensors", result.clean_tensors},
              {"left_out", result.left_out},
              {"confusion", Json::array()},
              {"smallest", Json::array()},
              {"faults", Json::array()}};
  for (const auto& [cell, count] : matrix.cells)
    out["confusion"].push_back({{"planted", cell.first}, {"first_failing", cell.second}, {"cells", count}});
  for (const auto& row : result.smallest)
    out["smallest"].push_back(
        {{"stage", row.stage}, {"phase", row.phase}, {"change", row.change}, {"share_of_rms", row.share}});
  for (const auto& fault : result.faults) out["faults"].push_back(json_of(fault));
  return out.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string selftest_svg(const SelftestResult& result) {
  const Matrix matrix = confusion(result);
  constexpr int kCell = 26, kLeft = 130, kTop = 130;
  const int size = static_cast<int>(matrix.names.size()) * kCell;
  int64_t most = 1;
  for (const auto& [cell, count] : matrix.cells) most = std::max(most, count);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n<title>planted stage (row) by first failing stage "
      "(column)</title>\n<rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n",
      kLeft + size + 10, kTop + size + 10);
  for (size_t i = 0; i < matrix.names.size(); ++i) {
    const int at = static_cast<int>(i) * kCell;
    out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLeft - 6, kTop + at + 17,
                       matrix.names[i]);
    out += fmt::format("<text transform=\"translate({},{}) rotate(-60)\">{}</text>\n", kLeft + at + 14,
                       kTop - 6, matrix.names[i]);
    for (size_t j = 0; j < matrix.names.size(); ++j) {
      const auto found = matrix.cells.find({matrix.names[i], matrix.names[j]});
      const int64_t count = found == matrix.cells.end() ? 0 : found->second;
      const double shade = std::sqrt(static_cast<double>(count) / static_cast<double>(most));
      const std::string colour =
          count == 0 ? "#f2f2f2"
          : i == j   ? fmt::format("rgb({0},{1},{0})", static_cast<int>(200 - 160 * shade), 170)
                     : "#d33";
      out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n",
                         kLeft + static_cast<int>(j) * kCell, kTop + at, kCell - 2, kCell - 2, colour);
      if (count > 0)
        out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                           kLeft + static_cast<int>(j) * kCell + 12, kTop + at + 16, count);
    }
  }
  return out + "</svg>\n";
}

}  // namespace greta::reports
