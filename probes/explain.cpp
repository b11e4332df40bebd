#include "probes/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <set>

#include "datasets/error.hpp"
#include "datasets/message.hpp"
#include "probes/attempt.hpp"
#include "probes/partition.hpp"
#include "probes/races.hpp"
#include "probes/scope.hpp"
#include "probes/trials.hpp"
#include "probes/wrong_weights.hpp"
#include "reference/stages.hpp"

namespace greta::probes {
namespace {

using Findings = std::vector<const Finding*>;

constexpr std::string_view kWeight = "weight/";

bool is_local(const Finding& finding) { return finding.probe == "stage_parity" && finding.mode == "local"; }
bool is_weight(const Finding& finding) { return finding.stage.starts_with(kWeight); }
std::string weight_name(const Finding& finding) { return finding.stage.substr(kWeight.size()); }

// Of an arm, those that are not what the file says.
std::set<std::string> wrong_weights(const RunRecord& run, const std::string& arm) {
  std::set<std::string> out;
  for (const Finding& finding : run.findings)
    if (finding.arm == arm && finding.status == Status::fail && is_local(finding) && is_weight(finding))
      out.insert(weight_name(finding));
  return out;
}

std::vector<std::string> arms_of(std::span<const Finding> findings) {
  std::vector<std::string> arms;
  for (const Finding& finding : findings)
    if (std::find(arms.begin(), arms.end(), finding.arm) == arms.end()) arms.push_back(finding.arm);
  return arms;
}

std::vector<std::string> keys_of(const Findings& findings) {
  std::vector<std::string> out;
  for (const Finding* finding : findings) out.push_back(finding->key());
  return out;
}

// A row of a call fails with the call: where both are there, the call is tried.
const Finding* whole_of(const Finding& finding, const Findings& group) {
  const auto whole = std::find_if(group.begin(), group.end(), [&](const Finding* other) {
    return other->phase == "prefill" && other->prompt == finding.prompt && other->layer == finding.layer;
  });
  return finding.phase == "prefill_last" && whole != group.end() ? *whole : nullptr;
}

// The most telling first: many values, a layer in the middle; and a tensor of each phase of each prompt
// before the second one of any, so that a few tensors stand for all kinds of calls.
Findings telling_order(Findings group) {
  std::erase_if(group, [&, all = group](const Finding* f) { return whole_of(*f, all) != nullptr; });
  int deepest = 0;
  for (const Finding* finding : group) deepest = std::max(deepest, finding->layer);
  std::stable_sort(group.begin(), group.end(), [&](const Finding* a, const Finding* b) {
    if (a->metrics.count != b->metrics.count) return a->metrics.count > b->metrics.count;
    return std::abs(2 * a->layer - deepest) < std::abs(2 * b->layer - deepest);
  });
  std::map<std::string, int> turn;
  std::vector<std::pair<int, const Finding*>> dealt;
  for (const Finding* finding : group)
    dealt.emplace_back(turn[finding->prompt + "/" + finding->phase]++, finding);
  std::stable_sort(dealt.begin(), dealt.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  Findings out;
  for (const auto& [round, finding] : dealt) out.push_back(finding);
  return out;
}

// What a stage's hypotheses read in one place.
struct StageView {
  std::shared_ptr<const Evidence> evidence;
  const Phase* phase = nullptr;
  int layer = -1;
  Stage stage{};
  const Tap* tap = nullptr;
  reference::Contract contract;
  reference::Matrix output;
  reference::Fetch fetch;
};

std::shared_ptr<const StageView> view_of(const RunRecord& run, const Finding& finding) {
  auto view = std::make_shared<StageView>();
  view->evidence = run.evidence(finding.prompt, finding.arm);
  view->phase = &view->evidence->phase(finding.phase);
  view->layer = finding.layer;
  view->stage = parse_stage(finding.stage);
  // A row alone cannot tell what went wrong among rows: the whole call can, where it was kept.
  if (view->phase->window_of && view->phase->window_of->has(view->layer, view->stage))
    view->phase = view->phase->window_of;
  view->tap = &view->phase->tap(view->layer, view->stage);
  view->contract = reference::Contract::parse(view->tap->contract);
  const auto& tokens = view->phase->call.tokens;
  if (view->stage == Stage::embed && std::any_of(tokens.begin(), tokens.end(), [](auto t) { return t < 0; }))
    throw Missing(say("the token of {} is not known", view->phase->name));
  const auto values = view->tap->f32();
  const auto rows = static_cast<Eigen::Index>(view->tap->tensor->shape().front());
  view->output.resize(rows, rows > 0 ? static_cast<Eigen::Index>(values.size()) / rows : 0);
  std::copy(values.begin(), values.end(), view->output.data());
  view->fetch = [phase = view->phase, &config = run.model.config()](const reference::OperandRef& ref) {
    return operand(*phase, config, ref);
  };
  return view;
}

class Arm {
 public:
  Arm(const RunRecord& run, const ExplainOptions& options, std::string name)
      : run_(run),
        options_(options),
        name_(std::move(name)),
        wrong_(wrong_weights(run, name_),
               [&run, arm = name_](const std::string& weight) { return run.weight(arm, weight); }) {
    for (const Finding& finding : run.findings) {
      if (finding.arm != name_) continue;
      if (finding.status == Status::fail) failing_.push_back(&finding);
      if (!is_local(finding)) continue;
      if (finding.status == Status::fail) (is_weight(finding) ? weights_ : stages_).push_back(&finding);
      if (finding.status == Status::pass) passing_.push_back(&finding);
    }
  }

  std::vector<Explanation> explain() {
    explain_weights();
    races_ = explain_races(run_.findings, name_);
    for (auto& race : races_) take_stage_of(race);
    for (const auto& row : stages()) explain_stage(std::string(row.name));
    for (auto& copy : explain_copies(run_.findings, name_)) add(std::move(copy));
    if (out_.empty() && !failing_.empty() && !left_out_) explain_rest();
    return std::move(out_);
  }

 private:
  bool wanted(const Findings& findings) {
    const bool any = !options_.wanted || std::any_of(findings.begin(), findings.end(),
                                                     [&](const Finding* f) { return options_.wanted(*f); });
    left_out_ |= !any;
    return any;
  }

  void add(Explanation explanation) {
    const std::set<std::string> keys(explanation.places.begin(), explanation.places.end());
    Findings own;
    for (const Finding* finding : failing_)
      if (keys.contains(finding->key())) own.push_back(finding);
    if (wanted(own)) out_.push_back(std::move(explanation));
  }

  // Each weight is a stage of its own; those that have the same causes share an explanation.
  void explain_weights() {
    std::vector<Explanation> answers;
    for (const Finding* finding : weights_) {
      Explanation one = explain_weight(*finding);
      const auto same = std::find_if(answers.begin(), answers.end(), [&](const Explanation& other) {
        return one.answer != Answer::unexplained && same_causes(one.fitting, other.fitting);
      });
      if (same == answers.end())
        answers.push_back(std::move(one));
      else
        join(*same, one);
    }
    std::stable_sort(answers.begin(), answers.end(), [](const Explanation& a, const Explanation& b) {
      return order_in_loader(a) < order_in_loader(b);
    });
    for (auto& answer : answers) add(std::move(answer));
  }

  // What one cause explains comes before what two do; the catalogue has a loader's causes in the order in
  // which it meets them: unpacking, then moving. What is unexplained comes last.
  static std::vector<size_t> order_in_loader(const Explanation& e) {
    if (e.fitting.empty()) return {std::numeric_limits<size_t>::max()};
    std::vector<size_t> out = {e.fitting.front().causes.size()};
    for (const auto& text : e.fitting.front().causes)
      out.push_back(static_cast<size_t>(&find_cause(text) - causes().data()));
    return out;
  }

  static bool same_causes(const std::vector<Trial>& a, const std::vector<Trial>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Trial& x, const Trial& y) { return x.causes == y.causes; });
  }

