// For tests: a synthetic model in a file of its own, gone with the object.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "datasets/synthesise.hpp"
#include "reference/reference.hpp"

namespace greta::reference {

class TestModel {
 public:
  explicit TestModel(const SynthesisOptions& options)
      : path_(std::filesystem::temp_directory_path() /
              ("greta_reference_" + std::to_string(getpid()) + "_" + std::to_string(count()++) + ".gguf")) {
    synthesise(options, path_);
    model_ = std::make_unique<Model>(GgufFile::open(path_));
  }
  ~TestModel() { std::filesystem::remove(path_); }
  TestModel(const TestModel&) = delete;

  const Model& operator*() const { return *model_; }
  const Model* operator->() const { return model_.get(); }
  const std::string& path() const { return path_; }

 private:
  static int& count() {
    static int made = 0;
    return made;
  }
  std::string path_;
  std::unique_ptr<Model> model_;
};

}  // namespace greta::reference
