// Names and texts of report.html, each embedded once and referred to by its number.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "datasets/message.hpp"
#include "reports/language.hpp"

namespace greta::reports {

// What is the same in every language: arms, stages, kernels.
class PageNames {
 public:
  int add(std::string_view name) {
    const auto [place, is_new] = numbers_.emplace(name, static_cast<int>(names_.size()));
    if (is_new) names_.push_back(name);
    return place->second;
  }
  const nlohmann::json& json() const { return names_; }  // an array

 private:
  std::map<std::string, int, std::less<>> numbers_;
  nlohmann::json names_ = nlohmann::json::array();
};

// Sentences, in every language of the page: an array [English, Spanish], or a string where they agree.
class PageTexts {
 public:
  int add(const Message& message) {
    return message.empty() ? -1 : add(in(Language::english, message), in(Language::spanish, message));
  }
  int add(std::string_view same) { return same.empty() ? -1 : add(std::string(same), std::string(same)); }
  const nlohmann::json& json() const { return texts_; }

 private:
  int add(const std::string& english, const std::string& spanish) {
    const auto [place, is_new] =
        numbers_.emplace(std::pair(english, spanish), static_cast<int>(texts_.size()));
    if (is_new)
      texts_.push_back(english == spanish ? nlohmann::json(english) : nlohmann::json({english, spanish}));
    return place->second;
  }
  std::map<std::pair<std::string, std::string>, int> numbers_;
  nlohmann::json texts_ = nlohmann::json::array();
};

}  // namespace greta::reports
