// The tensor types of ggml: the ones that are read, and the names of the others for error messages.
#include <algorithm>
#include <array>

#include "datasets/error.hpp"
#include "datasets/gguf.hpp"
#include "datasets/gguf_names.hpp"

namespace greta {
namespace {

struct Known {
  GgmlType type;
  GgmlTypeInfo info;
};
constexpr std::array<Known, 8> kKnown = {{{GgmlType::F32, {"F32", 1, 4}},
                                          {GgmlType::F16, {"F16", 1, 2}},
                                          {GgmlType::Q4_0, {"Q4_0", 32, 18}},
                                          {GgmlType::Q8_0, {"Q8_0", 32, 34}},
                                          {GgmlType::Q4_K, {"Q4_K", 256, 144}},
                                          {GgmlType::Q5_K, {"Q5_K", 256, 176}},
                                          {GgmlType::Q6_K, {"Q6_K", 256, 210}},
                                          {GgmlType::BF16, {"BF16", 1, 2}}}};

// Indexed by ggml's number; an empty name was never used or has been removed.
constexpr std::array<std::string_view, 40> kGgmlNames = {
    "F32",    "F16",   "Q4_0",  "Q4_1",   "",      "",      "Q5_0",    "Q5_1",   "Q8_0",    "Q8_1",
    "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
    "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",     "I64",    "F64",     "IQ1_M",
    "BF16",   "",      "",      "",       "TQ1_0", "TQ2_0", "",        "",       "",        "MXFP4"};

constexpr std::array<std::string_view, 13> kValueNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

}  // namespace

const GgmlTypeInfo& info(GgmlType type) {
  const auto known = std::ranges::find(kKnown, type, &Known::type);
  if (known == kKnown.end()) fail_internal("tensor type {} has no description", static_cast<uint32_t>(type));
  return known->info;
}

std::optional<GgmlType> ggml_type_from(uint32_t number) {
  const auto known = std::ranges::find(kKnown, static_cast<GgmlType>(number), &Known::type);
  if (known == kKnown.end()) return std::nullopt;
  return known->type;
}

std::string_view ggml_type_name(uint32_t number) {
  if (number >= kGgmlNames.size() || kGgmlNames[number].empty()) return "not a type of ggml";
  return kGgmlNames[number];
}

std::string_view gguf_value_name(uint32_t type) {
  return type < kValueNames.size() ? kValueNames[type] : "?";
}

}  // namespace greta
