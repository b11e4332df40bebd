#include "reports/acceptance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "datasets/tensor.hpp"
#include "reports/summary.hpp"

namespace greta::reports {
namespace {

using probes::Figure;
using probes::Finding;
using probes::Status;

// What makes two findings one place: all of the key but the arm, which the fix is free to change (it stays
// where whole runs are held against each other), and which of several findings of that key it is.
using PlaceKey =
    std::tuple<std::string, std::string, std::string, std::string, int, std::string, std::string, int>;

struct Paired {
  const Finding* before = nullptr;
  const Finding* after = nullptr;
};

// In the order of `after`; what only `before` has comes behind.
struct Pairs {
  std::vector<PlaceKey> order;
  std::map<PlaceKey, Paired> places;
};

void gather(const AcceptanceSide& side, const Finding* Paired::*half, Pairs& pairs) {
  std::map<PlaceKey, int> seen;
  for (const auto& finding : side.run.findings) {
    if (!side.arm.empty() && finding.arm != side.arm) continue;
    PlaceKey key{side.arm.empty() ? finding.arm : "",
                 finding.probe,
                 finding.mode,
                 finding.prompt,
                 finding.layer,
                 finding.phase,
                 finding.stage,
                 0};
    std::get<7>(key) = seen[key]++;
    auto& place = pairs.places[key];
    if (!place.before && !place.after) pairs.order.push_back(key);
    place.*half = &finding;
  }
}

Pairs pairs_of(const Acceptance& it) {
  Pairs pairs;
  gather(it.after, &Paired::after, pairs);
  gather(it.before, &Paired::before, pairs);
  return pairs;
}

// The side alone, judged by its findings: what a suite expects of an arm is no licence for a fix.
RunResult only(const AcceptanceSide& side) {
  RunResult run = side.run;
  const auto other = [&](const std::string& arm) { return !side.arm.empty() && arm != side.arm; };
  std::erase_if(run.arms, [&](const auto& arm) { return other(arm.name); });
  std::erase_if(run.findings, [&](const auto& finding) { return other(finding.arm); });
  std::erase_if(run.controls, [&](const auto& control) { return other(control.arm); });
  for (auto& arm : run.arms) {
    arm.expect = {};
    arm.status = conclude_arm(run, arm.name);
  }
  run.status = conclude(run);
  return run;
}

// At most ten of a kind, and a line for the rest.
class Reasons {
 public:
  explicit Reasons(std::vector<Message>& out) : out_(out) {}
  ~Reasons() {
    if (more_ > 0) out_.push_back(say("and {} more of this kind", more_));
  }
  Reasons(const Reasons&) = delete;
  void add(Message message) {
    if (++count_ <= 10)
      out_.push_back(std::move(message));
    else
      ++more_;
  }