  void join(Explanation& whole, const Explanation& one) const {
    whole.places.insert(whole.places.end(), one.places.begin(), one.places.end());
    whole.consequences.insert(whole.consequences.end(), one.consequences.begin(), one.consequences.end());
    whole.tensors += one.tensors;
    whole.tried += one.tried;
    for (size_t i = 0; i < whole.fitting.size(); ++i)
      if (one.fitting[i].ratio > whole.fitting[i].ratio) whole.fitting[i] = one.fitting[i];
    narrow(whole.excluded, one.excluded);
    whole.scope = say("{} of {} weights", whole.places.size(), weights_.size() + passing_weights());
  }

  // What is excluded in one weight is excluded; the smallest misfit counts.
  static void narrow(std::vector<Trial>& all, const std::vector<Trial>& more) {
    for (const Trial& trial : more) {
      const auto same =
          std::find_if(all.begin(), all.end(), [&](const Trial& t) { return t.causes == trial.causes; });
      if (same == all.end())
        all.push_back(trial);
      else if (trial.ratio < same->ratio)
        *same = trial;
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Trial& a, const Trial& b) { return a.ratio < b.ratio; });
  }

  size_t passing_weights() const {
    return static_cast<size_t>(
        std::count_if(passing_.begin(), passing_.end(), [](const Finding* f) { return is_weight(*f); }));
  }

