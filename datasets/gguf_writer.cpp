#include "datasets/gguf_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "datasets/error.hpp"

namespace greta {
namespace {

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append(out, uint64_t{text.size()});
  out += text;
}

template <typename To, typename From>
void append_as(std::string& out, From value) {
  append(out, static_cast<To>(value));
}

// One number of a widened type, narrowed to the GGUF type it came from.
template <typename From>
void append_scalar(std::string& out, uint32_t type, const From& value) {
  if constexpr (std::is_same_v<From, std::string>) {
    append_text(out, value);
  } else {
    switch (static_cast<GgufType>(type)) {
      case GgufType::u8:
        return append_as<uint8_t>(out, value);
      case GgufType::i8:
        return append_as<int8_t>(out, value);
      case GgufType::u16:
        return append_as<uint16_t>(out, value);
      case GgufType::i16:
        return append_as<int16_t>(out, value);
      case GgufType::u32:
        return append_as<uint32_t>(out, value);
      case GgufType::i32:
        return append_as<int32_t>(out, value);
      case GgufType::f32:
        return append_as<float>(out, value);
      case GgufType::boolean:
        return append_as<uint8_t>(out, value);
      case GgufType::u64:
        return append_as<uint64_t>(out, value);
      case GgufType::i64:
        return append_as<int64_t>(out, value);
      case GgufType::f64:
        return append_as<double>(out, value);
      case GgufType::text:
      case GgufType::array:
        break;
    }
    fail_internal("GGUF writer: a number cannot be stored as value type {}", type);
  }
}

}  // namespace

GgufWriter::GgufWriter(std::string path, uint32_t version)
    : path_(std::move(path)), part_path_(path_ + ".part"), version_(version) {
  if (version != 2 && version != 3) fail_internal("GGUF writer: version {} cannot be written", version);
  file_ = std::fopen(part_path_.c_str(), "wb");
  if (!file_)
    fail_usage("cannot write the model '{}' ({}); choose a folder that exists and can be written", path_,
               std::strerror(errno));
}

GgufWriter::~GgufWriter() {
  if (!file_) return;
  std::fclose(file_);
  std::remove(part_path_.c_str());
}

void GgufWriter::key(std::string_view name, GgufType type) {
  if (header_closed_) fail_internal("GGUF writer: metadata '{}' after tensor data", name);
  if (std::ranges::find(keys_, name) != keys_.end()) fail_internal("GGUF writer: metadata '{}' twice", name);
  if (name == "general.alignment" && !tensors_.empty())
    fail_internal("GGUF writer: alignment set after tensors");
  keys_.emplace_back(name);
  append_text(metadata_, name);
  append(metadata_, static_cast<uint32_t>(type));
  ++metadata_count_;
}

void GgufWriter::set(std::string_view name, const GgufValue& value) {
  key(name, static_cast<GgufType>(value.type));
  if (name == "general.alignment") alignment_ = std::get<uint64_t>(value.value);
  if (const auto* array = std::get_if<GgufArray>(&value.value)) {
    append(metadata_, array->element_type);
    append(metadata_, uint64_t{array->size()});
    std::visit(
        [&](const auto& list) {
          using Item = typename std::decay_t<decltype(list)>::value_type;
          for (const Item& item : list) append_scalar<Item>(metadata_, array->element_type, item);
        },
        array->values);
    return;
  }
  std::visit(
      [&](const auto& item) {
        using Item = std::decay_t<decltype(item)>;
        if constexpr (!std::is_same_v<Item, GgufArray>) append_scalar<Item>(metadata_, value.type, item);
      },
      value.value);
}

void GgufWriter::set_text(std::string_view name, std::string_view value) {
  key(name, GgufType::text);
  append_text(metadata_, value);
}

void GgufWriter::set_u32(std::string_view name, uint32_t value) {
  key(name, GgufType::u32);
  if (name == "general.alignment") alignment_ = value;
  append(metadata_, value);
}

void GgufWriter::set_f32(std::string_view name, float value) {
  key(name, GgufType::f32);
  append(metadata_, value);
}

