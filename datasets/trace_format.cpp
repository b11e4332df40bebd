#include "datasets/trace_format.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "datasets/error.hpp"

namespace greta {

std::string TraceKey::path() const {
  std::string path;
  for (const auto& component : trace_format::components(*this)) path.append("/").append(component);
  return path;
}

namespace trace_format {
namespace {

constexpr std::array kIdentity = {
    IdentityField{"greta_version", &RunIdentity::greta_version},
    IdentityField{"build", &RunIdentity::build},
    IdentityField{"command_line", &RunIdentity::command_line},
    IdentityField{"model_path", &RunIdentity::model_path},
    IdentityField{"model_digest", &RunIdentity::model_digest},
    IdentityField{"model_metadata", &RunIdentity::model_metadata_json},
    IdentityField{"device", &RunIdentity::device},
    IdentityField{"backend", &RunIdentity::backend},
    IdentityField{"created", &RunIdentity::created},
};

constexpr std::array kColumns = {
    VerdictColumn{"prompt", &VerdictRow::prompt},
    VerdictColumn{"arm", &VerdictRow::arm},
    VerdictColumn{"phase", &VerdictRow::phase},
    VerdictColumn{"layer", &VerdictRow::layer},
    VerdictColumn{"stage", &VerdictRow::stage},
    VerdictColumn{"probe", &VerdictRow::probe},
    VerdictColumn{"mode", &VerdictRow::mode},
    VerdictColumn{"status", &VerdictRow::status},
    VerdictColumn{"bound_ratio", &VerdictRow::bound_ratio},
    VerdictColumn{"certain_ratio", &VerdictRow::certain_ratio},
    VerdictColumn{"count", &VerdictRow::count},
    VerdictColumn{"out_of_bound", &VerdictRow::out_of_bound},
    VerdictColumn{"nan_count", &VerdictRow::nan_count},
    VerdictColumn{"inf_count", &VerdictRow::inf_count},
    VerdictColumn{"worst_index", &VerdictRow::worst_index},
    VerdictColumn{"actual", &VerdictRow::actual},
    VerdictColumn{"expected", &VerdictRow::expected},
    VerdictColumn{"max_abs", &VerdictRow::max_abs},
    VerdictColumn{"mae", &VerdictRow::mae},
    VerdictColumn{"rmse", &VerdictRow::rmse},
    VerdictColumn{"nmse", &VerdictRow::nmse},
    VerdictColumn{"cosine", &VerdictRow::cosine},
    VerdictColumn{"bias_z", &VerdictRow::bias_z},
    VerdictColumn{"kernel", &VerdictRow::kernel},
    VerdictColumn{"contract", &VerdictRow::contract},
};

bool parse_layer(std::string_view text, int& layer) {
  constexpr std::string_view prefix = "layer_";
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
  return error == std::errc() && end == text.data() + text.size() && layer >= 0;
}

}  // namespace

std::string escape(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '/' || c == '%' || c == '\0' || (c == '.' && i == 0))
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out;
}

std::string unescape(std::string_view component) {
  std::string out;
  for (size_t i = 0; i < component.size(); ++i) {
    unsigned value = 0;
    const char* digits = component.data() + i + 1;
    if (component[i] == '%' && i + 2 < component.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += component[i];
    }
  }
  return out;
}

std::vector<std::string> components(const TraceKey& key) {
  if (key.prompt == kWeights && key.phase.empty() && key.layer < 0 && !key.stage.empty()) {
    if (key.arm.empty()) return {std::string(kWeights), escape(key.stage)};
    return {std::string(kWeights), escape(key.arm), escape(key.stage)};
  }
  if (key.prompt.empty() || key.arm.empty() || key.phase.empty() || key.stage.empty())
    fail_invalid("a trace key needs prompt, arm, phase and stage; this one has '{}', '{}', '{}' and '{}'",
                 key.prompt, key.arm, key.phase, key.stage);
  if (key.prompt == kWeights || key.prompt == kPrompts || key.prompt == kVerdicts)
    fail_invalid("'{}' cannot be a prompt's id: the trace uses that name itself; rename the prompt",
                 key.prompt);
  std::vector<std::string> out = {escape(key.prompt), escape(key.arm), escape(key.phase)};
  if (key.layer >= 0) out.push_back(fmt::format("layer_{:02}", key.layer));
  out.push_back(escape(key.stage));
  return out;
}

bool parse(std::span<const std::string> path, TraceKey& key) {
  key = {};
  if ((path.size() == 2 || path.size() == 3) && path[0] == kWeights) {
    key.prompt = kWeights;
    if (path.size() == 3) key.arm = unescape(path[1]);
  } else if ((path.size() == 4 || (path.size() == 5 && parse_layer(path[3], key.layer))) &&
             path[0] != kWeights && path[0] != kPrompts) {
    key.prompt = unescape(path[0]);
    key.arm = unescape(path[1]);
    key.phase = unescape(path[2]);
  } else {
    return false;
  }
  key.stage = unescape(path.back());
  return true;
}

Hdf5Type file_type(DType dtype) {
  const hid_t base = dtype == DType::bf16  ? H5T_STD_U16LE
                     : dtype == DType::f64 ? H5T_IEEE_F64LE
                                           : H5T_IEEE_F32LE;
  Hdf5Type type(H5Tcopy(base), "cannot copy an HDF5 type");
  if (dtype == DType::f16) {  // IEEE 754 binary16, field by field as h5py defines it
    check_hdf5(H5Tset_fields(type, 15, 10, 5, 0, 10), "cannot define f16");
    check_hdf5(H5Tset_size(type, 2), "cannot define f16");
    check_hdf5(H5Tset_ebias(type, 15), "cannot define f16");
  }
  return type;
}

Hdf5Type text_type() {
  Hdf5Type type(H5Tcopy(H5T_C_S1), "cannot copy an HDF5 type");
  check_hdf5(H5Tset_size(type, H5T_VARIABLE), "cannot define a string");
  check_hdf5(H5Tset_cset(type, H5T_CSET_UTF8), "cannot define a string");
  return type;
}

Hdf5Type fixed_text_type(size_t bytes) {
  Hdf5Type type(H5Tcopy(H5T_C_S1), "cannot copy an HDF5 type");
  check_hdf5(H5Tset_size(type, bytes), "cannot define a string");
  check_hdf5(H5Tset_strpad(type, H5T_STR_NULLPAD), "cannot define a string");
  check_hdf5(H5Tset_cset(type, H5T_CSET_UTF8), "cannot define a string");
  return type;
}

std::string xxh3_hex(uint64_t hash) { return fmt::format("{:016x}", hash); }
std::span<const IdentityField> identity_fields() { return kIdentity; }
std::span<const VerdictColumn> verdict_columns() { return kColumns; }

}  // namespace trace_format
}  // namespace greta
