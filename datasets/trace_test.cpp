// TraceWriter and TraceReader against each other; trace_h5py_test holds each against h5py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cstring>
#include <fstream>

#include "datasets/error.hpp"
#include "datasets/trace_testing.hpp"

namespace greta {
namespace {

using namespace trace_testing;
using testing::HasSubstr;

template <typename Action>
std::string error_of(ExitCode code, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

TEST(Trace, RoundTripOfEveryTypeAndAttribute) {
  const TemporaryFolder folder;
  const std::string path = folder.file("t.h5");
  std::vector<TraceRecord> records;
  for (const auto dtype : {DType::f32, DType::f16, DType::bf16, DType::f64})
    records.push_back(record({"p0_short", "auto", "decode0", 3, std::string(name_of(dtype))},
                             index_coded(dtype, {3, 5, 7})));
  records.push_back(record({"p0_short", "auto", "prefill", -1, "logits"}, index_coded(DType::f32, {3, 11})));
  records.back().window = "rows 0..2";
  records.push_back(record({"p0_short", "auto", "prefill", 100, "q"}, index_coded(DType::f32, {0, 4})));
  records.push_back(
      record({"weights", "", "", -1, "blk.0/odd%name\xc3\xb1.weight"}, index_coded(DType::f16, {4, 2})));
  records.push_back(record({"weights", "", "", -1, "."}, index_coded(DType::f32, {})));
  records.push_back(record({"long", "auto", "prefill", 0, "q"}, index_coded(DType::f32, {1})));
  records.back().positions.resize(20000);
  for (int i = 0; i < 20000; ++i) records.back().positions[static_cast<size_t>(i)] = i + 7;
  {
    TraceWriter writer(path, identity());
    for (const auto& one : records) writer.submit(one);
    writer.set_prompt_tokens("p/5", std::vector<int32_t>{9, 8});
    writer.close();
  }
  const TraceReader reader(path);
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.identity().model_metadata_json, identity().model_metadata_json);
  EXPECT_EQ(reader.identity().created, identity().created);
  EXPECT_EQ(reader.identity().prompt_tokens,
            (std::map<std::string, std::vector<int32_t>>{{"p0_short", {1, 2, 3}}, {"p/5", {9, 8}}}));
  EXPECT_EQ(reader.keys().size(), records.size());
  for (const auto& wanted : records) {
    SCOPED_TRACE(wanted.key.path());
    const auto got = reader.read(wanted.key);
    EXPECT_TRUE(same_bytes(*got.tensor, *wanted.tensor));
    EXPECT_EQ(got.axes, wanted.axes);
    EXPECT_EQ(got.positions, wanted.positions);
    EXPECT_EQ(got.window, wanted.window);
    EXPECT_EQ(got.kernel, wanted.kernel);
    EXPECT_EQ(got.contract, wanted.contract);
    EXPECT_EQ(reader.describe(wanted.key).tensor->shape(), wanted.tensor->shape());
  }
  EXPECT_EQ(reader.keys().front().path(), "/long/auto/prefill/layer_00/q");
  EXPECT_FALSE(reader.contains({"p0_short", "auto", "decode1", 3, "f32"}));
  EXPECT_THAT(error_of(ExitCode::bad_input,
                       [&] {
                         reader.read({"x", "y", "z", 0, "q"});
                       }),
              HasSubstr("/x/y/z/layer_00/q"));
}

TEST(Trace, FlushedInManyStepsWithRandomSizes) {
  const uint64_t seed = fresh_seed();
  SCOPED_TRACE(testing::Message() << "GRETA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  const TemporaryFolder folder;
  const std::string path = folder.file("t.h5");
  std::map<TraceKey, TensorPtr> sent;
  TraceWriter writer(path, identity());
  for (int i = 0; i < 300; ++i) {
    const TraceKey key{"p" + std::to_string(random() % 3), "arm" + std::to_string(random() % 2),
                       "decode" + std::to_string(random() % 2), static_cast<int>(random() % 4) - 1,
                       "s" + std::to_string(i)};
    sent[key] =
        random_tensor({static_cast<int64_t>(random() % 40), static_cast<int64_t>(random() % 100)}, random);
    writer.submit(record(key, sent[key]));
    if (random() % 10 != 0) continue;
    writer.flush();
    const TraceReader reader(path);  // beside the open writer
    EXPECT_FALSE(reader.complete());
    EXPECT_EQ(reader.keys().size(), sent.size());
    EXPECT_TRUE(same_bytes(*reader.read(key).tensor, *sent[key]));
  }
  writer.close();
  const TraceReader reader(path);
  ASSERT_EQ(reader.keys().size(), sent.size());
  for (const auto& [key, tensor] : sent)
    EXPECT_TRUE(same_bytes(*reader.read(key).tensor, *tensor)) << key.path();
}

TEST(Trace, NotClosedIsIncompleteAndKeepsWhatWasSubmitted) {
  const TemporaryFolder folder;
  const std::string path = folder.file("t.h5");
  const TraceKey key{"p", "a", "prefill", 0, "q"};
  {
    TraceWriter writer(path, identity());
    EXPECT_FALSE(TraceReader(path).complete()) << "opens from the first moment on";
    writer.submit(record(key, index_coded(DType::f32, {2, 3})));
  }
  const TraceReader reader(path);
  EXPECT_FALSE(reader.complete());
  EXPECT_TRUE(reader.contains(key));
}

TEST(Trace, DuplicatesAndBadKeysAreRefused) {
  const TemporaryFolder folder;
  TraceWriter writer(folder.file("t.h5"), identity());
  const auto q = record({"p", "a", "prefill", 0, "q"}, index_coded(DType::f32, {2}));
  writer.submit(q);
  EXPECT_THAT(error_of(ExitCode::invalid, [&] { writer.submit(q); }), HasSubstr("/p/a/prefill/layer_00/q"));
  auto bad = q;
  bad.key.prompt = "verdicts";
  EXPECT_THAT(error_of(ExitCode::invalid, [&] { writer.submit(bad); }), HasSubstr("'verdicts'"));
  bad.key = {"p", "", "prefill", 0, "q"};
  error_of(ExitCode::invalid, [&] { writer.submit(bad); });
  writer.set_prompt_tokens("p", std::vector<int32_t>{1});
  writer.set_prompt_tokens("p", std::vector<int32_t>{1});
  error_of(ExitCode::invalid, [&] { writer.set_prompt_tokens("p", std::vector<int32_t>{2}); });
  writer.close();
  error_of(ExitCode::internal, [&] { writer.flush(); });
}

TEST(Trace, VerdictsRoundTripAndAreReplaced) {
  const TemporaryFolder folder;
  const std::string path = folder.file("t.h5");
  std::vector<VerdictRow> rows(3);
  rows[1] = {.prompt = "p0",
             .arm = "auto",
             .phase = "decode0",
             .probe = "stage_parity",
             .mode = "local",
             .stage = "q",
             .status = "fail",
             .worst_index = "[2, 1, 0]",
             .kernel = "k",
             .contract = "ñ",
             .layer = 7,
             .count = 1LL << 40,
             .out_of_bound = 2,
             .nan_count = 3,
             .inf_count = 4,
             .bound_ratio = 1.5,
             .certain_ratio = 0.25,
             .max_abs = 1e-9,
             .mae = 2,
             .rmse = 3,
             .nmse = 4,
             .cosine = 0.5,
             .bias_z = -6,
             .actual = 7,
             .expected = 8};
  TraceWriter writer(path, identity());
  EXPECT_TRUE(TraceReader(path).verdicts().empty());
  writer.write_verdicts({});
  writer.flush();
  EXPECT_TRUE(TraceReader(path).verdicts().empty());
  writer.write_verdicts(rows);
  writer.close();
  const auto got = TraceReader(path).verdicts();
  ASSERT_EQ(got.size(), 3u);
  const auto tie = [](const VerdictRow& r) {
    return std::tie(r.prompt, r.arm, r.phase, r.probe, r.mode, r.stage, r.status, r.worst_index, r.kernel,
                    r.contract, r.layer, r.count, r.out_of_bound, r.nan_count, r.inf_count, r.bound_ratio,
                    r.certain_ratio, r.max_abs, r.mae, r.rmse, r.nmse, r.cosine, r.bias_z, r.actual,
                    r.expected);
  };
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(tie(got[i]) == tie(rows[i])) << i;
}

class DamagedTrace : public testing::Test {
 protected:
  DamagedTrace() {
    TraceWriter writer(path, identity());
    writer.submit(record(key, index_coded(DType::f32, {64, 64})));
    writer.close();
  }
  std::string open_error() {
    return error_of(ExitCode::bad_input, [&] { TraceReader reader(path); });
  }
  void change(const std::string& bytes, size_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }
  std::string contents() {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  const TemporaryFolder folder;
  const std::string path = folder.file("t.h5");
  const TraceKey key{"p", "a", "prefill", 0, "q"};
};

TEST_F(DamagedTrace, NotThereADirectoryNotHdf5) {
  EXPECT_THAT(error_of(ExitCode::bad_input, [&] { TraceReader reader(folder.file("none.h5")); }),
              HasSubstr("No such file"));
  EXPECT_THAT(error_of(ExitCode::bad_input, [&] { TraceReader reader(folder.file("")); }),
              HasSubstr("is a directory"));
  std::ofstream(path) << "GGUF....................";
  EXPECT_THAT(open_error(), HasSubstr("not an HDF5 file"));
  std::ofstream(path, std::ios::trunc) << "";
  EXPECT_THAT(open_error(), HasSubstr("not an HDF5 file"));
}

TEST_F(DamagedTrace, ForeignHdf5) {
  H5Fclose(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  EXPECT_THAT(open_error(), HasSubstr("not a trace"));
}

TEST_F(DamagedTrace, TruncatedAnywhereNeverReadsAsWhole) {
  const std::string whole = contents();
  for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 97) {
    std::ofstream(path, std::ios::trunc | std::ios::binary) << whole.substr(0, size);
    EXPECT_THAT(open_error(), testing::AnyOf(HasSubstr("truncated"), HasSubstr("not an HDF5 file"))) << size;
  }
}

TEST_F(DamagedTrace, NewerSchema) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  const hid_t attribute = H5Aopen(file, "schema_version", H5P_DEFAULT);
  const int newer = kTraceSchema + 1;
  H5Awrite(attribute, H5T_NATIVE_INT, &newer);
  H5Aclose(attribute);
  H5Fclose(file);
  EXPECT_THAT(open_error(), HasSubstr("schema version 2"));
}

// (Damage inside HDF5's own metadata is the library's to notice: 1.10 has no checksum there.)
TEST_F(DamagedTrace, OneBitOfATensorAnywhere) {
  const uint64_t seed = fresh_seed();
  SCOPED_TRACE(testing::Message() << "GRETA_TEST_SEED=" << seed);
  std::mt19937_64 random(seed);
  const std::string whole = contents();
  const auto tensor = index_coded(DType::f32, {64, 64});
  const size_t data = whole.find(std::string(reinterpret_cast<const char*>(tensor->data()), tensor->bytes()));
  ASSERT_NE(data, std::string::npos) << "contiguous in the file";
  for (int trial = 0; trial < 100; ++trial) {
    const size_t at = data + random() % tensor->bytes();
    change(std::string(1, static_cast<char>(whole[at] ^ (1 << random() % 8))), at);
    EXPECT_THAT(error_of(ExitCode::bad_input, [&] { TraceReader(path).read(key); }),
                HasSubstr("/p/a/prefill/layer_00/q"))
        << at;
    change(whole.substr(at, 1), at);
  }
  EXPECT_NO_THROW(TraceReader(path).read(key));
}

TEST(Trace, CannotBeCreated) {
  const TemporaryFolder folder;
  const auto create = [](const std::string& path) {
    return error_of(ExitCode::bad_input, [&] { TraceWriter writer(path, identity()); });
  };
  EXPECT_THAT(create(folder.file("no/such/t.h5")), HasSubstr("No such file or directory"));
  EXPECT_THAT(create(folder.file("")), HasSubstr("directory"));
  std::ofstream(folder.file("plain")) << "x";
  EXPECT_THAT(create(folder.file("plain/t.h5")), HasSubstr("Not a directory"));
  EXPECT_THAT(create("/proc/t.h5"), HasSubstr("cannot write trace /proc/t.h5: "));
}

TEST(Trace, AnEarlierFileStaysUntilTheNewOneOpens) {
  const TemporaryFolder folder;
  std::ofstream(folder.file("t.h5")) << "earlier";
  TraceWriter writer(folder.file("t.h5"), identity());
  TraceReader reader(folder.file("t.h5"));
  EXPECT_FALSE(std::filesystem::exists(folder.file("t.h5.new")));
}

}  // namespace
}  // namespace greta
