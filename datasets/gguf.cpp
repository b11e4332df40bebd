#include "datasets/gguf.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <limits>

#include "datasets/error.hpp"
#include "datasets/gguf_names.hpp"

namespace greta {
namespace {

[[noreturn]] void wrong_type(const GgufFile& file, std::string_view key, const GgufValue& value,
                             std::string_view wanted) {
  fail_input("{}: metadata '{}' is {} where {} is needed; this is not a model that greta can use",
             file.path(), printable(key), gguf_value_name(value.type), wanted);
}

const GgufValue& required(const GgufFile& file, std::string_view key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    fail_input("{}: metadata '{}' is missing; convert the model again with a current converter", file.path(),
               printable(key));
  return found->second;
}

}  // namespace

size_t GgufArray::size() const {
  return std::visit([](const auto& list) { return list.size(); }, values);
}

int64_t GgufTensor::rows() const {
  int64_t rows = 1;
  for (size_t axis = 1; axis < ne.size(); ++axis) rows *= static_cast<int64_t>(ne[axis]);
  return rows;
}

int64_t GgufTensor::row_bytes() const {
  const auto& layout = info(type);
  return columns() / layout.block_values * layout.block_bytes;
}

std::string GgufFile::digest() const {
  if (digest_.empty()) digest_ = fmt::format("{:016x}", XXH3_64bits(bytes_.data(), bytes_.size()));
  return digest_;
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto found = std::ranges::find(tensors_, name, &GgufTensor::name);
  return found == tensors_.end() ? nullptr : &*found;
}

const GgufTensor& GgufFile::tensor(std::string_view name) const {
  const auto* found = find(name);
  if (!found)
    fail_input("{}: tensor '{}' is missing; the file is incomplete or of another architecture", path_,
               printable(name));
  return *found;
}

bool GgufFile::has(std::string_view key) const { return metadata_.find(key) != metadata_.end(); }

uint32_t GgufFile::u32(std::string_view key) const {
  const auto& value = required(*this, key);
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  if (const auto* number = std::get_if<uint64_t>(&value.value); number && *number <= kMost)
    return static_cast<uint32_t>(*number);
  if (const auto* number = std::get_if<int64_t>(&value.value);
      number && *number >= 0 && static_cast<uint64_t>(*number) <= kMost)
    return static_cast<uint32_t>(*number);
  wrong_type(*this, key, value, "an integer from 0 to 4294967295");
}

uint32_t GgufFile::u32_or(std::string_view key, uint32_t otherwise) const {
  return has(key) ? u32(key) : otherwise;
}

float GgufFile::f32(std::string_view key) const {
  const auto& value = required(*this, key);
  if (const auto* number = std::get_if<double>(&value.value)) return static_cast<float>(*number);
  wrong_type(*this, key, value, "a floating-point number");
}

float GgufFile::f32_or(std::string_view key, float otherwise) const {
  return has(key) ? f32(key) : otherwise;
}

bool GgufFile::boolean_or(std::string_view key, bool otherwise) const {
  if (!has(key)) return otherwise;
  const auto& value = required(*this, key);
  if (const auto* flag = std::get_if<bool>(&value.value)) return *flag;
  wrong_type(*this, key, value, "a bool");
}

const std::string& GgufFile::text(std::string_view key) const {
  const auto& value = required(*this, key);
  if (const auto* words = std::get_if<std::string>(&value.value)) return *words;
  wrong_type(*this, key, value, "a string");
}

std::string GgufFile::text_or(std::string_view key, std::string otherwise) const {
  return has(key) ? text(key) : otherwise;
}

std::vector<std::string> GgufFile::texts(std::string_view key) const {
  const auto& value = required(*this, key);
  if (const auto* array = std::get_if<GgufArray>(&value.value))
    if (const auto* list = std::get_if<std::vector<std::string>>(&array->values)) return *list;
  wrong_type(*this, key, value, "an array of strings");
}

std::vector<double> GgufFile::numbers(std::string_view key) const {
  const auto& value = required(*this, key);
  const auto widen = [](const auto& list) { return std::vector<double>(list.begin(), list.end()); };
  if (const auto* array = std::get_if<GgufArray>(&value.value)) {
    if (const auto* list = std::get_if<std::vector<int64_t>>(&array->values)) return widen(*list);
    if (const auto* list = std::get_if<std::vector<uint64_t>>(&array->values)) return widen(*list);
    if (const auto* list = std::get_if<std::vector<double>>(&array->values)) return *list;
  }
  wrong_type(*this, key, value, "an array of numbers");
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    if (c >= 0x20 && c < 0x7f)
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  if (text.size() > limit) out += "...";
  return out;
}

}  // namespace greta
