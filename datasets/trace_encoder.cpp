#include "datasets/trace_encoder.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "datasets/error.hpp"
#include "datasets/trace_format.hpp"

namespace greta {
namespace {

// Each piece is hashed and then written from the cache, so that memory is read once.
constexpr size_t kPiece = 64 * 1024;

void write_attribute(hid_t object, const char* name, hid_t type, hid_t space, const void* value) {
  const Hdf5Attribute attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT),
                                fmt::format("cannot create the attribute {}", name));
  check_hdf5(H5Awrite(attribute, type, value), "cannot write an attribute");
}

void write_positions(hid_t dataset, std::span<const int32_t> positions) {
  if (positions.empty()) return;
  std::array<int32_t, 2> first_and_count;
  const char* name = "positions";
  if (positions.size() > trace_format::kMostPositions) {
    for (size_t i = 1; i < positions.size(); ++i)
      if (positions[i] != positions[i - 1] + 1)
        fail_invalid("{} positions that are not consecutive do not fit into a trace's attribute",
                     positions.size());
    first_and_count = {positions[0], static_cast<int32_t>(positions.size())};
    positions = first_and_count;
    name = "positions_range";
  }
  const hsize_t count = positions.size();
  const Hdf5Space space(H5Screate_simple(1, &count, nullptr), "cannot create a dataspace");
  write_attribute(dataset, name, H5T_STD_I32LE, space, positions.data());
}

}  // namespace

struct TraceEncoder::Shared {
  Hdf5Type text = trace_format::text_type();
  Hdf5Type f32 = trace_format::file_type(DType::f32), f16 = trace_format::file_type(DType::f16),
           bf16 = trace_format::file_type(DType::bf16);
  Hdf5Space scalar{H5Screate(H5S_SCALAR), "cannot create a dataspace"};
  Hdf5Properties creation{H5Pcreate(H5P_DATASET_CREATE), "cannot set up a dataset"};

  Shared() {
    check_hdf5(H5Pset_layout(creation, H5D_CONTIGUOUS), "cannot set up a dataset");
    check_hdf5(H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY), "cannot set up a dataset");
    check_hdf5(H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER), "cannot set up a dataset");
    check_hdf5(H5Pset_obj_track_times(creation, false), "cannot set up a dataset");
  }
  hid_t type(DType dtype) const { return dtype == DType::f32 ? f32 : dtype == DType::f16 ? f16 : bf16; }
  void write(hid_t object, const char* name, const std::string& value) const {
    const char* text_value = value.c_str();
    write_attribute(object, name, text, scalar, &text_value);
  }
  void write(hid_t object, const char* name, int32_t value) const {
    write_attribute(object, name, H5T_STD_I32LE, scalar, &value);
  }
};

TraceEncoder::TraceEncoder(const std::string& path, const RunIdentity& identity) : identity_(identity) {
  const auto lock = lock_hdf5();
  shared_ = std::make_unique<Shared>();
  file_ = std::make_unique<TraceFile>(path);
  tree_ = std::make_unique<TraceTree>(*file_);
}

TraceEncoder::~TraceEncoder() {
  const auto lock = lock_hdf5();
  tree_.reset();
  file_.reset();
  shared_.reset();
}

TraceEncoder::Placed TraceEncoder::place(hid_t type, std::span<const int64_t> shape, size_t bytes) {
  const std::vector<hsize_t> sizes(shape.begin(), shape.end());
  const Hdf5Space space(sizes.empty()
                            ? H5Screate(H5S_SCALAR)
                            : H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
                        "cannot create a dataspace");
  Placed placed;
  placed.dataset = Hdf5Dataset(H5Dcreate_anon(file_->id(), type, space, shared_->creation, H5P_DEFAULT),
                               "cannot create a dataset");
  if (bytes == 0) return placed;
  placed.address = H5Dget_offset(placed.dataset);
  if (placed.address == HADDR_UNDEF) fail_hdf5("a dataset of the trace has no place in the file");
  file_->forget(placed.address, bytes);
  return placed;
}

uint64_t TraceEncoder::write_hashed(uint64_t address, std::span<const std::byte> bytes) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  XXH3_64bits_reset(state.get());
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const auto piece = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
    XXH3_64bits_update(state.get(), piece.data(), piece.size());
    file_->write_raw(address + at, piece);
  }
  return XXH3_64bits_digest(state.get());
}

