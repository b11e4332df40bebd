#include "reference/hypotheses/catalogue.hpp"

#include <array>

namespace greta::reference {

const Hypothesis* hypothesis_of(const Cause& cause) {
  const std::array all = {unpacking_hypotheses(),  product_hypotheses(), rope_hypotheses(),
                          attention_hypotheses(),  cache_hypotheses(),   norm_hypotheses(),
                          elementwise_hypotheses()};
  const auto text = cause.text();
  for (const auto& subject : all)
    for (const auto& hypothesis : subject)
      if (hypothesis.cause == text) return &hypothesis;
  return nullptr;
}

}  // namespace greta::reference
