// GgufFile::parse. Nothing that the file says is believed before it has been held against the file's own
// size, so that what is allocated stays within a constant times that size, whatever the counts claim.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "datasets/error.hpp"
#include "datasets/gguf.hpp"
#include "datasets/gguf_names.hpp"

namespace greta {
namespace {

static_assert(std::endian::native == std::endian::little,
              "GGUF is read in place, so the machine must be little-endian");

constexpr std::string_view kAgain = "download or convert the file again";

// Reads forward through the file; every failure names the path, the section and the offset.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }
  uint64_t size() const { return bytes_.size(); }

  void enter(std::string_view section) { section_ = section; }
  void enter(std::string_view kind, uint64_t index) { section_ = fmt::format("{} {}", kind, index); }
  void named(std::string_view name) { section_ += fmt::format(" '{}'", printable(name)); }

  template <typename... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    fail_input("{}: {}: {}", path_, section_, fmt::format(format, std::forward<Args>(args)...));
  }

  template <typename T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  // The view lies in the file: a length that the file cannot hold allocates nothing.
  std::string_view text(std::string_view what) {
    const auto length = read<uint64_t>(what);
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  // A count of items of which each takes at least `least_bytes` of what is left.
  void check_count(uint64_t count, uint64_t least_bytes, std::string_view what) const {
    if (count > left() / least_bytes)
      fail("the count of {} is {}, more than the {} bytes left in the file can hold; {}", what, count, left(),
           kAgain);
  }

 private:
  std::span<const std::byte> take(uint64_t count, std::string_view what) {
    if (count > left())
      fail("the file is truncated: {} needs {} bytes at offset {}, and {} are left; {}", what, count,
           position_, left(), kAgain);
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }

  std::span<const std::byte> bytes_;
  const std::string& path_;
  std::string section_ = "header";
  uint64_t position_ = 0;
};

struct Header {
  uint32_t version;
  uint64_t tensor_count;
  uint64_t metadata_count;
};

Header read_header(Cursor& in) {
  const auto magic = in.read<uint32_t>("the magic");
  if (magic != kGgufMagic) {
    std::string_view bytes(reinterpret_cast<const char*>(&magic), sizeof magic);
    in.fail("the file starts with '{}', not 'GGUF'; it is not a GGUF model", printable(bytes));
  }
  Header header{};
  header.version = in.read<uint32_t>("the version");
  if ((header.version & 0xffffu) == 0)
    in.fail("the file is big-endian (version reads {:#010x}); convert the model for little-endian machines",
            header.version);
  if (header.version != 2 && header.version != 3)
    in.fail("GGUF version {} is not supported, only 2 and 3; convert the model again", header.version);
  header.tensor_count = in.read<uint64_t>("the tensor count");
  header.metadata_count = in.read<uint64_t>("the metadata count");
  // A tensor info is at least a name's length, its axis count, its type and its offset; a pair a key's
  // length, a type and a byte.
  in.check_count(header.tensor_count, 8 + 4 + 4 + 8, "tensors");
  in.check_count(header.metadata_count, 8 + 4 + 1, "metadata pairs");
  return header;
}

bool read_bool(Cursor& in) {
  const auto byte = in.read<uint8_t>("a bool");
  if (byte > 1) in.fail("a bool is stored as {}, not 0 or 1; {}", byte, kAgain);
  return byte == 1;
}

// Calls visit(tag of the widened type, reader of one such value) for the scalar type `type`.
template <typename Visit>
void with_scalar(Cursor& in, uint32_t type, const Visit& visit) {
  switch (static_cast<GgufType>(type)) {
    case GgufType::u8:
      return visit([&] { return uint64_t{in.read<uint8_t>("a u8")}; }, 1);
    case GgufType::i8:
      return visit([&] { return int64_t{in.read<int8_t>("an i8")}; }, 1);
    case GgufType::u16:
      return visit([&] { return uint64_t{in.read<uint16_t>("a u16")}; }, 2);
    case GgufType::i16:
      return visit([&] { return int64_t{in.read<int16_t>("an i16")}; }, 2);
    case GgufType::u32:
      return visit([&] { return uint64_t{in.read<uint32_t>("a u32")}; }, 4);
    case GgufType::i32:
      return visit([&] { return int64_t{in.read<int32_t>("an i32")}; }, 4);
    case GgufType::f32:
      return visit([&] { return double{in.read<float>("an f32")}; }, 4);
    case GgufType::boolean:
      return visit([&] { return read_bool(in); }, 1);
    case GgufType::text:
      return visit([&] { return std::string(in.text("a string")); }, 8);
    case GgufType::u64:
      return visit([&] { return in.read<uint64_t>("a u64"); }, 8);
    case GgufType::i64:
      return visit([&] { return in.read<int64_t>("an i64"); }, 8);
    case GgufType::f64:
      return visit([&] { return in.read<double>("an f64"); }, 8);
    case GgufType::array:
      in.fail("an array holds arrays, which GGUF models do not use; {}", kAgain);
  }
  in.fail("value type {} does not exist in GGUF; {}", type, kAgain);
}

GgufArray read_array(Cursor& in) {
  GgufArray array;
  array.element_type = in.read<uint32_t>("the array's element type");
  const auto count = in.read<uint64_t>("the array's length");
  with_scalar(in, array.element_type, [&](const auto& next, uint64_t least_bytes) {
    in.check_count(count, least_bytes, "array elements");
    std::vector<decltype(next())> list;
    list.reserve(count);
    for (uint64_t i = 0; i < count; ++i) list.push_back(next());
    array.values = std::move(list);
  });
  return array;
}

GgufValue read_value(Cursor& in) {
  GgufValue value;
  value.type = in.read<uint32_t>("the value's type");
  if (value.type == static_cast<uint32_t>(GgufType::array))
    value.value = read_array(in);
  else
    with_scalar(in, value.type, [&](const auto& next, uint64_t) { value.value = next(); });
  return value;
}

std::map<std::string, GgufValue, std::less<>> read_metadata(Cursor& in, uint64_t count) {
  std::map<std::string, GgufValue, std::less<>> metadata;
  for (uint64_t i = 0; i < count; ++i) {
    in.enter("metadata key", i);
    const auto key = in.text("the key");
    in.named(key);
    if (key.empty() || key.size() > kGgufMaxKeyBytes)
      in.fail("the key is {} bytes long, not 1 to {}; {}", key.size(), kGgufMaxKeyBytes, kAgain);
    auto value = read_value(in);
    if (!metadata.emplace(key, std::move(value)).second) in.fail("the key appears twice; {}", kAgain);
  }
  return metadata;
}

uint64_t read_alignment(Cursor& in, const std::map<std::string, GgufValue, std::less<>>& metadata) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  in.enter("metadata key 'general.alignment'");
  const auto* number = std::get_if<uint64_t>(&found->second.value);
  if (!number || found->second.type != static_cast<uint32_t>(GgufType::u32))
    in.fail("the alignment is {}, not u32; {}", gguf_value_name(found->second.type), kAgain);
  if (*number < 8 || !std::has_single_bit(*number))
    in.fail("an alignment of {} is not a power of two of at least 8; {}", *number, kAgain);
  return *number;
}

