#include "engine/faults/fault.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::engine {
namespace {

struct Group {
  std::string_view name;
  std::vector<Stage> stages;
};
const std::vector<Group>& groups() {
  static const std::vector<Group> all = {
      {"gemm",
       {Stage::q, Stage::k, Stage::v, Stage::wo, Stage::ffn_gate, Stage::ffn_up, Stage::ffn_down,
        Stage::logits}},
      {"kv", {Stage::k_cache, Stage::v_cache}},
      {"norm", {Stage::attn_norm, Stage::ffn_norm, Stage::final_norm}},
      {"ffn", {Stage::ffn_gate, Stage::ffn_up, Stage::ffn_act, Stage::ffn_down}},
  };
  return all;
}

const std::vector<std::string> kWeightParts = {"token_embd", "attn_q", "attn_k",   "attn_v", "attn_output",
                                               "ffn_gate",   "ffn_up", "ffn_down", "output"};

int64_t number(std::string_view text, std::string_view all) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    fail_usage("fault '{}': '{}' is no number", all, text);
  return value;
}

bool has_heads(Stage stage) {
  const auto axes = info(stage).axes;
  return axes.find(",H,") != std::string_view::npos || axes.find(",Hkv,") != std::string_view::npos;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) { fault_.text = text; }

  Fault parse() {
    std::string_view rest = text_;
    if (const auto at = rest.find('@'); at != std::string_view::npos) {
      conditions_ = rest.substr(at + 1);
      rest = rest.substr(0, at);
    }
    const auto equals = rest.find('=');
    const auto dot = rest.rfind('.', equals);
    fault_.cause = &find_cause(dot == std::string_view::npos ? rest : rest.substr(dot + 1));
    if (dot != std::string_view::npos) scopes(rest.substr(0, dot));
    conditions();
    if (!fault_.cause->breaks_weights() && fault_.stages.empty())
      for (const auto& row : stages())
        if (fault_.cause->breaks(row.stage)) fault_.stages.push_back(row.stage);
    if (fault_.head)
      for (const Stage stage : fault_.stages)
        if (!has_heads(stage)) fail_usage("fault '{}': stage {} has no heads", text_, name_of(stage));
    return std::move(fault_);
  }

 private:
  void scopes(std::string_view list) {
    while (!list.empty()) {
      const auto dot = list.find('.');
      scope(list.substr(0, dot));
      list = dot == std::string_view::npos ? std::string_view() : list.substr(dot + 1);
    }
  }

  void scope(std::string_view name) {
    if (fault_.cause->stages.empty())
      fail_usage("fault '{}': {} is about the whole engine and takes no scope or condition", text_,
                 fault_.cause->text());
    if (name == "prefill" || name == "decode") {
      fault_.prefill = name == "prefill";
      return;
    }
    if (fault_.cause->breaks_weights()) {
      if (std::find(kWeightParts.begin(), kWeightParts.end(), name) == kWeightParts.end())
        fail_usage("fault '{}': {}", text_, unknown_name("weight", name, kWeightParts));
      fault_.weight = name;
      return;
    }
    for (const auto& group : groups()) {
      if (group.name != name) continue;
      for (const Stage stage : group.stages)
        if (fault_.cause->breaks(stage)) fault_.stages.push_back(stage);
      if (fault_.stages.empty())
        fail_usage("fault '{}': {} breaks {}, no stage of {}", text_, fault_.cause->text(),
                   fault_.cause->stages, name);
      return;
    }
    std::vector<std::string> known = {"prefill", "decode"};
    for (const auto& group : groups()) known.emplace_back(group.name);
    for (const auto& row : stages()) known.emplace_back(row.name);
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail_usage("fault '{}': {}", text_, unknown_name("scope", name, known));
    const Stage stage = parse_stage(name);
    if (!fault_.cause->breaks(stage))
      fail_usage("fault '{}': {} cannot break {}; it breaks {}", text_, fault_.cause->text(), name,
                 fault_.cause->stages);
    fault_.stages.push_back(stage);
  }

  void conditions() {
    if (!conditions_.empty() && fault_.cause->stages.empty()) scope(conditions_);
    while (!conditions_.empty()) {
      const auto at = conditions_.find('@');
      const auto condition = conditions_.substr(0, at);
      conditions_ = at == std::string_view::npos ? std::string_view() : conditions_.substr(at + 1);
      if (condition.starts_with("rows>"))
        fault_.rows_above = number(condition.substr(5), text_);
      else if (condition.starts_with("layer="))
        fault_.layer = static_cast<int>(number(condition.substr(6), text_));
      else if (condition.starts_with("head="))
        fault_.head = static_cast<int>(number(condition.substr(5), text_));
      else
        fail_usage("fault '{}': unknown condition '{}'; known: rows>N, layer=N, head=N", text_, condition);
    }
  }

  std::string_view text_, conditions_;
  Fault fault_;
};

}  // namespace

Fault Fault::parse(std::string_view text) { return Parser(text).parse(); }

bool Fault::strikes(const Site& site) const {
  return std::find(stages.begin(), stages.end(), site.stage) != stages.end() &&
         (!prefill || *prefill == (site.start == 0)) && (!layer || *layer == site.layer) &&
         site.S > rows_above;
}

bool Fault::strikes_weight(std::string_view name) const {
  if (!cause->breaks_weights()) return false;
  const auto in_name = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (layer && !name.starts_with(fmt::format("blk.{}.", *layer))) return false;
  if (weight == "output") return name == "output.weight";
  return weight.empty() || in_name(weight);
}

}  // namespace greta::engine