 private:
  std::vector<Message>& out_;
  int64_t count_ = 0, more_ = 0;
};

void check_side(const AcceptanceSide& side, const Message& name, Acceptance& it) {
  const RunResult alone = only(side);
  Reasons reasons(it.invalid);
  if (verdict_of(alone) == Status::invalid)
    for (const auto& reason : invalid_reasons(alone)) reasons.add(say("{} is INVALID: {}", name, reason));
}

void check_identity(Acceptance& it) {
  const RunIdentity &a = it.before.run.identity, &b = it.after.run.identity;
  if (a.model_digest.empty() || a.model_digest != b.model_digest)
    it.invalid.push_back(
        say("the models are not the same: {} before, {} after", a.model_digest, b.model_digest));
  else
    it.controls.push_back(say("both sides ran the model {}", a.model_digest));
}

// Of the prompts that were judged, and no others: a run may have more arms than the one that is looked at.
void check_prompts(const Pairs& pairs, Acceptance& it) {
  std::set<std::string> prompts;
  for (const auto& [key, place] : pairs.places)
    for (const auto* finding : {place.before, place.after})
      if (finding && !is_weight(*finding) && !finding->prompt.empty()) prompts.insert(finding->prompt);
  const auto tokens = [](const AcceptanceSide& side, const std::string& prompt) {
    const auto found = side.run.identity.prompt_tokens.find(prompt);
    return found == side.run.identity.prompt_tokens.end() ? std::vector<int32_t>() : found->second;
  };
  bool same = true;
  for (const auto& prompt : prompts) {
    const auto a = tokens(it.before, prompt), b = tokens(it.after, prompt);
    if (!a.empty() && a == b) continue;
    same = false;
    it.invalid.push_back(say("the token ids of prompt {} are not the same: {} tokens before, {} after",
                             prompt, a.size(), b.size()));
  }
  if (same)
    it.controls.push_back(say("the token ids of {} prompts are the same on both sides", prompts.size()));
}

void check_places(const Pairs& pairs, Acceptance& it) {
  const size_t before_it = it.invalid.size();
  {
    Reasons missing(it.invalid);
    for (const auto& key : pairs.order)
      if (!pairs.places.at(key).after)
        missing.add(say("judged before, but not after: {}", pairs.places.at(key).before->key()));
  }
  {
    Reasons added(it.invalid);
    for (const auto& key : pairs.order)
      if (!pairs.places.at(key).before)
        added.add(say("judged after, but not before: {}", pairs.places.at(key).after->key()));
  }
  {
    Reasons shapes(it.invalid);
    for (const auto& key : pairs.order) {
      const auto& [a, b] = pairs.places.at(key);
      if (!a || !b || (a->shape == b->shape && a->metrics.count == b->metrics.count)) continue;
      shapes.add(say("{}: {} elements of {} before, {} of {} after", b->key(), a->metrics.count,
                     greta::to_string(a->shape), b->metrics.count, greta::to_string(b->shape)));
    }
  }
  if (pairs.places.empty()) it.invalid.push_back(say("no place was judged on either side"));
  if (it.invalid.size() == before_it)
    it.controls.push_back(
        say("both sides judged the same {} places, in the same number of elements", pairs.places.size()));
}

std::string bar_stage(const Finding& finding) { return is_weight(finding) ? "weights" : finding.stage; }

void add_bars(const Pairs& pairs, Acceptance& it) {
  std::map<std::pair<std::string, std::string>, size_t> rows;
  std::map<std::string, int> probe_order;
  for (const auto& key : pairs.order) {
    const auto& [a, b] = pairs.places.at(key);
    if (!a || !b) continue;
    probe_order.emplace(probe_name(*b), static_cast<int>(probe_order.size()));
    const auto [row, is_new] = rows.emplace(std::pair{probe_name(*b), bar_stage(*b)}, it.bars.size());
    if (is_new) it.bars.push_back({.probe = row->first.first, .stage = row->first.second});
    Bar& bar = it.bars[row->second];
    bar.before.add(*a);
    bar.after.add(*b);
    ++bar.places;
    ++it.places;
    ChangedPlace place{.key = b->key()};
    place.before.add(*a);
    place.after.add(*b);
    const bool was = place.before.status == Status::pass, is = place.after.status == Status::pass;
    if (was && !is)
      it.broken.push_back(std::move(place));
    else if (!was && is)
      it.fixed.push_back(std::move(place));
    else if (!was && !is)
      it.still_failing.push_back(std::move(place));
  }
  std::stable_sort(it.bars.begin(), it.bars.end(), [&](const Bar& a, const Bar& b) {
    return probe_order.at(a.probe) < probe_order.at(b.probe);
  });
}

size_t column_of(FigurePairs& table, const std::string& name) {
  const auto found = std::find(table.names.begin(), table.names.end(), name);
  if (found != table.names.end()) return static_cast<size_t>(found - table.names.begin());
  table.names.push_back(name);
  for (auto& row : table.rows) {
    row.before.emplace_back();
    row.after.emplace_back();
  }
  return table.names.size() - 1;
}

FigurePair& row_of(FigurePairs& table, const Finding& at, const std::string& of) {
  for (auto& row : table.rows)
    if (row.prompt == at.prompt && row.phase == at.phase && row.layer == at.layer && row.stage == at.stage &&
        row.of == of)
      return row;
  FigurePair row{.prompt = at.prompt, .phase = at.phase, .of = of, .stage = at.stage, .layer = at.layer};
  row.before.resize(table.names.size());
  row.after.resize(table.names.size());
  return table.rows.emplace_back(std::move(row));
}

// Where each figure is of one stage only, a row is a place in the model, whatever the stage: the reports'
// tables have V's layout and the error of what attention makes of it side by side.
void fold_stages(FigurePairs& table) {
  for (size_t column = 0; column < table.names.size(); ++column) {
    std::set<std::string> stages;
    for (const auto& row : table.rows)
      if (row.before[column] || row.after[column]) stages.insert(row.stage);
    if (stages.size() > 1) return;
  }
  std::vector<FigurePair> folded;
  for (auto& row : table.rows) {
    const auto same = std::find_if(folded.begin(), folded.end(), [&](const FigurePair& other) {
      return std::tie(row.prompt, row.phase, row.layer, row.of) ==
             std::tie(other.prompt, other.phase, other.layer, other.of);
    });
    if (same == folded.end()) {
      folded.push_back(std::move(row));
      folded.back().stage.clear();
      continue;
    }
    for (const auto half : {&FigurePair::before, &FigurePair::after})
      for (size_t column = 0; column < table.names.size(); ++column)
        if ((row.*half)[column]) ((*same).*half)[column] = (row.*half)[column];
  }
  table.rows = std::move(folded);
}

void add_figures(const Pairs& pairs, Acceptance& it) {
  std::map<std::string, size_t> tables;
  for (const auto& key : pairs.order)
    for (const auto half : {&Paired::before, &Paired::after}) {
      const Finding* finding = pairs.places.at(key).*half;
      if (!finding || finding->figures.empty()) continue;
      const std::string& arm = std::get<0>(key);
      const std::string name = probe_name(*finding) + (arm.empty() ? "" : ", arm " + arm);
      const auto [at, is_new] = tables.emplace(name, it.figures.size());
      if (is_new) it.figures.push_back({.probe = name});
      FigurePairs& table = it.figures[at->second];
      for (const Figure& figure : finding->figures) {
        const size_t column = column_of(table, figure.name);
        FigurePair& row = row_of(table, *finding, figure.of);
        (half == &Paired::before ? row.before : row.after)[column] = figure;
      }
    }
  for (auto& table : it.figures) fold_stages(table);
}

}  // namespace

void Judged::add(const Finding& finding) {
  Cell worst{.status = status, .ratio = ratio, .findings = 1};
  worst.add(finding);
  status = worst.status;
  ratio = worst.ratio;
  const double other = finding.metrics.mae;
  if (std::isnan(other) || other > mae) mae = other;
  failing += status_of(finding) != Status::pass;
}

Change Bar::change() const {
  if (before.status != after.status) return after.status == Status::pass ? Change::fixed : Change::broken;
  if (before.ratio == after.ratio) return Change::same;
  return after.ratio < before.ratio ? Change::smaller : Change::larger;
}

Acceptance accept(AcceptanceSide before, AcceptanceSide after) {
  Acceptance it{.before = std::move(before), .after = std::move(after)};
  const Pairs pairs = pairs_of(it);
  check_side(it.before, say("before"), it);
  check_side(it.after, say("after"), it);
  check_identity(it);
  check_prompts(pairs, it);
  check_places(pairs, it);
  add_bars(pairs, it);
  add_figures(pairs, it);
  if (it.invalid.empty())
    it.decision = it.broken.empty() && it.still_failing.empty() ? Decision::accepted : Decision::refused;
  return it;
}

ExitCode Acceptance::exit_code() const {
  switch (decision) {
    case Decision::accepted:
      return ExitCode::pass;
    case Decision::refused:
      return ExitCode::fail;
    case Decision::none:
      break;
  }
  return ExitCode::invalid;
}

}  // namespace greta::reports
