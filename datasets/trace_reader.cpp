#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "datasets/error.hpp"
#include "datasets/trace_format.hpp"

namespace greta {
namespace {

// HDF5 says "file signature not found" for all of these; a person wants to know which.
void check_file(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) fail_input("cannot read trace {}: {}", path, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail_input("cannot read trace {}: it is a directory", path);
  std::ifstream file(path, std::ios::binary);
  char signature[8] = {};
  if (!file.read(signature, 8) && file.bad())
    fail_input("cannot read trace {}: {}", path, std::strerror(errno));
  if (!file.is_open()) fail_input("cannot read trace {}: {}", path, std::strerror(errno));
  if (std::memcmp(signature, "\x89HDF\r\n\x1a\n", 8) != 0)
    fail_input("{} is not a trace: it is not an HDF5 file", path);
}

bool has_attribute(hid_t object, const char* name) {
  return check_hdf5(H5Aexists(object, name), "cannot look for an attribute") > 0;
}

std::string read_text_cell(hid_t attribute, const std::string& what) {
  const Hdf5Type type(H5Aget_type(attribute), what);
  const Hdf5Space space(H5Aget_space(attribute), what);
  if (H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_npoints(space) != 1)
    fail_input("{}: it is not a string", what);
  if (H5Tis_variable_str(type) > 0) {
    const Hdf5Type memory = trace_format::text_type();
    char* value = nullptr;
    check_hdf5(H5Aread(attribute, memory, &value), what.c_str());
    std::string out = value ? value : "";
    H5Dvlen_reclaim(memory, space, H5P_DEFAULT, &value);
    return out;
  }
  std::string out(H5Tget_size(type), '\0');
  check_hdf5(H5Aread(attribute, type, out.data()), what.c_str());
  out.resize(std::strlen(out.c_str()));
  return out;
}

std::string read_text(hid_t object, const char* name, const std::string& where) {
  const std::string what = fmt::format("{} has no readable attribute '{}'", where, name);
  if (!has_attribute(object, name)) fail_input("{} has no attribute '{}'", where, name);
  const Hdf5Attribute attribute(H5Aopen(object, name, H5P_DEFAULT), what);
  return read_text_cell(attribute, what);
}

std::vector<int32_t> read_integers(hid_t object, const char* name, const std::string& where) {
  const std::string what = fmt::format("{} has no readable attribute '{}'", where, name);
  const Hdf5Attribute attribute(H5Aopen(object, name, H5P_DEFAULT), what);
  const Hdf5Type type(H5Aget_type(attribute), what);
  const Hdf5Space space(H5Aget_space(attribute), what);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  if (H5Tget_class(type) != H5T_INTEGER || count < 0) fail_input("{}: it is not a list of integers", what);
  std::vector<int32_t> out(static_cast<size_t>(count));
  if (count > 0) check_hdf5(H5Aread(attribute, H5T_NATIVE_INT32, out.data()), what.c_str());
  return out;
}

std::vector<int32_t> read_positions(hid_t dataset, const std::string& where) {
  if (has_attribute(dataset, "positions")) return read_integers(dataset, "positions", where);
  if (!has_attribute(dataset, "positions_range")) return {};
  const auto range = read_integers(dataset, "positions_range", where);
  if (range.size() != 2 || range[1] < 0 || range[1] > (1 << 28))
    fail_input("{} has a malformed attribute 'positions_range'", where);
  std::vector<int32_t> out(static_cast<size_t>(range[1]));
  for (size_t i = 0; i < out.size(); ++i) out[i] = range[0] + static_cast<int32_t>(i);
  return out;
}

DType read_dtype(hid_t dataset, hid_t type, const std::string& where) {
  const size_t bytes = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_FLOAT && bytes == 4) return DType::f32;
  if (H5Tget_class(type) == H5T_FLOAT && bytes == 2) return DType::f16;
  if (H5Tget_class(type) == H5T_INTEGER && bytes == 2 && has_attribute(dataset, "dtype") &&
      read_text(dataset, "dtype", where) == "bf16")
    return DType::bf16;
  fail_input("{} is not of a type that a trace holds (f32, f16, bf16)", where);
}

std::vector<int64_t> read_shape(hid_t dataset, const std::string& where) {
  const Hdf5Space space(H5Dget_space(dataset), where);
  std::vector<hsize_t> sizes(static_cast<size_t>(std::max(0, H5Sget_simple_extent_ndims(space))));
  if (!sizes.empty()) H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
  // A damaged header must not ask for all of memory: no tensor of a trace has 2^38 elements.
  double elements = 1;
  for (const hsize_t size : sizes) elements *= static_cast<double>(size);
  if (!(elements < 0x1p38)) fail_input("{} has an impossible shape", where);
  return {sizes.begin(), sizes.end()};
}

// Rows of one column of /verdicts, converted by HDF5 from whatever the file has.
template <typename T>
std::vector<T> read_column(hid_t dataset, const char* name, hid_t cell, size_t rows) {
  const Hdf5Type memory(H5Tcreate(H5T_COMPOUND, sizeof(T)), "cannot define a column");
  check_hdf5(H5Tinsert(memory, name, 0, cell), "cannot define a column");
  std::vector<T> out(rows);
  if (rows > 0)
    check_hdf5(H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()), "cannot read /verdicts");
  return out;
}