  Explanation explain_weight(const Finding& finding) {
    const std::string name = weight_name(finding);
    Explanation out{.arm = name_, .stage = finding.stage, .places = {finding.key()}, .tensors = 1};
    std::vector<Message> unseen;
    for (const Finding* product : stages_) {
      if (weight_of(*product) != name || !is_consequence(*product)) continue;
      out.consequences.push_back(product->key());
      if (const auto& why = behind_.at(product).unseen; !why.empty()) unseen.push_back(why);
    }
    const std::vector<Failing> tensors = {{finding.key(), [&] { return open_weight(name); }}};
    Marks marks;
    settle(out, tensors, options_.hypotheses.of_weights(), marks, 0);
    if (!unseen.empty())
      add_note(out,
               say("{} of {} products with it could not be judged by the engine's own view of it, so that "
                   "other causes in them would not be seen ({})",
                   unseen.size(), out.consequences.size(), unseen.front()));
    out.scope = marks.example;
    return out;
  }

  Subject open_weight(const std::string& name) const {
    const auto tap = std::make_shared<const Tap>(run_.weight(name_, name));
    const auto contract =
        std::make_shared<const reference::Contract>(reference::Contract::parse(tap->contract));
    Subject out{.name = std::string(kWeight) + name, .shape = tap->tensor->shape(), .output = tap->f32()};
    out.right = [this, name, contract] { return reference::local_weight(run_.model, name, *contract); };
    out.suppose = [this, name, contract](Causes causes, Message* why) {
      return options_.hypotheses.suppose_weight(run_.model, name, *contract, causes, why);
    };
    out.holds = tap;
    return out;
  }

  std::string weight_of(const Finding& finding) const {
    const Stage stage = parse_stage(finding.stage);
    if (stage == Stage::embed) return "token_embd.weight";
    return reference::weight_of(run_.model, stage, finding.layer);
  }

