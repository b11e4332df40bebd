#include "datasets/bpe_vocabulary.hpp"

#include <fmt/format.h>

#include <array>
#include <map>
#include <queue>
#include <set>
#include <tuple>
#include <unordered_map>

#include "datasets/byte_alphabet.hpp"
#include "datasets/error.hpp"
#include "datasets/pre_tokenizer.hpp"

namespace greta {
namespace {

constexpr int32_t kNormal = 1, kControl = 3, kUnused = 5;
constexpr std::array<std::string_view, 5> kSpecial = {
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"};

using Pair = std::pair<int32_t, int32_t>;

struct Word {
  std::vector<int32_t> symbols;
  int64_t count = 0;
};

class Trainer {
 public:
  explicit Trainer(std::string_view text) : queue_(Weaker{&bytes_}) {
    std::array<int32_t, 256> id_of_byte{};
    for (const uint8_t byte : alphabet_order()) {
      id_of_byte[byte] = static_cast<int32_t>(bytes_.size());
      add_token(std::string(1, static_cast<char>(byte)));
    }
    std::map<std::string_view, int64_t> counts;
    for (const std::string_view piece : split_llama_bpe(text)) ++counts[piece];
    for (const auto& [piece, count] : counts) {
      Word& word = words_.emplace_back(Word{{}, count});
      for (const char byte : piece) word.symbols.push_back(id_of_byte[static_cast<uint8_t>(byte)]);
      count_pairs(words_.size() - 1, +1);
    }
    announce_changes();
  }

  // Merges until there are `tokens` tokens or every word is one token.
  void train(size_t tokens) {
    while (bytes_.size() < tokens && !queue_.empty()) {
      const Candidate best = queue_.top();
      queue_.pop();
      if (stats_[best.pair].count != best.count) continue;  // an older count of this pair
      merge(best.pair);
    }
  }

  std::vector<std::string> tokens() const {
    std::vector<std::string> texts;
    for (const std::string& bytes : bytes_) texts.push_back(to_alphabet(bytes));
    return texts;
  }
  std::vector<std::string> merges() const { return merges_; }

 private:
  struct Candidate {
    int64_t count;
    Pair pair;
  };
  struct Weaker {
    const std::vector<std::string>* bytes;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.count != b.count) return a.count < b.count;
      const auto key = [&](const Candidate& c) {
        return std::tie((*bytes)[c.pair.first], (*bytes)[c.pair.second]);
      };
      return key(a) > key(b);
    }
  };
  struct Stat {
    int64_t count = 0;
    std::set<size_t> words;  // that hold, or once held, the pair
  };

  // Two merges may give one text ("ab"+"c", "a"+"bc"): it stays one token.
  int32_t add_token(const std::string& bytes) {
    const auto [place, added] = id_of_.try_emplace(bytes, static_cast<int32_t>(bytes_.size()));
    if (added) bytes_.push_back(bytes);
    return place->second;
  }

  void count_pairs(size_t index, int64_t sign) {
    const Word& word = words_[index];
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const Pair pair{word.symbols[i], word.symbols[i + 1]};
      Stat& stat = stats_[pair];
      stat.count += sign * word.count;
      if (sign > 0) stat.words.insert(index);
      changed_.insert(pair);
    }
  }

  void merge(const Pair& pair) {
    const int32_t merged = add_token(bytes_[pair.first] + bytes_[pair.second]);
    merges_.push_back(to_alphabet(bytes_[pair.first]) + " " + to_alphabet(bytes_[pair.second]));
    const std::set<size_t> holders = std::move(stats_[pair].words);
    for (const size_t index : holders) {
      count_pairs(index, -1);
      std::vector<int32_t>& symbols = words_[index].symbols;
      size_t kept = 0;
      for (size_t i = 0; i < symbols.size(); ++kept) {
        const bool here = i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second;
        symbols[kept] = here ? merged : symbols[i];
        i += here ? 2 : 1;
      }
      symbols.resize(kept);
      count_pairs(index, +1);
    }
    announce_changes();
  }

  void announce_changes() {
    for (const Pair& pair : changed_) {
      if (stats_[pair].count > 0) queue_.push({stats_[pair].count, pair});
    }
    changed_.clear();
  }

  std::vector<std::string> bytes_;  // of each token
  std::unordered_map<std::string, int32_t> id_of_;
  std::vector<std::string> merges_;
  std::vector<Word> words_;
  std::map<Pair, Stat> stats_;
  std::set<Pair> changed_;
  std::priority_queue<Candidate, std::vector<Candidate>, Weaker> queue_;
};

}  // namespace

BpeVocabulary make_bpe_vocabulary(int32_t size) {
  constexpr int32_t kSmallest = 256 + static_cast<int32_t>(kSpecial.size());
  if (size < kSmallest || size > 1 << 24) {
    fail_usage("a byte-level vocabulary of {} tokens cannot be made; ask for {} to {}", size, kSmallest,
               1 << 24);
  }
  Trainer trainer(bpe_corpus());
  trainer.train(size - kSpecial.size());

  BpeVocabulary vocabulary;
  vocabulary.tokens = trainer.tokens();
  vocabulary.merges = trainer.merges();
  vocabulary.types.assign(vocabulary.tokens.size(), kNormal);
  for (int32_t n = 0; vocabulary.tokens.size() + kSpecial.size() < static_cast<size_t>(size); ++n) {
    vocabulary.tokens.push_back(fmt::format("<|reserved_special_token_{}|>", n));
    vocabulary.types.push_back(kUnused);
  }
  for (const std::string_view special : kSpecial) {
    vocabulary.tokens.emplace_back(special);
    vocabulary.types.push_back(kControl);
  }
  vocabulary.bos = size - 5;
  vocabulary.eos = size - 4;
  vocabulary.eot = size - 1;
  return vocabulary;
}

}  // namespace greta