// A tensor info as it stands in the file; `bytes` follows from type and shape.
struct Placed {
  GgufTensor tensor;
  uint64_t index;
  uint64_t offset;
  uint64_t bytes;
};

uint64_t checked_bytes(Cursor& in, const GgufTensor& tensor) {
  uint64_t values = 1;
  for (const auto axis : tensor.ne) {
    if (axis == 0) in.fail("an axis of its shape is 0; {}", kAgain);
    if (__builtin_mul_overflow(values, axis, &values) || values > (uint64_t{1} << 60))
      in.fail("the shape [{}] has more values than any file can hold; {}", fmt::join(tensor.ne, ", "),
              kAgain);
  }
  const auto& layout = info(tensor.type);
  const auto block = static_cast<uint64_t>(layout.block_values);
  if (static_cast<uint64_t>(tensor.columns()) % block != 0)
    in.fail("a row of {} values is not a multiple of {}'s block of {}; quantise the model again",
            tensor.columns(), layout.name, block);
  return values / block *
         static_cast<uint64_t>(layout.block_bytes);  // at most 4 bytes a value: cannot overflow
}

Placed read_tensor_info(Cursor& in, uint64_t index, uint64_t alignment) {
  Placed placed{{}, index, 0, 0};
  in.enter("tensor info", index);
  placed.tensor.name = in.text("the name");
  in.named(placed.tensor.name);
  if (placed.tensor.name.empty() || placed.tensor.name.size() > kGgufMaxNameBytes)
    in.fail("the name is {} bytes long, not 1 to {}; {}", placed.tensor.name.size(), kGgufMaxNameBytes,
            kAgain);
  const auto axes = in.read<uint32_t>("the number of axes");
  if (axes > kGgufMaxAxes) in.fail("{} axes, more than ggml's {}; {}", axes, kGgufMaxAxes, kAgain);
  for (uint32_t axis = 0; axis < axes; ++axis) placed.tensor.ne.push_back(in.read<uint64_t>("the shape"));
  const auto number = in.read<uint32_t>("the type");
  const auto type = ggml_type_from(number);
  if (!type)
    in.fail(
        "tensor type {} ({}) is not supported; quantise the model to F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q5_K "
        "or "
        "Q6_K",
        number, ggml_type_name(number));
  placed.tensor.type = *type;
  placed.bytes = checked_bytes(in, placed.tensor);
  placed.offset = in.read<uint64_t>("the offset");
  if (placed.offset % alignment != 0)
    in.fail("offset {} is not a multiple of the alignment {}; {}", placed.offset, alignment, kAgain);
  return placed;
}

