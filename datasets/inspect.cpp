#include "datasets/inspect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "datasets/gguf_names.hpp"

namespace greta {
namespace {

constexpr size_t kShownItems = 4;   // of an array
constexpr size_t kShownBytes = 60;  // of a string

using Out = std::back_insert_iterator<std::string>;

std::string bytes_text(uint64_t bytes) {
  constexpr double kGiB = 1 << 30, kMiB = 1 << 20;
  const auto size = static_cast<double>(bytes);
  if (size >= kGiB) return fmt::format("{:.2f} GiB", size / kGiB);
  if (size >= kMiB) return fmt::format("{:.2f} MiB", size / kMiB);
  return fmt::format("{} bytes", bytes);
}

std::string item_text(const std::string& item) { return fmt::format("\"{}\"", printable(item, kShownBytes)); }
std::string item_text(bool item) { return item ? "true" : "false"; }
template <typename Number>
std::string item_text(const Number& item) {
  return fmt::format("{}", item);
}
std::string item_text(double item) {  // what was an f32 as its shortest: 1e-05, not 9.99999975e-06
  const auto single = static_cast<float>(item);
  return static_cast<double>(single) == item ? fmt::format("{}", single) : fmt::format("{}", item);
}

std::string item_text(const GgufArray& array) {
  return std::visit(
      [&](const auto& list) {
        using Item = typename std::decay_t<decltype(list)>::value_type;
        std::string text = "[";
        for (size_t i = 0; i < std::min(list.size(), kShownItems); ++i) {
          const Item item = list[i];
          text += (i ? ", " : "") + item_text(item);
        }
        return text + (list.size() > kShownItems ? ", …]" : "]");
      },
      array.values);
}

std::string type_text(const GgufValue& value) {
  if (const auto* array = std::get_if<GgufArray>(&value.value))
    return fmt::format("{}[{}]", gguf_value_name(array->element_type), array->size());
  return std::string(gguf_value_name(value.type));
}

void put_metadata(const GgufFile& file, Out out) {
  fmt::format_to(out, "\nmetadata ({} keys)\n", file.metadata().size());
  for (const auto& [key, value] : file.metadata())
    fmt::format_to(out, "  {:<42} {:<16} {}\n", printable(key), type_text(value),
                   std::visit([](const auto& item) { return item_text(item); }, value.value));
}

// A number of the configuration, or that it is missing: an inspection shows a broken model too.
std::string config_item(const GgufFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return "missing";
  return std::visit([](const auto& item) { return item_text(item); }, found->second.value);
}

void put_config(const GgufFile& file, Out out) {
  const auto found = file.metadata().find("general.architecture");
  const auto* architecture =
      found == file.metadata().end() ? nullptr : std::get_if<std::string>(&found->second.value);
  fmt::format_to(out, "\nconfig\n");
  if (!architecture || *architecture != "llama") {
    fmt::format_to(out, "  architecture '{}': greta runs 'llama' only\n",
                   architecture ? printable(*architecture) : "missing");
    return;
  }
  constexpr std::pair<const char*, const char*> kItems[] = {
      {"layers", "llama.block_count"},
      {"embedding", "llama.embedding_length"},
      {"heads", "llama.attention.head_count"},
      {"kv heads", "llama.attention.head_count_kv"},
      {"head dim", "llama.rope.dimension_count"},
      {"feed-forward", "llama.feed_forward_length"},
      {"vocabulary", "llama.vocab_size"},
      {"context", "llama.context_length"},
      {"RoPE base", "llama.rope.freq_base"},
      {"RMSNorm eps", "llama.attention.layer_norm_rms_epsilon"},
  };
  for (const auto& [name, key] : kItems) fmt::format_to(out, "  {:<14} {}\n", name, config_item(file, key));
  fmt::format_to(out, "  {:<14} {}\n", "output weight", file.find("output.weight") ? "separate" : "tied");
  fmt::format_to(out, "  {:<14} {}\n", "RoPE factors", file.find("rope_freqs.weight") ? "yes" : "no");
}

void put_tensors(const GgufFile& file, Out out) {
  fmt::format_to(out, "\ntensors ({})\n", file.tensors().size());
  for (const auto& tensor : file.tensors())
    fmt::format_to(out, "  {:<32} {:<5} {:<20} {:>14} bytes\n", printable(tensor.name),
                   info(tensor.type).name, fmt::format("[{}]", fmt::join(tensor.ne, ", ")),
                   tensor.data.size());
}

void put_types(const GgufFile& file, Out out) {
  struct Sum {
    uint64_t tensors = 0, values = 0, bytes = 0;
  };
  std::map<GgmlType, Sum> sums;
  Sum all;
  for (const auto& tensor : file.tensors())
    for (auto* sum : {&sums[tensor.type], &all}) {
      sum->tensors += 1;
      sum->values += static_cast<uint64_t>(tensor.rows() * tensor.columns());
      sum->bytes += tensor.data.size();
    }
  fmt::format_to(out, "\nsizes by type\n");
  const auto line = [&](std::string_view name, const Sum& sum) {
    const double bits =
        sum.values ? 8.0 * static_cast<double>(sum.bytes) / static_cast<double>(sum.values) : 0;
    fmt::format_to(out, "  {:<5} {:>5} tensors {:>14} values {:>14} bytes {:>6.3f} bits a value\n", name,
                   sum.tensors, sum.values, sum.bytes, bits);
  };
  for (const auto& [type, sum] : sums) line(info(type).name, sum);
  line("all", all);
}

}  // namespace

std::string inspect(const GgufFile& file) {
  std::string text;
  const Out out(text);
  fmt::format_to(out, "{}\n  GGUF version {}, alignment {}, {}, xxh3 {}\n", file.path(), file.version(),
                 file.alignment(), bytes_text(file.file_bytes()), file.digest());
  put_metadata(file, out);
  put_config(file, out);
  put_tensors(file, out);
  put_types(file, out);
  return text;
}

}  // namespace greta