std::vector<std::string> read_text_column(hid_t dataset, hid_t table, const char* name, size_t rows) {
  const int index = check_hdf5(H5Tget_member_index(table, name), "/verdicts lacks a column");
  const Hdf5Type cell(H5Tget_member_type(table, static_cast<unsigned>(index)), "cannot read /verdicts");
  if (H5Tget_class(cell) != H5T_STRING || H5Tis_variable_str(cell) > 0)
    fail_input("column {} of /verdicts is not made of fixed-length strings", name);
  const size_t bytes = H5Tget_size(cell);
  const Hdf5Type memory(H5Tcreate(H5T_COMPOUND, bytes), "cannot define a column");
  check_hdf5(H5Tinsert(memory, name, 0, cell), "cannot define a column");
  std::string all(rows * bytes, '\0');
  if (rows > 0)
    check_hdf5(H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), "cannot read /verdicts");
  std::vector<std::string> out;
  for (size_t i = 0; i < rows; ++i) {
    const std::string_view text(all.data() + i * bytes, bytes);
    out.emplace_back(text.substr(0, text.find('\0')));
  }
  return out;
}

struct Walk {
  std::vector<std::string> path;
  std::vector<std::vector<std::string>> datasets;
};

constexpr size_t kDeepest = 8;  // deeper groups hold nothing of a trace (and may be a cycle of links)

herr_t visit(hid_t group, const char* name, const H5L_info_t* link, void* data) {
  auto& walk = *static_cast<Walk*>(data);
  if (link->type != H5L_TYPE_HARD) return 0;
  H5O_info_t object;
  if (H5Oget_info_by_name1(group, name, &object, H5P_DEFAULT) < 0) return -1;
  walk.path.emplace_back(name);
  herr_t result = 0;
  if (object.type == H5O_TYPE_DATASET)
    walk.datasets.push_back(walk.path);
  else if (object.type == H5O_TYPE_GROUP && walk.path.size() < kDeepest)
    result = H5Literate_by_name(group, name, H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, data, H5P_DEFAULT);
  walk.path.pop_back();
  return result;
}

}  // namespace

struct TraceReader::State {
  std::string path;
  Hdf5File file;
  bool complete = false;
  RunIdentity identity;
  std::map<TraceKey, std::string> paths;  // where each tensor is in the file
  bool has_verdicts = false;

  ~State() {
    const auto lock = lock_hdf5();
    file = {};
  }
  void open();
  void list();
  std::vector<int32_t> tokens(const std::string& dataset_path) const;
  std::string where(const TraceKey& key) const {
    return fmt::format("dataset {} of trace {}", key.path(), path);
  }
  TraceRecord read(const TraceKey& key, bool data) const;
};

void TraceReader::State::open() {
  check_file(path);
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  if (id < 0) fail_hdf5(fmt::format("cannot read trace {}; it may be truncated or damaged", path));
  file = Hdf5File(id, "H5Fopen");
  if (!has_attribute(file, "schema_version") || !has_attribute(file, "complete"))
    fail_input("{} is an HDF5 file but not a trace of greta: its root has no schema_version and complete",
               path);
  const auto schema = read_integers(file, "schema_version", path),
             done = read_integers(file, "complete", path);
  if (schema.size() != 1 || schema[0] < 1) fail_input("{} has a malformed schema_version", path);
  if (schema[0] > kTraceSchema)
    fail_input("{} has schema version {}, this greta reads up to {}; use the newer greta that wrote it", path,
               schema[0], kTraceSchema);
  complete = done.size() == 1 && done[0] == 1;
  for (const auto& field : trace_format::identity_fields())
    identity.*field.member = read_text(file, field.name, path);
}

void TraceReader::State::list() {
  Walk walk;
  if (H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, nullptr, visit, &walk) < 0)
    fail_hdf5(fmt::format("cannot read trace {}; it may be damaged", path));
  for (const auto& components : walk.datasets) {
    std::string joined;
    for (const auto& name : components) joined.append("/").append(name);
    TraceKey key;
    if (components.size() == 2 && components[0] == trace_format::kPrompts)
      identity.prompt_tokens[trace_format::unescape(components[1])] = tokens(joined);
    else if (components.size() == 1 && components[0] == trace_format::kVerdicts)
      has_verdicts = true;
    else if (trace_format::parse(components, key))
      paths.emplace(key, joined);
    else
      fail_input("trace {} has a dataset {} that is no tensor of a trace", path, joined);
  }
}

