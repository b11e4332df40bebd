// The model's weights in device memory, packed as they are in the file.
#pragma once

#include <string>
#include <vector>

#include "datasets/gguf.hpp"
#include "engine/config.hpp"
#include "kernels/hip/checked.hpp"
#include "kernels/kernels.hpp"

namespace greta::engine::inline GRETA_MACHINE {

struct LoadedWeight {
  std::string name;
  kernels::DeviceBuffer<std::byte> storage;
  kernels::Weight view;
  const float* f32() const { return reinterpret_cast<const float*>(storage.data()); }  // norms
};

struct LayerWeights {
  const LoadedWeight *attn_norm, *q, *k, *v, *wo, *ffn_norm, *gate, *up, *down;
};

class Weights {
 public:
  // Errors (bad_input), each naming the tensor: missing, of another shape, of an unsupported type, NaN or
  // infinite, or one that the engine would not use (a bias, say): leaving it out would be another model.
  Weights(const GgufFile& file, const Config& config);

  const LoadedWeight* token_embd = nullptr;
  const LoadedWeight* output_norm = nullptr;
  const LoadedWeight* output = nullptr;  // token_embd when tied
  std::vector<LayerWeights> layers;
  const std::vector<std::unique_ptr<LoadedWeight>>& all() const { return all_; }

 private:
  const LoadedWeight* load(const GgufFile&, const std::string& name, int64_t columns, int64_t rows);
  const LoadedWeight* load_norm(const GgufFile&, const std::string& name, int64_t columns);
  std::vector<std::unique_ptr<LoadedWeight>> all_;
};

// Whether a packed tensor holds a NaN or an infinity, in a value or in a block's scale.
bool all_finite(const GgufTensor& tensor);

}  // namespace greta::engine::inline GRETA_MACHINE
