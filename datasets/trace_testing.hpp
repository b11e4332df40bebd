// What the tests and the benchmark of the trace share.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "datasets/trace.hpp"

namespace greta::trace_testing {

// A directory of its own, removed with all in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "greta_trace_XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("cannot create " + name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline uint64_t fresh_seed() {
  const char* given = std::getenv("GRETA_TEST_SEED");
  return given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

// Element [i, j, k] is 1 + i + j / 16 + k / 256: exact in f32, f16 and (rounded alike) bf16 for small sizes,
// and no two axes can be exchanged unseen.
inline TensorPtr index_coded(DType dtype, std::vector<int64_t> shape) {
  auto tensor = std::make_shared<Tensor>(dtype, shape);
  shape.resize(3, 1);
  for (int64_t i = 0, at = 0; i < shape[0]; ++i)
    for (int64_t j = 0; j < shape[1]; ++j)
      for (int64_t k = 0; k < shape[2]; ++k, ++at) {
        const float value =
            1.0f + static_cast<float>(i) + static_cast<float>(j) / 16 + static_cast<float>(k) / 256;
        if (dtype == DType::f64)
          reinterpret_cast<double*>(tensor->data())[at] = value + 0x1p-40;  // no f32 holds it
        else if (dtype == DType::f32)
          reinterpret_cast<float*>(tensor->data())[at] = value;
        else
          reinterpret_cast<uint16_t*>(tensor->data())[at] =
              dtype == DType::f16 ? f32_to_f16(value) : f32_to_bf16(value);
      }
  return tensor;
}

inline TensorPtr random_tensor(std::vector<int64_t> shape, std::mt19937_64& random) {
  auto tensor = std::make_shared<Tensor>(DType::f32, std::move(shape));
  for (float& value : tensor->f32()) value = static_cast<float>(random() >> 40) * 0x1p-12f - 2048;
  return tensor;
}

inline RunIdentity identity() {
  return {.greta_version = "0.1.0",
          .build = "test",
          .command_line = "greta run suites/acceptance.toml",
          .model_path = "mini.gguf",
          .model_digest = "0123456789abcdef",
          .model_metadata_json = R"({"general.architecture":"llama","name":"ñandú"})",
          .device = "host",
          .backend = "host",
          .created = "2026-11-21T08:00:00Z",
          .prompt_tokens = {{"p0_short", {1, 2, 3}}}};
}

inline TraceRecord record(TraceKey key, TensorPtr tensor) {
  return {.key = std::move(key),
          .tensor = std::move(tensor),
          .axes = "S,H,Dh",
          .positions = {0, 1, 2},
          .kernel = "qkv valu gemm tile=16x16 weight=Q4_K",
          .contract = "op=matmul x=f32 w=f32 acc=f32 chain=256 out=f32 unit=ieee"};
}

}  // namespace greta::trace_testing
