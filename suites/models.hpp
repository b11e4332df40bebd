// The models that a run's arms run: one for all of them, or, in a matrix over quantisations and seeds,
// several. Every file is opened before anything runs; the reference of one at a time holds weights.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "datasets/gguf.hpp"
#include "datasets/prompts.hpp"
#include "reference/reference.hpp"
#include "suites/runner.hpp"

namespace greta::suites {

class Models {
 public:
  // Errors: a file that cannot be read or is no Llama; (usage) models of other sizes, or with a tokenizer
  // that makes other tokens of a prompt: the arms of a run are asked the same.
  Models(const Suite& suite, const RunOptions& options);

  const GgufFile& file(const std::string& arm) const { return open_.at(path_.at(arm)); }
  // The same to all who hold it at once; from any thread.
  std::shared_ptr<const reference::Model> reference(const std::string& arm);
  const reference::Config& config() const { return config_; }      // but for the weights they are all alike
  const std::vector<Prompt>& prompts() const { return prompts_; }  // in every model the same tokens
  std::map<std::string, std::string> digests() const;              // by arm
  // For the reports: empty unless an arm has a model of its own.
  std::vector<reports::ArmModel> listed(const Suite& suite) const;

 private:
  void add(const Suite& suite, const std::string& path);

  std::map<std::string, std::string> path_;  // of each arm
  std::map<std::string, GgufFile> open_;     // by path
  std::string first_;                        // path
  reference::Config config_;
  std::vector<Prompt> prompts_;
  std::mutex mutex_;
  std::shared_ptr<const reference::Model> first_model_;                // until it is asked for
  std::map<std::string, std::weak_ptr<const reference::Model>> held_;  // by path
};

}  // namespace greta::suites
