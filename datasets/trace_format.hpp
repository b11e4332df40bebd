// What TraceWriter and TraceReader agree on: names, types and the columns of /verdicts.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "datasets/hdf5_handle.hpp"
#include "datasets/trace.hpp"

namespace greta::trace_format {

inline constexpr std::string_view kWeights = "weights", kPrompts = "prompts", kVerdicts = "verdicts";
// In the oldest object headers an attribute holds less than 64 KiB: a longer list of positions is stored as
// first and count.
inline constexpr size_t kMostPositions = 16000;

// A name as one component of a path: '/', '%', NUL and a leading '.' become %XX.
std::string escape(std::string_view name);
std::string unescape(std::string_view component);

// {"p0", "auto", "decode0", "layer_03", "q"}, escaped. Error (invalid) when the key is incomplete or uses a
// reserved name.
std::vector<std::string> components(const TraceKey& key);
// The reverse; false when the components are those of no tensor.
bool parse(std::span<const std::string> components, TraceKey& key);

// The file's type of a tensor: f64, f32, f16 (which h5py reads as float16), bf16 as uint16.
Hdf5Type file_type(DType dtype);
Hdf5Type text_type();                    // variable length, UTF-8
Hdf5Type fixed_text_type(size_t bytes);  // zero-padded, UTF-8

std::string xxh3_hex(uint64_t hash);

// The fields of RunIdentity that are root attributes.
struct IdentityField {
  const char* name;
  std::string RunIdentity::*member;
};
std::span<const IdentityField> identity_fields();

using VerdictMember = std::variant<std::string VerdictRow::*, int32_t VerdictRow::*, int64_t VerdictRow::*,
                                   double VerdictRow::*>;
struct VerdictColumn {
  const char* name;
  VerdictMember member;
};
std::span<const VerdictColumn> verdict_columns();

}  // namespace greta::trace_format
