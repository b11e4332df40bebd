// The trace against h5py, which shares no code with ours: our file read by it, its file read by us.
#include <gtest/gtest.h>
#include <xxhash.h>

#include <cstdio>
#include <fstream>

#include "datasets/trace_testing.hpp"

namespace greta {
namespace {

using namespace trace_testing;

constexpr const char* kPython = "/usr/bin/python3";

class TraceH5py : public testing::Test {
 protected:
  void SetUp() override {
    if (run("import h5py, numpy").first != 0)
      GTEST_SKIP() << "*** h5py IS MISSING: the trace was NOT checked against it; install python3-h5py ***";
  }
  // Exit status and output of a script; argv[1] is the file.
  std::pair<int, std::string> run(const std::string& script) const {
    std::ofstream(folder.file("script.py")) << script;
    FILE* pipe =
        ::popen((std::string(kPython) + " " + folder.file("script.py") + " " + path + " 2>&1").c_str(), "r");
    std::string output;
    char buffer[4096];
    while (const size_t got = std::fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, got);
    return {::pclose(pipe), output};
  }
  const TemporaryFolder folder;
  const std::string path = folder.file("t.h5");
};

TEST_F(TraceH5py, ReadsOurFile) {
  {
    TraceWriter writer(path, identity());
    for (const auto dtype : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
      auto one = record({"p0_short", "auto", "decode0", 3, std::string(name_of(dtype))},
                        index_coded(dtype, {3, 5, 7}));
      if (dtype == DType::f16) one.window = "rows 0..3";
      writer.submit(one);
    }
    writer.submit(record({"weights", "", "", -1, "a/b.weight"}, index_coded(DType::f32, {2, 4, 3})));
    VerdictRow row{.prompt = "p0_short",
                   .stage = "softmax",
                   .status = "fail",
                   .layer = 2,
                   .count = 7,
                   .bound_ratio = 1.5};
    writer.write_verdicts({row, {.stage = "q", .layer = -1}});
    writer.close();
  }
  const auto [status, output] = run(R"(
import h5py, numpy as np, sys
f = h5py.File(sys.argv[1], 'r')
assert f.attrs['complete'] == 1 and f.attrs['schema_version'] == 1
assert f.attrs['model_metadata'] == '{"general.architecture":"llama","name":"\u00f1and\u00fa"}', f.attrs['model_metadata']
assert f.attrs['created'] == '2026-11-21T08:00:00Z'
assert f['prompts/p0_short'][:].tolist() == [1, 2, 3]
i, j, k = np.meshgrid(np.arange(3), np.arange(5), np.arange(7), indexing='ij')
want = (1 + i + j / 16 + k / 256).astype(np.float32)
g = f['p0_short/auto/decode0/layer_03']
assert sorted(g) == ['bf16', 'f16', 'f32', 'f64'], list(g)
for name, dtype in (('f32', np.float32), ('f16', np.float16), ('bf16', np.uint16), ('f64', np.float64)):
    d = g[name]
    assert d.dtype == dtype and d.shape == (3, 5, 7) and d.chunks is None, d
    a = d.attrs
    assert all(type(a[n]) is str for n in ('axes', 'kernel', 'contract', 'xxh3'))
    assert a['axes'] == 'S,H,Dh' and a['positions'].tolist() == [0, 1, 2] and a['positions'].dtype == np.int32
    assert a['kernel'].startswith('qkv') and a['contract'].startswith('op=matmul') and len(a['xxh3']) == 16
    assert ('window' in a) == (name == 'f16')
assert (g['f32'][()] == want).all()
assert (g['f64'][()] == want.astype(np.float64) + 2.0**-40).all()
assert (g['f16'][()] == want.astype(np.float16)).all()
assert g['bf16'].attrs['dtype'] == 'bf16'
wide = (g['bf16'][()].astype(np.uint32) << 16).view(np.float32)
assert (abs(wide - want) <= want / 256).all() and wide[2, 0, 0] == 3 and wide[0, 4, 0] == 1.25
assert f['weights/a%2Fb.weight'].shape == (2, 4, 3)
v = f['verdicts'][:]
assert v.dtype.names[:8] == ('prompt', 'arm', 'phase', 'layer', 'stage', 'probe', 'mode', 'status'), v.dtype
assert v['stage'].tolist() == [b'softmax', b'q'] and v['layer'].tolist() == [2, -1]
assert v['bound_ratio'].tolist() == [1.5, 0] and v['count'].tolist() == [7, 0] and v['arm'].tolist() == [b'', b'']
names = []
f.visit(names.append)
assert len([n for n in names if isinstance(f[n], h5py.Dataset)]) == 7, names
print('ok')
)");
  EXPECT_EQ(status, 0) << output;
  EXPECT_EQ(output, "ok\n");
}

TEST_F(TraceH5py, WritesWhatWeRead) {
  std::string script = R"(
import h5py, numpy as np, sys
i, j, k = np.meshgrid(np.arange(3), np.arange(5), np.arange(7), indexing='ij')
values = (1 + i + j / 16 + k / 256).astype(np.float32)
f = h5py.File(sys.argv[1], 'w')
f.attrs['schema_version'] = 1
f.attrs['complete'] = 1
for n in ('greta_version', 'build', 'command_line', 'model_path', 'model_digest', 'model_metadata', 'device', 'backend', 'created'):
    f.attrs[n] = 'by \u00f1 ' + n
f['prompts/p0'] = np.array([4, 5], dtype=np.int64)
def put(path, data, xxh3, **more):
    d = f.create_dataset(path, data=data, **more)
    d.attrs['axes'] = 'S,H,Dh'
    d.attrs['kernel'] = 'other engine'
    d.attrs['contract'] = np.bytes_(b'op=copy')
    d.attrs['positions'] = np.array([7, 8, 9], dtype=np.int64)
    d.attrs['xxh3'] = xxh3
    return d
)";
  for (const auto dtype : {DType::f32, DType::f16}) {
    const auto tensor = index_coded(dtype, {3, 5, 7});
    char hash[17];
    std::snprintf(hash, sizeof(hash), "%016llx",
                  static_cast<unsigned long long>(XXH3_64bits(tensor->data(), tensor->bytes())));
    const std::string name(name_of(dtype));
    const std::string data = dtype == DType::f32 ? "values, '" : "values.astype(np.float16), '";
    script += "put('p0/hf/prefill/layer_01/" + name + "', " + data + hash + "')\n";
    script += "put('p0/hf/prefill/packed_" + name + "', " + data + hash +
              "', chunks=(2, 2, 3), compression='gzip')\n";
  }
  const auto [status, output] = run(script + "f.close()\n");
  ASSERT_EQ(status, 0) << output;

