// GGUF, the model container of llama.cpp: versions 2 and 3, read over mmap, every offset and size checked
// before use. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md The container is shared by
// engine and reference; what the bytes of a tensor mean (dequantisation) is not: each has its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace greta {

// ggml's numbering. Only these are accepted; another one is an error that names it.
enum class GgmlType : uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q8_0 = 8,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  BF16 = 30
};

struct GgmlTypeInfo {
  std::string_view name;
  int64_t block_values;  // values per block (1 for F32, F16, BF16)
  int64_t block_bytes;
};
const GgmlTypeInfo& info(GgmlType);
std::optional<GgmlType> ggml_type_from(uint32_t number);

// Arrays of integers and floats are widened; the GGUF type tag is kept for `inspect` and for rewriting.
struct GgufArray {
  uint32_t element_type = 0;
  std::variant<std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>, std::vector<bool>,
               std::vector<std::string>>
      values;
  size_t size() const;
};
struct GgufValue {
  uint32_t type = 0;  // GGUF value type, 0 (u8) to 12 (f64)
  std::variant<int64_t, uint64_t, double, bool, std::string, GgufArray> value;
};

// ne[0] is the fastest axis: a weight of ne = [in, out] is `out` rows of `in` values.
struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::F32;
  std::vector<uint64_t> ne;
  std::span<const std::byte> data;  // inside the mapped file

  int64_t columns() const { return static_cast<int64_t>(ne.empty() ? 1 : ne[0]); }
  int64_t rows() const;  // product of the other axes
  int64_t row_bytes() const;
  std::span<const std::byte> row(int64_t index) const {
    return data.subspan(index * row_bytes(), row_bytes());
  }
};

class GgufFile {
 public:
  // Errors (bad_input): no such file, a directory, truncated (which section), wrong magic, version, offsets,
  // shapes, types.
  static GgufFile open(const std::string& path);
  // The same over bytes that someone else keeps alive (tests, fuzzing).
  static GgufFile parse(std::span<const std::byte> bytes, std::string name);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  uint64_t file_bytes() const { return bytes_.size(); }
  // XXH3-64 of the whole file, 16 hex digits; computed at the first call.
  std::string digest() const;

  const std::map<std::string, GgufValue, std::less<>>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find(std::string_view name) const;    // nullptr when absent
  const GgufTensor& tensor(std::string_view name) const;  // Error (bad_input) naming it when absent

  // Typed metadata. The first throws (bad_input) when the key is absent or of another type; the second
  // returns `otherwise` when absent. Integers of any width convert when the value fits.
  bool has(std::string_view key) const;
  uint32_t u32(std::string_view key) const;
  uint32_t u32_or(std::string_view key, uint32_t otherwise) const;
  float f32(std::string_view key) const;
  float f32_or(std::string_view key, float otherwise) const;
  bool boolean_or(std::string_view key, bool otherwise) const;
  const std::string& text(std::string_view key) const;
  std::string text_or(std::string_view key, std::string otherwise) const;
  std::vector<std::string> texts(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;  // any numeric array

 private:
  std::string path_;
  std::shared_ptr<const void> mapping_;
  std::span<const std::byte> bytes_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<GgufTensor> tensors_;
  mutable std::string digest_;
};

}  // namespace greta