std::vector<int32_t> TraceReader::State::tokens(const std::string& dataset_path) const {
  const std::string what = fmt::format("cannot read the tokens {} of trace {}", dataset_path, path);
  const Hdf5Dataset dataset(H5Dopen2(file, dataset_path.c_str(), H5P_DEFAULT), what);
  const Hdf5Type type(H5Dget_type(dataset), what);
  const auto shape = read_shape(dataset, what);
  if (H5Tget_class(type) != H5T_INTEGER || shape.size() != 1) fail_input("{}: not a list of integers", what);
  std::vector<int32_t> out(static_cast<size_t>(shape[0]));
  if (!out.empty())
    check_hdf5(H5Dread(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, out.data()), what.c_str());
  return out;
}

TraceRecord TraceReader::State::read(const TraceKey& key, bool data) const {
  const auto found = paths.find(key);
  if (found == paths.end()) fail_input("trace {} has no dataset {}", path, key.path());
  const std::string at = where(key);
  const Hdf5Dataset dataset(H5Dopen2(file, found->second.c_str(), H5P_DEFAULT), at);
  const Hdf5Type type(H5Dget_type(dataset), at);
  const DType dtype = read_dtype(dataset, type, at);
  TraceRecord record{.key = key};
  record.axes = read_text(dataset, "axes", at);
  record.kernel = read_text(dataset, "kernel", at);
  record.contract = read_text(dataset, "contract", at);
  if (has_attribute(dataset, "window")) record.window = read_text(dataset, "window", at);
  if (has_attribute(dataset, "device_checksum"))
    record.device_checksum = read_text(dataset, "device_checksum", at);
  record.positions = read_positions(dataset, at);
  auto shape = read_shape(dataset, at);
  const std::string expected = read_text(dataset, "xxh3", at);

  auto tensor = std::make_shared<Tensor>(dtype, std::move(shape));
  record.tensor = tensor;
  if (!data) return record;
  if (tensor->size() > 0) {
    const Hdf5Type memory = trace_format::file_type(dtype);
    check_hdf5(H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor->data()), at.c_str());
  }
  const std::string actual = trace_format::xxh3_hex(XXH3_64bits(tensor->data(), tensor->bytes()));
  if (actual != expected)
    fail_input("{} is damaged: its bytes hash to {}, its attribute xxh3 says {}; capture it again", at,
               actual, expected);
  return record;
}

TraceReader::TraceReader(const std::string& path) : state_(std::make_unique<State>()) {
  const auto lock = lock_hdf5();
  state_->path = path;
  state_->open();
  state_->list();
}

TraceReader::~TraceReader() = default;
bool TraceReader::complete() const { return state_->complete; }
const RunIdentity& TraceReader::identity() const { return state_->identity; }
bool TraceReader::contains(const TraceKey& key) const { return state_->paths.contains(key); }

std::vector<TraceKey> TraceReader::keys() const {
  std::vector<std::pair<std::string, TraceKey>> sorted;
  for (const auto& [key, path] : state_->paths) sorted.emplace_back(path, key);
  std::sort(sorted.begin(), sorted.end());
  std::vector<TraceKey> out;
  for (auto& [path, key] : sorted) out.push_back(std::move(key));
  return out;
}

TraceRecord TraceReader::read(const TraceKey& key) const {
  const auto lock = lock_hdf5();
  return state_->read(key, true);
}

TraceRecord TraceReader::describe(const TraceKey& key) const {
  const auto lock = lock_hdf5();
  return state_->read(key, false);
}

std::vector<VerdictRow> TraceReader::verdicts() const {
  if (!state_->has_verdicts) return {};
  const auto lock = lock_hdf5();
  const std::string what = fmt::format("cannot read /verdicts of trace {}", state_->path);
  const Hdf5Dataset dataset(H5Dopen2(state_->file, "/verdicts", H5P_DEFAULT), what);
  const Hdf5Type table(H5Dget_type(dataset), what);
  const auto shape = read_shape(dataset, what);
  if (H5Tget_class(table) != H5T_COMPOUND || shape.size() != 1) fail_input("{}: it is not a table", what);
  const size_t count = static_cast<size_t>(shape[0]);
  std::vector<VerdictRow> rows(count);
  const auto fill = [&](auto member, auto values) {
    for (size_t i = 0; i < count; ++i) rows[i].*member = std::move(values[i]);
  };
  for (const auto& [name, member] : trace_format::verdict_columns()) {
    if (H5Tget_member_index(table, name) < 0) fail_input("{}: it has no column {}", what, name);
    if (const auto* text = std::get_if<std::string VerdictRow::*>(&member))
      fill(*text, read_text_column(dataset, table, name, count));
    else if (const auto* real = std::get_if<double VerdictRow::*>(&member))
      fill(*real, read_column<double>(dataset, name, H5T_NATIVE_DOUBLE, count));
    else if (const auto* wide = std::get_if<int64_t VerdictRow::*>(&member))
      fill(*wide, read_column<int64_t>(dataset, name, H5T_NATIVE_INT64, count));
    else
      fill(std::get<int32_t VerdictRow::*>(member),
           read_column<int32_t>(dataset, name, H5T_NATIVE_INT32, count));
  }
  return rows;
}

}  // namespace greta
