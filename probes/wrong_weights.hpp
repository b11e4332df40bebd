// The weights that an engine holds wrongly, as it holds them: what reads such a weight is judged by it.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "probes/evidence.hpp"

namespace greta::probes {

class WrongWeights {
 public:
  // `read`: the engine's view of a weight; throws Missing.
  WrongWeights(std::set<std::string> names, std::function<Tap(const std::string& gguf_name)> read)
      : names_(std::move(names)), read_(std::move(read)) {}

  bool contains(const std::string& gguf_name) const { return names_.contains(gguf_name); }
  // For reference::local; not for two threads at once. Valid as long as this is. Keeps the last view alone:
  // of an 8B model one is up to 2 GB.
  reference::OwnWeights views() const;

 private:
  std::set<std::string> names_;
  std::function<Tap(const std::string&)> read_;
  mutable std::string last_name_;
  mutable TensorPtr last_;
};

}  // namespace greta::probes
