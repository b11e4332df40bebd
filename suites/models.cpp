#include "suites/models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "datasets/error.hpp"

namespace greta::suites {
namespace {

std::vector<Prompt> load_prompts(const Suite& suite, const GgufFile& file) {
  const auto tokenizer = Tokenizer::from(file);
  std::vector<Prompt> prompts;
  std::set<std::string> ids;
  for (const auto& spec : suite.prompts) {
    prompts.push_back(load_prompt(spec, *tokenizer, suite.seed));
    if (!ids.insert(prompts.back().id).second)
      fail_usage("two prompts have the id '{}' (the second is {}); name each once", prompts.back().id, spec);
  }
  return prompts;
}

bool same_sizes(const reference::Config& a, const reference::Config& b) {
  const auto sizes = [](const reference::Config& c) {
    return std::tuple(c.layers, c.embedding, c.heads, c.kv_heads, c.head_dim, c.feed_forward, c.vocabulary,
                      c.context, c.tied_output);
  };
  return sizes(a) == sizes(b);
}

}  // namespace

Models::Models(const Suite& suite, const RunOptions& options) {
  for (const auto& arm : suite.arms) {
    const auto own = options.arm_models.find(arm.name);
    path_[arm.name] = own == options.arm_models.end() ? options.model_path : own->second;
    if (!open_.contains(path_[arm.name])) add(suite, path_[arm.name]);
  }
}

void Models::add(const Suite& suite, const std::string& path) {
  const GgufFile& file = open_.emplace(path, GgufFile::open(path)).first->second;
  auto model = std::make_shared<const reference::Model>(file);
  auto prompts = load_prompts(suite, file);
  if (first_.empty()) {
    first_ = path;
    config_ = model->config();
    prompts_ = std::move(prompts);
    first_model_ = std::move(model);
    return;
  }
  if (!same_sizes(config_, model->config()))
    fail_usage("the arms of a run need models of one size; {} has other sizes than {}", path, first_);
  for (size_t i = 0; i < prompts_.size(); ++i)
    if (prompts[i].tokens != prompts_[i].tokens)
      fail_usage(
          "prompt {} has {} tokens in {} and others ({}) in {}; give it as tokens:1,2,3, so that all arms "
          "are "
          "asked the same",
          prompts_[i].id, prompts_[i].tokens.size(), first_, prompts[i].tokens.size(), path);
}

std::shared_ptr<const reference::Model> Models::reference(const std::string& arm) {
  const std::string& path = path_.at(arm);
  const std::lock_guard lock(mutex_);
  auto model = held_[path].lock();
  if (!model && path == first_) model = std::move(first_model_);
  if (!model) model = std::make_shared<const reference::Model>(open_.at(path));
  held_[path] = model;
  return model;
}

std::map<std::string, std::string> Models::digests() const {
  std::map<std::string, std::string> out;
  for (const auto& [arm, path] : path_) out[arm] = open_.at(path).digest();
  return out;
}

std::vector<reports::ArmModel> Models::listed(const Suite& suite) const {
  std::vector<reports::ArmModel> out;
  if (std::none_of(suite.arms.begin(), suite.arms.end(), [](const Arm& arm) { return arm.own_model(); }))
    return out;
  for (const auto& arm : suite.arms) {
    const std::string& path = path_.at(arm.name);
    out.push_back({.arm = arm.name,
                   .path = path,
                   .digest = open_.at(path).digest(),
                   .quant = arm.quant.empty() ? suite.quant : arm.quant,
                   .seed = arm.seed.value_or(suite.seed)});
  }
  return out;
}

}  // namespace greta::suites
