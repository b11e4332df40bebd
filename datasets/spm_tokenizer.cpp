// SentencePiece's BPE ("llama"; Kudo and Richardson 2018): characters merge into the token with the highest
// score, a character that is no token becomes its bytes (<0xXX>), and a space is written U+2581.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "datasets/error.hpp"
#include "datasets/merge_symbols.hpp"
#include "datasets/utf8.hpp"
#include "datasets/vocabulary_tokenizer.hpp"

namespace greta {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find(from, at), text.size());
    result.append(text.substr(at, next - at));
    if (next == text.size()) break;
    result.append(to);
    at = next + from.size();
  }
  return result;
}

class SpmTokenizer : public VocabularyTokenizer {
 public:
  explicit SpmTokenizer(VocabularyData given) : VocabularyTokenizer(std::move(given)) {
    if (data().scores.empty())
      fail_input("{}: a 'llama' vocabulary needs scores (tokenizer.ggml.scores)", data().name);
    byte_of_.assign(data().tokens.size(), -1);
    for (size_t id = 0; id < data().tokens.size(); ++id) {
      if (std::isnan(data().scores[id]))
        fail_input("{}: the score of token {} is not a number", data().name, id);
      if (is_text(id) && data().type(id) != TokenType::byte)
        ids_[data().tokens[id]] = static_cast<int32_t>(id);
    }
    find_byte_tokens();
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text, run;
    // Undoes what encode_text did to the text between two special tokens.
    const auto end_run = [&] {
      run = replaced(run, kSpace, " ");
      if (data().add_space_prefix && run.starts_with(' ')) run.erase(0, 1);
      text += run;
      run.clear();
    };
    for (const int32_t id : ids) {
      const TokenType type = checked_type(id);
      if (!is_text(id) || type == TokenType::user_defined) {
        end_run();
        text += data().tokens[id];
      } else if (byte_of_[id] >= 0) {
        run.push_back(static_cast<char>(byte_of_[id]));
      } else {
        run += data().tokens[id];
      }
    }
    end_run();
    return text;
  }

 protected:
  void encode_text(std::string_view raw, bool first, std::vector<int32_t>& ids) const override {
    std::string text(first && data().add_space_prefix ? kSpace : "");
    text += replaced(raw, " ", kSpace);
    const std::string_view view = text;
    std::vector<Symbol> symbols;
    for (size_t at = 0; at < view.size(); at += symbols.back().length) {
      const auto bytes = static_cast<size_t>(first_character(view.substr(at)).bytes);
      symbols.push_back({at, bytes, find(view.substr(at, bytes))});
    }
    const auto merge = [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
      const int32_t id = find(view.substr(left.begin, left.length + right.length));
      if (id < 0) return std::nullopt;
      return Merge{-data().scores[id], id};
    };
    for (const Symbol& symbol : merge_symbols(symbols, merge)) {
      if (symbol.id >= 0) {
        ids.push_back(symbol.id);
      } else {
        add_bytes(view.substr(symbol.begin, symbol.length), ids);
      }
    }
  }

 private:
  void find_byte_tokens() {
    TextIds byte_named;
    for (size_t id = 0; id < data().tokens.size(); ++id) {
      if (data().types.empty() || data().type(id) == TokenType::byte) {
        byte_named[data().tokens[id]] = static_cast<int32_t>(id);
      }
    }
    bool all = true;
    for (int byte = 0; byte < 256; ++byte) {
      const auto token = byte_named.find(fmt::format("<0x{:02X}>", byte));
      byte_ids_[byte] = token == byte_named.end() ? -1 : token->second;
      all = all && byte_ids_[byte] >= 0;
      if (byte_ids_[byte] >= 0) byte_of_[byte_ids_[byte]] = byte;
    }
    if (!all && !data().unknown) {
      fail_input("{}: has neither all 256 byte tokens (<0x00> to <0xFF>) nor an unknown token", data().name);
    }
  }

  int32_t find(std::string_view text) const {
    const auto token = ids_.find(text);
    return token == ids_.end() ? -1 : token->second;
  }

  // A character that is no token: its bytes, or one unknown token where a byte has none.
  void add_bytes(std::string_view character, std::vector<int32_t>& ids) const {
    const size_t before = ids.size();
    for (const char byte : character) {
      const int32_t id = byte_ids_[static_cast<uint8_t>(byte)];
      if (id < 0) {
        ids.resize(before);
        ids.push_back(*data().unknown);
        return;
      }
      ids.push_back(id);
    }
  }

  TextIds ids_;
  std::array<int32_t, 256> byte_ids_{};
  std::vector<int> byte_of_;  // by id; -1: not a byte token
};

}  // namespace

std::unique_ptr<Tokenizer> make_spm_tokenizer(VocabularyData data) {
  return std::make_unique<SpmTokenizer>(std::move(data));
}

}  // namespace greta