void GgufWriter::set_bool(std::string_view name, bool value) {
  key(name, GgufType::boolean);
  append(metadata_, static_cast<uint8_t>(value));
}

void GgufWriter::set_texts(std::string_view name, const std::vector<std::string>& values) {
  key(name, GgufType::array);
  append(metadata_, static_cast<uint32_t>(GgufType::text));
  append(metadata_, uint64_t{values.size()});
  for (const auto& value : values) append_text(metadata_, value);
}

void GgufWriter::set_i32s(std::string_view name, std::span<const int32_t> values) {
  key(name, GgufType::array);
  append(metadata_, static_cast<uint32_t>(GgufType::i32));
  append(metadata_, uint64_t{values.size()});
  for (const auto value : values) append(metadata_, value);
}

void GgufWriter::add_tensor(std::string_view name, GgmlType type, std::vector<uint64_t> ne) {
  if (header_closed_) fail_internal("GGUF writer: tensor '{}' announced after tensor data", name);
  if (std::ranges::find(tensors_, name, &Pending::name) != tensors_.end())
    fail_internal("GGUF writer: tensor '{}' twice", name);
  const auto& layout = info(type);
  if (ne.empty() || ne[0] % static_cast<uint64_t>(layout.block_values) != 0)
    fail_internal("GGUF writer: tensor '{}' of shape [{}] does not fit {}'s blocks", name,
                  fmt::join(ne, ", "), layout.name);
  uint64_t values = 1;
  append_text(infos_, name);
  append(infos_, static_cast<uint32_t>(ne.size()));
  for (const auto axis : ne) {
    append(infos_, axis);
    values *= axis;
  }
  append(infos_, static_cast<uint32_t>(type));
  append(infos_, next_offset_);
  const auto bytes =
      values / static_cast<uint64_t>(layout.block_values) * static_cast<uint64_t>(layout.block_bytes);
  tensors_.push_back({std::string(name), bytes});
  next_offset_ = (next_offset_ + bytes + alignment_ - 1) / alignment_ * alignment_;
}

void GgufWriter::put(const void* data, size_t bytes) {
  if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != bytes)
    fail_input("writing the model '{}' failed after {} bytes ({}); free some space and run again", path_,
               position_, std::strerror(errno));
  position_ += bytes;
}

void GgufWriter::pad() {
  const std::string zeros((alignment_ - position_ % alignment_) % alignment_, '\0');
  put(zeros.data(), zeros.size());
}

void GgufWriter::close_header() {
  header_closed_ = true;
  std::string header;
  append(header, kGgufMagic);
  append(header, version_);
  append(header, uint64_t{tensors_.size()});
  append(header, metadata_count_);
  for (const auto* part : {&header, &metadata_, &infos_}) put(part->data(), part->size());
  pad();
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  if (!header_closed_) close_header();
  while (!bytes.empty()) {
    if (current_ == tensors_.size())
      fail_internal("GGUF writer: {} bytes more than were announced", bytes.size());
    const auto part = bytes.first(std::min<uint64_t>(bytes.size(), tensors_[current_].bytes - written_));
    put(part.data(), part.size());
    bytes = bytes.subspan(part.size());
    written_ += part.size();
    if (written_ < tensors_[current_].bytes) continue;
    pad();
    ++current_;
    written_ = 0;
  }
}

void GgufWriter::finish() {
  if (!header_closed_) close_header();
  if (current_ != tensors_.size())
    fail_internal("GGUF writer: tensor '{}' is short of {} bytes", tensors_[current_].name,
                  tensors_[current_].bytes - written_);
  const bool flushed = std::fflush(file_) == 0;
  const bool closed = std::fclose(file_) == 0;
  file_ = nullptr;
  if (!flushed || !closed || std::rename(part_path_.c_str(), path_.c_str()) != 0) {
    const int reason = errno;
    std::remove(part_path_.c_str());
    fail_input("writing the model '{}' failed ({}); free some space and run again", path_,
               std::strerror(reason));
  }
}

}  // namespace greta