void TraceEncoder::write(const TraceRecord& record) {
  const auto path = trace_format::components(record.key);
  const Tensor& tensor = *record.tensor;
  Placed placed;
  {
    const auto lock = lock_hdf5();
    placed = place(shared_->type(tensor.dtype()), tensor.shape(), tensor.bytes());
  }
  const uint64_t hash = write_hashed(placed.address, {tensor.data(), tensor.bytes()});

  const auto lock = lock_hdf5();
  shared_->write(placed.dataset, "axes", record.axes);
  shared_->write(placed.dataset, "kernel", record.kernel);
  shared_->write(placed.dataset, "contract", record.contract);
  shared_->write(placed.dataset, "xxh3", trace_format::xxh3_hex(hash));
  if (!record.window.empty()) shared_->write(placed.dataset, "window", record.window);
  if (!record.device_checksum.empty())
    shared_->write(placed.dataset, "device_checksum", record.device_checksum);
  if (tensor.dtype() == DType::bf16) shared_->write(placed.dataset, "dtype", "bf16");
  write_positions(placed.dataset, record.positions);
  tree_->add(path, std::move(placed.dataset));
}

void TraceEncoder::write_tokens(const std::string& prompt, std::span<const int32_t> tokens) {
  const auto lock = lock_hdf5();
  const int64_t count = static_cast<int64_t>(tokens.size());
  Placed placed = place(H5T_STD_I32LE, {&count, 1}, tokens.size_bytes());
  file_->write_raw(placed.address, std::as_bytes(tokens));
  tree_->add(std::array{std::string(trace_format::kPrompts), trace_format::escape(prompt)},
             std::move(placed.dataset));
}

void TraceEncoder::write_verdicts(std::span<const VerdictRow> rows) {
  struct Field {
    trace_format::VerdictMember member;
    size_t offset, bytes;
  };
  const auto lock = lock_hdf5();
  std::vector<Field> fields;
  std::vector<Hdf5Type> types;
  size_t row_bytes = 0;
  for (const auto& column : trace_format::verdict_columns()) {
    size_t bytes = 8;
    if (const auto* text = std::get_if<std::string VerdictRow::*>(&column.member)) {
      bytes = 1;
      for (const auto& row : rows) bytes = std::max(bytes, (row.**text).size());
      types.push_back(trace_format::fixed_text_type(bytes));
    } else if (std::holds_alternative<double VerdictRow::*>(column.member)) {
      types.emplace_back(H5Tcopy(H5T_IEEE_F64LE), "cannot copy an HDF5 type");
    } else if (std::holds_alternative<int64_t VerdictRow::*>(column.member)) {
      types.emplace_back(H5Tcopy(H5T_STD_I64LE), "cannot copy an HDF5 type");
    } else {
      bytes = 4;
      types.emplace_back(H5Tcopy(H5T_STD_I32LE), "cannot copy an HDF5 type");
    }
    fields.push_back({column.member, row_bytes, bytes});
    row_bytes += bytes;
  }
  const Hdf5Type table(H5Tcreate(H5T_COMPOUND, row_bytes), "cannot define the table of verdicts");
  for (size_t i = 0; i < fields.size(); ++i)
    check_hdf5(H5Tinsert(table, trace_format::verdict_columns()[i].name, fields[i].offset, types[i]),
               "cannot define the table of verdicts");

  std::vector<std::byte> bytes(rows.size() * row_bytes);
  for (size_t i = 0; i < rows.size(); ++i)
    for (const auto& field : fields)
      std::visit(
          [&](auto member) {
            const auto& value = rows[i].*member;
            std::byte* cell = bytes.data() + i * row_bytes + field.offset;
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>)
              std::memcpy(cell, value.data(), value.size());
            else
              std::memcpy(cell, &value, sizeof(value));
          },
          field.member);
  const int64_t count = static_cast<int64_t>(rows.size());
  Placed placed = place(table, {&count, 1}, bytes.size());
  file_->write_raw(placed.address, bytes);
  tree_->add(std::array{std::string(trace_format::kVerdicts)}, std::move(placed.dataset));
}

void TraceEncoder::publish(bool complete) {
  const auto lock = lock_hdf5();
  tree_->publish([&](hid_t root) { write_root(root, complete); });
}

void TraceEncoder::write_root(hid_t root, bool complete) const {
  shared_->write(root, "schema_version", int32_t{kTraceSchema});
  shared_->write(root, "complete", int32_t{complete});
  for (const auto& field : trace_format::identity_fields())
    shared_->write(root, field.name, identity_.*field.member);
}

}  // namespace greta
