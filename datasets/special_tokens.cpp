#include "datasets/special_tokens.hpp"

#include <algorithm>
#include <tuple>

namespace greta {

SpecialTokens::SpecialTokens(const VocabularyData& vocabulary) {
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const TokenType type = vocabulary.type(id);
    const bool always = type == TokenType::user_defined;
    const std::string& text = vocabulary.tokens[id];
    if (text.empty() || !(always || type == TokenType::control || type == TokenType::unknown)) continue;
    tokens_[text] = {static_cast<int32_t>(id), always};
    std::vector<size_t>& lengths = lengths_[static_cast<unsigned char>(text[0])];
    if (std::find(lengths.begin(), lengths.end(), text.size()) == lengths.end())
      lengths.push_back(text.size());
  }
}

std::vector<Fragment> SpecialTokens::split(std::string_view text, bool control) const {
  struct Found {
    size_t begin, length;
    int32_t id;
  };
  std::vector<Found> found;
  std::string key;
  for (size_t at = 0; at < text.size(); ++at) {
    for (const size_t length : lengths_[static_cast<unsigned char>(text[at])]) {
      if (length > text.size() - at) continue;
      const auto token = tokens_.find(key.assign(text.substr(at, length)));
      if (token == tokens_.end() || !(control || token->second.always)) continue;
      found.push_back({at, length, token->second.id});
    }
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tie(b.length, a.id, a.begin) < std::tie(a.length, b.id, b.begin);
  });
  std::vector<bool> taken(text.size());
  std::erase_if(found, [&](const Found& token) {
    // Whatever was taken before is at least as long, so an overlap covers one of the ends.
    if (taken[token.begin] || taken[token.begin + token.length - 1]) return true;
    std::fill_n(taken.begin() + token.begin, token.length, true);
    return false;
  });
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.begin < b.begin; });

  std::vector<Fragment> fragments;
  size_t at = 0;
  const auto add_text = [&](size_t end) {
    if (end > at) fragments.push_back({text.substr(at, end - at), -1});
  };
  for (const Found& token : found) {
    add_text(token.begin);
    fragments.push_back({text.substr(token.begin, token.length), token.id});
    at = token.begin + token.length;
  }
  add_text(text.size());
  return fragments;
}

}  // namespace greta
