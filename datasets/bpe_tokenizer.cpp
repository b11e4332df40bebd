// Byte-level BPE ("gpt2"): Sennrich et al. 2016 over GPT-2's byte alphabet, with Llama-3's pre-tokenizer.
#include <array>

#include "datasets/byte_alphabet.hpp"
#include "datasets/error.hpp"
#include "datasets/gguf_names.hpp"
#include "datasets/merge_symbols.hpp"
#include "datasets/pre_tokenizer.hpp"
#include "datasets/vocabulary_tokenizer.hpp"

namespace greta {
namespace {

class BpeTokenizer : public VocabularyTokenizer {
 public:
  explicit BpeTokenizer(VocabularyData given) : VocabularyTokenizer(std::move(given)) {
    if (data().pre != "llama-bpe" && data().pre != "llama3" && data().pre != "llama-v3") {
      fail_input("{}: unknown pre-tokenizer '{}' (tokenizer.ggml.pre); only 'llama-bpe' is supported",
                 data().name, printable(data().pre));
    }
    // Texts that a control token shares with another are the other's.
    for (const bool text : {false, true}) {
      for (size_t id = 0; id < data().tokens.size(); ++id) {
        if (is_text(id) == text) ids_[data().tokens[id]] = static_cast<int32_t>(id);
      }
    }
    for (int byte = 0; byte < 256; ++byte) {
      const auto token = ids_.find(alphabet_text(static_cast<uint8_t>(byte)));
      byte_ids_[byte] = token == ids_.end() ? -1 : token->second;
    }
    for (size_t rank = 0; rank < data().merges.size(); ++rank) add_merge(rank);
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      const TokenType type = checked_type(id);
      const std::string& text = data().tokens[id];
      bytes += type == TokenType::normal || type == TokenType::byte ? from_alphabet(text) : text;
    }
    return bytes;
  }

 protected:
  void encode_text(std::string_view text, bool, std::vector<int32_t>& ids) const override {
    for (const std::string_view piece : split_llama_bpe(text)) encode_piece(piece, ids);
  }

 private:
  static uint64_t pair_key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }

  void add_merge(size_t rank) {
    const std::string& merge = data().merges[rank];
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos)
      fail_input("{}: merge {} ('{}') is not two tokens", data().name, rank, printable(merge));
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    const auto id = [&](const std::string& text) {
      const auto token = ids_.find(text);
      if (token != ids_.end()) return token->second;
      fail_input("{}: merge {} ('{}') needs the token '{}', which is not there", data().name, rank,
                 printable(merge), printable(text));
    };
    const Merge result{static_cast<double>(rank), id(left + right)};
    merges_.try_emplace(pair_key(id(left), id(right)), result);
  }

  void encode_piece(std::string_view piece, std::vector<int32_t>& ids) const {
    // Llama-3 takes a pre-token that is a token as it is, whatever the merges would give (ignore_merges).
    const auto whole = ids_.find(to_alphabet(piece));
    if (whole != ids_.end() && is_text(whole->second)) {
      ids.push_back(whole->second);
      return;
    }
    std::vector<Symbol> symbols;
    symbols.reserve(piece.size());
    for (size_t i = 0; i < piece.size(); ++i) {
      const auto byte = static_cast<uint8_t>(piece[i]);
      if (byte_ids_[byte] < 0) fail_input("{}: no token for the byte 0x{:02X}", data().name, byte);
      symbols.push_back({i, 1, byte_ids_[byte]});
    }
    const auto find = [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
      const auto merge = merges_.find(pair_key(left.id, right.id));
      if (merge == merges_.end()) return std::nullopt;
      return merge->second;
    };
    for (const Symbol& symbol : merge_symbols(symbols, find)) ids.push_back(symbol.id);
  }

  TextIds ids_;
  std::array<int32_t, 256> byte_ids_{};
  std::unordered_map<uint64_t, Merge> merges_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(VocabularyData data) {
  return std::make_unique<BpeTokenizer>(std::move(data));
}

}  // namespace greta
