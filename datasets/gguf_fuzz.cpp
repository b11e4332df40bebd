// libFuzzer: whatever the bytes, GgufFile::parse either throws greta::Error (bad_input) or gives tensors that
// can be read.
#include <cstdlib>

#include "datasets/error.hpp"
#include "datasets/gguf.hpp"
#include "datasets/inspect.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file = greta::GgufFile::parse({reinterpret_cast<const std::byte*>(data), size}, "fuzz.gguf");
    for (const auto& tensor : file.tensors()) {
      volatile std::byte sink{};
      for (int64_t row = 0; row < tensor.rows(); ++row) sink = tensor.row(row).back();
      (void)sink;
    }
    if (greta::inspect(file).empty()) std::abort();
  } catch (const greta::Error& error) {
    if (error.code() != greta::ExitCode::bad_input) std::abort();
  }
  return 0;
}
