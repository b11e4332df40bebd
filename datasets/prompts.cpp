#include "datasets/prompts.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostBytes = size_t{64} << 20;  // far beyond any context: a larger "prompt" is a mistake

constexpr int64_t kMostRandom = int64_t{1} << 24;  // the longest context that a model is made with

constexpr std::string_view kSystemAndUser =
    "<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant. Answer in one short "
    "sentence.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWhat is the capital of Argentina?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n";

constexpr std::string_view kLong =
    "When a language model answers slowly, people notice at once; when it answers wrongly, they may not "
    "notice for "
    "weeks. The engine reads the weights, multiplies matrices and keeps what it has computed in a cache, and "
    "each of "
    "these steps can be almost right. A layout that is read by columns instead of by rows still gives "
    "numbers of the "
    "right size. A sum that is kept in half precision drifts, layer after layer, until the last layer "
    "chooses another "
    "word.\n\n"
    "So we compare every stage with a second computation that was written by other hands. We do it while the "
    "prompt is "
    "read and again while the answer is written, one token at a time. We don't ask whether two numbers look "
    "alike; we "
    "ask whether their difference is larger than the arithmetic allows. If it is, the first stage that fails "
    "tells us "
    "where to look.\n\n"
    "In 2024 a team spent 40 days on one such bug.";

constexpr std::array<BuiltinPrompt, 4> kBuiltins = {{
    {"p0_short", "Hi", "the shortest: one word"},
    {"p4_sys", kSystemAndUser, "a system and a user turn with Llama-3's special tokens"},
    {"p5_ba", "Buenos Aires is the capital of Argentina, and its harbour lies on the Río de la Plata.",
     "one sentence on Buenos Aires"},
    {"p6_long", kLong, "plain text of at least 200 tokens"},
}};

std::vector<int32_t> encode_text(std::string_view text, std::string_view what, const Tokenizer& tokenizer) {
  if (text.empty()) fail_input("{} is empty; a prompt needs at least one character", what);
  return tokenizer.encode(text);
}

std::string read_file(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) fail_input("prompt file '{}' is a directory", path);
  std::ifstream file(path, std::ios::binary);
  if (!file)
    fail_input("prompt file '{}' cannot be opened: {}", path, std::generic_category().message(errno));
  std::string text;
  std::array<char, 65536> block;
  while (file.read(block.data(), block.size()), file.gcount() > 0) {
    text.append(block.data(), static_cast<size_t>(file.gcount()));
    if (text.size() > kMostBytes)
      fail_input("prompt file '{}' is larger than {} MiB", path, kMostBytes >> 20);
  }
  if (file.bad()) fail_input("prompt file '{}' cannot be read to its end", path);
  return text;
}

Prompt from_file(const std::string& path, const Tokenizer& tokenizer) {
  if (path.empty()) fail_usage("'file:' needs a path behind it");
  Prompt prompt{fs::path(path).stem().string(), read_file(path), {}};
  prompt.tokens = encode_text(prompt.text, fmt::format("prompt file '{}'", path), tokenizer);
  return prompt;
}

std::string short_digest(const void* bytes, size_t count) {
  return fmt::format("{:08x}", static_cast<uint32_t>(XXH3_64bits(bytes, count)));
}

Prompt from_tokens(std::string_view list, const Tokenizer& tokenizer) {
  if (list.empty()) fail_input("prompt 'tokens:' is empty; it needs at least one token id");
  Prompt prompt;
  const char* at = list.data();
  const char* const end = at + list.size();
  while (true) {
    int64_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error == std::errc::invalid_argument || (next != end && *next != ',')) {
      fail_usage("prompt 'tokens:{}' is not a list of token ids; write for example tokens:1,15043,29991",
                 list);
    }
    if (error == std::errc::result_out_of_range || id < 0 || id >= tokenizer.size()) {
      fail_input("token id {} of the prompt is outside the vocabulary of {} tokens",
                 std::string_view(at, next - at), tokenizer.size());
    }
    prompt.tokens.push_back(static_cast<int32_t>(id));
    if (next == end) break;
    at = next + 1;
  }
  prompt.id = "tokens-" + short_digest(prompt.tokens.data(), prompt.tokens.size() * sizeof(int32_t));
  return prompt;
}

// Steele, Lea and Flood's SplitMix64: <random>'s distributions differ from library to library.
uint64_t next_random(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

Prompt from_seed(std::string_view count, const Tokenizer& tokenizer, uint64_t seed) {
  int64_t tokens = 0;
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), tokens);
  if (error != std::errc() || end != count.data() + count.size() || tokens < 1 || tokens > kMostRandom)
    fail_usage("prompt 'random:{}' is no number of tokens from 1 to {}; write for example random:511", count,
               kMostRandom);
  Prompt prompt{fmt::format("random-{}", tokens), {}, {}};
  for (int64_t i = 0; i < tokens; ++i)
    prompt.tokens.push_back(
        static_cast<int32_t>(next_random(seed) % static_cast<uint64_t>(tokenizer.size())));
  return prompt;
}

}  // namespace

std::span<const BuiltinPrompt> builtin_prompts() { return kBuiltins; }

Prompt load_prompt(std::string_view spec, const Tokenizer& tokenizer, uint64_t seed) {
  const auto behind = [&](std::string_view scheme) { return spec.substr(scheme.size()); };
  if (spec.starts_with("tokens:")) return from_tokens(behind("tokens:"), tokenizer);
  if (spec.starts_with("random:")) return from_seed(behind("random:"), tokenizer, seed);
  if (spec.starts_with("text:")) {
    const std::string text(behind("text:"));
    const std::vector<int32_t> ids = encode_text(text, "prompt 'text:'", tokenizer);
    return {"text-" + short_digest(text.data(), text.size()), text, ids};
  }
  if (spec.starts_with("file:")) return from_file(std::string(behind("file:")), tokenizer);
  if (spec.find('/') != std::string_view::npos) return from_file(std::string(spec), tokenizer);

  std::vector<std::string> known;
  for (const BuiltinPrompt& builtin : kBuiltins) {
    if (builtin.id == spec) {
      return {std::string(builtin.id), std::string(builtin.text), encode_text(builtin.text, spec, tokenizer)};
    }
    known.emplace_back(builtin.id);
  }
  fail_usage("{}; a file is given as file:PATH, literal text as text:WORDS, N random tokens as random:N",
             unknown_name("prompt", spec, known));
}

}  // namespace greta