  const TraceReader reader(path);
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.identity().model_metadata_json, "by \xc3\xb1 model_metadata");
  EXPECT_EQ(reader.identity().prompt_tokens.at("p0"), (std::vector<int32_t>{4, 5}));
  ASSERT_EQ(reader.keys().size(), 4u);
  for (const auto& key : reader.keys()) {
    SCOPED_TRACE(key.path());
    const auto got = reader.read(key);
    EXPECT_EQ(got.positions, (std::vector<int32_t>{7, 8, 9}));
    EXPECT_EQ(got.contract, "op=copy");
    ASSERT_EQ(got.tensor->shape(), (std::vector<int64_t>{3, 5, 7}));
    const auto values = got.tensor->to_f64();
    for (size_t at = 0; at < values.size(); ++at) {
      const double wanted = 1.0 + static_cast<double>(at / 35) + static_cast<double>(at / 7 % 5) / 16 +
                            static_cast<double>(at % 7) / 256;
      ASSERT_EQ(values[at], wanted) << at;
    }
  }
}

TEST_F(TraceH5py, OpensAFileWhoseWriterIsStillOpen) {
  TraceWriter writer(path, identity());
  writer.submit(record({"p", "a", "prefill", 0, "q"}, index_coded(DType::f32, {2, 2})));
  writer.flush();
  const auto [status, output] =
      run("import h5py, sys\nf = h5py.File(sys.argv[1], 'r')\n"
          "assert f.attrs['complete'] == 0\nprint(f['p/a/prefill/layer_00/q'][1, 1])\n");
  EXPECT_EQ(status, 0) << output;
  EXPECT_EQ(output, "2.0625\n");
}

}  // namespace
}  // namespace greta