  // Whether a stage fails only for the weight that it reads: with the engine's own view of that weight it is
  // in bound. Where that cannot be looked at, the weight is reason enough.
  bool is_consequence(const Finding& finding) {
    if (!wrong_.contains(weight_of(finding))) return false;
    const auto known = behind_.find(&finding);
    if (known != behind_.end()) return known->second.consequence;
    if (options_.check_interrupt) options_.check_interrupt();
    Behind& out = behind_[&finding];
    try {
      const Subject subject = open_stage(finding);
      out.consequence = held_against(subject, subject.right()).pass();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {  // Missing
      out = {.consequence = true, .unseen = say("{}: {}", finding.key(), message_of(error))};
    }
    return out.consequence;
  }

  static void add_note(Explanation& out, const Message& note) {
    out.note = out.note.empty() ? note : joined({out.note, note}, "; ");
  }

  // A stage that gives two results has no one result to explain.
  void take_stage_of(Explanation& race) {
    for (const Finding* finding : stages_)
      if (finding->stage == race.stage) race.places.push_back(finding->key());
    racing_.insert(race.stage);
  }

  void explain_stage(const std::string& stage) {
    for (const auto& race : races_)
      if (race.stage == stage) add(race);
    if (racing_.contains(stage)) return;
    Findings group, behind;
    for (const Finding* finding : stages_)
      if (finding->stage == stage) (is_consequence(*finding) ? behind : group).push_back(finding);
    if (group.empty() || !wanted(group)) return;
    Explanation whole = try_group(stage, group, behind);
    if (whole.answer != Answer::unexplained || !try_parts(stage, group, behind))
      out_.push_back(std::move(whole));
  }

  // `elsewhere`: other places of the stage, which fail of something else.
  Explanation try_group(const std::string& stage, const Findings& group, const Findings& elsewhere) {
    Explanation out{.arm = name_, .stage = stage, .places = keys_of(group)};
    Findings order = telling_order(group);
    out.tensors = static_cast<int64_t>(order.size());
    if (out.tensors > options_.most_tensors) order.resize(static_cast<size_t>(options_.most_tensors));
    Marks marks;
    const Stage which = parse_stage(stage);
    settle(out, failing_of(order), options_.hypotheses.of_stage(which, op_of(*order.front())), marks,
           which == Stage::attn_out ? run_.model.config().heads : 0);
    note_races(out, which);
    const auto by_own = std::count_if(group.begin(), group.end(),
                                      [&](const Finding* f) { return wrong_.contains(weight_of(*f)); });
    if (by_own > 0)
      add_note(
          out,
          say("{} of these read a weight that is wrong by itself, and are judged by the engine's own view "
              "of it",
              by_own));
    Findings passing;
    for (const Finding* finding : passing_)
      if (finding->stage == stage) passing.push_back(finding);
    out.scope = scope_of(group, elsewhere, passing, marks);
    return out;
  }

  Subject open_stage(const Finding& finding) const {
    const auto view = view_of(run_, finding);
    Subject out{.name = finding.prompt + "/" + Place{view->phase->name, view->layer, view->stage}.text(),
                .shape = view->tap->tensor->shape(),
                .output = view->tap->f32()};
    const auto& model = run_.model;
    out.right = [this, &model, view] {
      return reference::local(model, view->stage, view->layer, view->phase->call, view->contract, view->fetch,
                              wrong_.views());
    };
    out.suppose = [this, &model, view](Causes causes, Message* why) {
      return options_.hypotheses.suppose({model, view->stage, view->layer, view->phase->call, view->contract,
                                          view->fetch, view->output, wrong_.views()},
                                         causes, why);
    };
    out.holds = view;
    return out;
  }

  void settle(Explanation& out, const std::vector<Failing>& tensors, const std::vector<const Cause*>& causes,
              Marks& marks, int64_t heads) const {
    const SearchHooks hooks{.check_interrupt = options_.check_interrupt,
                            .seen = [&](const Subject& subject, const reference::Bounded& right) {
                              mark(marks, subject, right, heads);
                            }};
    Search found = search(tensors, causes, hooks);
    out.answer = found.answer();
    out.tried = found.tried;
    out.pairs = found.pairs;
    out.fitting = std::move(found.fitting);
    out.excluded = std::move(found.excluded);
    out.not_applicable = std::move(found.not_applicable);
    if (!found.not_tried.empty())
      out.note = say("{} of {} failing tensors could not be looked at ({})", found.not_tried.size(),
                     out.tensors, found.not_tried.front());
    if (out.answer != Answer::indistinguishable) return;
    std::vector<Message> needs;
    for (const auto& trial : out.fitting)
      for (const auto& cause : trial.causes)
        needs.push_back(say("{} needs {}", cause, phrase(find_cause(cause).tells)));
    out.tells = say("To tell them apart: {}.", joined(needs, "; "));
  }

  // A race breaks a stage as no hypothesis can predict: was it looked for?
  void note_races(Explanation& out, Stage stage) const {
    const Cause& barrier = find_cause("barrier=missing");
    if (!barrier.breaks(stage) || out.answer != Answer::unexplained) return;
    const bool repeated = std::any_of(run_.findings.begin(), run_.findings.end(), [&](const Finding& f) {
      return f.arm == name_ && f.probe == "determinism" && f.stage == out.stage && f.status == Status::pass;
    });
    out.not_applicable.push_back({.causes = {barrier.text()},
                                  .applies = false,
                                  .note = repeated
                                              ? say("a repeat gave the same bits")
                                              : say("nothing was repeated: the probe determinism tells")});
  }

  // Two causes of one stage that act in different places: each group of places has its own. Only when all of
  // them are explained.
  bool try_parts(const std::string& stage, const Findings& group, const Findings& behind) {
    const Findings order = telling_order(group);
    const auto parts =
        partition(failing_of(order), options_.hypotheses.of_stage(parse_stage(stage), op_of(*order.front())),
                  SearchHooks{.check_interrupt = options_.check_interrupt, .seen = {}});
    std::map<const Finding*, size_t> part_of;
    for (size_t p = 0; p < parts.size(); ++p)
      for (const size_t i : parts[p]) part_of[order[i]] = p;
    std::vector<Explanation> answers;
    for (size_t p = 0; p < parts.size(); ++p) {
      Findings own, elsewhere = behind;
      for (const Finding* finding : group) {
        const Finding* tried = part_of.contains(finding) ? finding : whole_of(*finding, group);
        (part_of.at(tried) == p ? own : elsewhere).push_back(finding);
      }
      answers.push_back(try_group(stage, own, elsewhere));
      if (answers.back().answer == Answer::unexplained) return false;
    }
    std::move(answers.begin(), answers.end(), std::back_inserter(out_));
    return !parts.empty();
  }

  std::vector<Failing> failing_of(const Findings& findings) const {
    std::vector<Failing> out;
    for (const Finding* finding : findings)
      out.push_back({finding->key(), [this, finding] { return open_stage(*finding); }});
    return out;
  }

  // Whatever else fails has no stage to blame.
  void explain_rest() {
    if (!wanted(failing_)) return;
    const Finding& first = *failing_.front();
    Explanation out{.arm = name_, .stage = first.stage.empty() ? first.probe : first.stage};
    out.places = keys_of(failing_);
    out.tensors = static_cast<int64_t>(failing_.size());
    out.observed = say(
        "no stage fails against its own inputs (stage_parity in local mode), so that no stage can be blamed; "
        "the first that fails otherwise is {}: {}",
        first.key(), first.message);
    out_.push_back(std::move(out));
  }

  const RunRecord& run_;
  const ExplainOptions& options_;
  std::string name_;
  Findings failing_, passing_;  // all that fail; those of local mode that pass
  Findings weights_, stages_;   // those of local mode that fail
  WrongWeights wrong_;
  std::set<std::string> racing_;
  struct Behind {
    bool consequence = false;
    Message unseen;  // why it could not be looked at
  };
  std::map<const Finding*, Behind> behind_;  // what reads a wrong weight
  std::vector<Explanation> races_, out_;
  bool left_out_ = false;
};

}  // namespace

std::vector<Explanation> explain(const RunRecord& run, const ExplainOptions& options) {
  std::vector<Explanation> out;
  for (const auto& arm : arms_of(run.findings)) {
    auto answers = Arm(run, options, arm).explain();
    std::move(answers.begin(), answers.end(), std::back_inserter(out));
  }
  return out;
}

}  // namespace greta::probes
