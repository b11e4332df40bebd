#include "probes/chunks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <tuple>

namespace greta::probes {
namespace {

constexpr std::string_view kStem = "chunk";

bool number(std::string_view text, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0;
}

std::string without_chain(std::string_view contract) {
  std::string out(contract);
  const auto at = out.find(" chain=");
  if (at == std::string::npos) return out;
  const auto end = out.find(' ', at + 1);
  return out.erase(at, end == std::string::npos ? end : end - at);
}

// embed, the layers, final_norm and logits.
auto order_of(int layer, Stage stage) {
  const bool behind = layer < 0 && stage != Stage::embed;
  return std::tuple(behind ? std::numeric_limits<int>::max() : layer, static_cast<int>(stage));
}

std::optional<Departure> departure_at(const Phase& whole, const Phase& chunk, int layer, Stage stage) {
  const auto kernel = whole.kernel(layer, stage), own = chunk.kernel(layer, stage);
  if (kernel != own) return Departure{layer, stage, own, kernel};
  const auto contract = whole.contract(layer, stage), other = chunk.contract(layer, stage);
  if (!same_for_a_row(stage, contract, other)) return Departure{layer, stage, other, contract};
  return std::nullopt;
}

}  // namespace

std::string ChunkCall::name() const { return fmt::format("{}{}_{}", kStem, size, index); }

std::vector<ChunkCall> chunk_calls(int64_t tokens, int64_t size) {
  std::vector<ChunkCall> out;
  if (size < tokens)
    for (int64_t index = 0; index * size < tokens; ++index) out.push_back({size, index});
  return out;
}

std::optional<ChunkCall> parse_chunk(std::string_view phase) {
  if (!phase.starts_with(kStem)) return std::nullopt;
  const auto rest = phase.substr(kStem.size());
  const auto line = rest.find('_');
  ChunkCall out;
  if (line == std::string_view::npos || !number(rest.substr(0, line), out.size) ||
      !number(rest.substr(line + 1), out.index))
    return std::nullopt;
  return out;
}

std::vector<const Phase*> chunk_phases(const Evidence& evidence, int64_t tokens, int64_t size) {
  std::vector<const Phase*> out;
  for (const auto& call : chunk_calls(tokens, size)) out.push_back(&evidence.phase(call.name()));
  return out;
}

bool same_for_a_row(Stage stage, std::string_view contract, std::string_view other) {
  if (contract == other) return true;
  const bool over_positions = stage == Stage::softmax || stage == Stage::pv;
  return over_positions && without_chain(contract) == without_chain(other);
}

bool before(int layer, Stage stage, const Departure& departure) {
  return order_of(layer, stage) < order_of(departure.layer, departure.stage);
}

std::optional<Departure> departure_of(const Phase& whole, const std::vector<const Phase*>& chunks,
                                      int64_t layers) {
  std::optional<Departure> first;
  const auto look = [&](int layer, Stage stage) {
    for (const Phase* chunk : chunks)
      if (!first) first = departure_at(whole, *chunk, layer, stage);
  };
  look(-1, Stage::embed);
  for (int layer = 0; layer < layers && !first; ++layer)
    for (const auto& row : stages())
      if (row.per_layer) look(layer, row.stage);
  for (const Stage stage : {Stage::final_norm, Stage::logits}) look(-1, stage);
  return first;
}

}  // namespace greta::probes
