// Names and numbers of GGUF that the reader, the writer and `inspect` share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace greta {

// GGUF's numbering of metadata value types.
enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

constexpr uint32_t kGgufMagic = 0x46554747;  // "GGUF", little-endian
constexpr uint64_t kGgufMaxAxes = 4;         // ggml's GGML_MAX_DIMS
constexpr uint64_t kGgufMaxNameBytes = 64;   // of a tensor's name
constexpr uint64_t kGgufMaxKeyBytes = 65535;

std::string_view ggml_type_name(uint32_t number);  // also of types that are not read: "IQ4_XS"
std::string_view gguf_value_name(uint32_t type);   // "u32", "string", …; "?" when there is none

// For messages: control characters and bytes outside ASCII as \xNN, cut after `limit` bytes.
std::string printable(std::string_view text, size_t limit = 80);

}  // namespace greta