// Where tensor data starts: the next multiple of the alignment.
uint64_t data_start(const Cursor& in, uint64_t alignment) {
  return (in.position() + alignment - 1) / alignment * alignment;
}

void check_overlap(Cursor& in, std::vector<Placed>& tensors) {
  std::vector<const Placed*> by_offset;
  for (const auto& placed : tensors) by_offset.push_back(&placed);
  std::ranges::sort(by_offset, {},
                    [](const Placed* placed) { return std::pair(placed->offset, placed->index); });
  for (size_t i = 1; i < by_offset.size(); ++i) {
    const auto& before = *by_offset[i - 1];
    const auto& after = *by_offset[i];
    if (after.offset - before.offset >= before.bytes) continue;
    in.enter("tensor data");
    in.fail("tensor '{}' at offset {} overlaps tensor '{}' ({} bytes at offset {}); {}",
            printable(after.tensor.name), after.offset, printable(before.tensor.name), before.bytes,
            before.offset, kAgain);
  }
}

}  // namespace

GgufFile GgufFile::parse(std::span<const std::byte> bytes, std::string name) {
  GgufFile file;
  file.path_ = std::move(name);
  file.bytes_ = bytes;
  Cursor in(bytes, file.path_);
  if (bytes.empty()) in.fail("the file is empty; {}", kAgain);
  const auto header = read_header(in);
  file.version_ = header.version;
  file.metadata_ = read_metadata(in, header.metadata_count);
  file.alignment_ = read_alignment(in, file.metadata_);

  std::vector<Placed> tensors;
  std::set<std::string_view> names;
  in.enter("tensor infos");
  in.check_count(header.tensor_count, 8 + 4 + 4 + 8, "tensors");
  tensors.reserve(header.tensor_count);
  for (uint64_t i = 0; i < header.tensor_count; ++i) {
    tensors.push_back(read_tensor_info(in, i, file.alignment_));
    if (!names.insert(tensors.back().tensor.name).second)
      in.fail("the tensor's name appears twice; {}", kAgain);
  }

  const auto start = data_start(in, file.alignment_);
  const auto available = start < in.size() ? in.size() - start : 0;
  for (auto& placed : tensors) {
    if (placed.offset > available || placed.bytes > available - placed.offset) {
      in.enter("tensor data");
      in.fail(
          "tensor '{}' needs {} bytes at offset {}, and the file has {} bytes of tensor data: it is "
          "truncated or "
          "its offset is wrong; {}",
          printable(placed.tensor.name), placed.bytes, placed.offset, available, kAgain);
    }
    placed.tensor.data = bytes.subspan(start + placed.offset, placed.bytes);
  }
  check_overlap(in, tensors);
  file.tensors_.reserve(tensors.size());
  for (auto& placed : tensors) file.tensors_.push_back(std::move(placed.tensor));
  return file;
}

}  // namespace greta
