#include "cli/arm_models.hpp"

#include "cli/model_cache.hpp"
#include "datasets/error.hpp"

namespace greta::cli {

std::map<std::string, std::string> arm_models(const suites::Suite& suite, const Given& given,
                                              const std::function<void(const std::string&)>& on_make) {
  std::map<std::string, std::string> out;
  for (const auto& arm : suite.arms) {
    if (!arm.own_model()) continue;
    check_model_name(suite.model);
    if (!is_preset(suite.model))
      fail_usage(
          "arm '{}' is for a preset in {}; '{}' is a file, with one quantisation and no seed: choose a suite "
          "without a [matrix], or a preset",
          arm.name, arm.quant.empty() ? "another seed" : arm.quant, suite.model);
    for (const char* flag : {"quant", "seed"})
      if (given.has(flag))
        fail_usage(
            "--{} would override what the suite's arms have of their own ('{}'); leave it out, and narrow "
            "the "
            "run with --only",
            flag, arm.name);
    out[arm.name] =
        cached_preset(suite.model, arm.quant.empty() ? suite.quant : arm.quant, arm.seed.value_or(suite.seed),
                      cache_directory(given.text("cache")), on_make);
  }
  return out;
}

}  // namespace greta::cli
