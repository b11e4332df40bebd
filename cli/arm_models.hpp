// The model files of arms that have a quantisation or a seed of their own.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "cli/options.hpp"
#include "suites/suite.hpp"

namespace greta::cli {

// By arm, made first where they are not there (`on_make` as in cached_preset). Error (usage): such arms on a
// model that is a file, or beside --quant or --seed, which would say otherwise.
std::map<std::string, std::string> arm_models(const suites::Suite& suite, const Given& given,
                                              const std::function<void(const std::string& path)>& on_make);

}  // namespace greta::cli
