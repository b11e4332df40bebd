#include "probes/wrong_weights.hpp"

namespace greta::probes {

reference::OwnWeights WrongWeights::views() const {
  if (names_.empty()) return {};
  return [this](const std::string& name) -> TensorPtr {
    if (!contains(name)) return nullptr;
    if (name != last_name_) {
      last_ = nullptr;  // before the next one comes
      last_name_.clear();
      last_ = read_(name).tensor;
      last_name_ = name;
    }
    return last_;
  };
}

}  // namespace greta::probes
