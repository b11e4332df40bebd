// engine/: the engine under test. A Llama forward pass, prefill and decode over a KV cache, as a chain of HIP
// kernels on packed weights. It may include kernels/ and datasets/, never reference/: nothing that checks it
// may share its mistakes. To add a kernel: one file in kernels/, one call in forward.cpp; its launcher
// attests what ran and declares its contract.
#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/gguf.hpp"
#include "datasets/stage.hpp"
#include "datasets/tensor.hpp"

namespace greta::engine {

enum class Unit { automatic, valu, mfma };   // what multiplies
enum class Shape { automatic, gemm, gemv };  // tiled for many rows, or a row at a time
Unit parse_unit(std::string_view);           // Error (usage) with the nearest right name
Shape parse_shape(std::string_view);
std::string parse_matrix_unit(std::string_view);  // of the host machine; the name itself

// "host", "hip", "hip:1", a list "hip:0,hip:1", or "hip:all": one device each. Errors as Engine's for
// hip:all; (usage) the host machine or a device twice in a list.
std::vector<std::string> parse_devices(const std::string& list);

struct Settings {
  std::string device = "host";  // host, hip (the first card) or hip:N
  Unit unit = Unit::automatic;
  Shape shape = Shape::automatic;
  int wave = 64;                       // host machine: 64 or 32
  int threads = 0;                     // host machine: workers, 0 = all cores
  std::string matrix_unit = "ieee";    // host machine: ieee, cdna2, cdna3 or hopper (docs/contracts.md)
  std::optional<uint64_t> order_seed;  // host machine: permutes the order in which lanes run
  int context = 0;                     // cache positions; 0 = the model's own context length
  std::vector<std::string>
      faults;  // planted (faults/fault.hpp has the grammar); none in an engine that ships
  // Told of each launch that a fault spoils, so that a self-test knows where one was at work.
  std::function<void(Stage, int layer, int64_t start, int64_t rows)> on_strike;
  bool poison = true;  // fill outputs with NaN before each kernel, so that an unwritten element is seen
};

// One tensor as it was when its kernel had finished. Delivered in order, from the stream's thread.
struct TapRecord {
  std::optional<Stage> stage;  // empty: a weight, named by `weight`
  std::string weight;
  int layer = -1;
  TensorPtr tensor;
  std::vector<int32_t> positions;  // of the rows of S (or of T)
  std::vector<int32_t> tokens;     // embed: the tokens that were looked up
  std::string kernel;              // attested: name, route, tile, weight type
  std::string contract;
};
using TapSink = std::function<void(TapRecord&&)>;

struct Taps {
  std::bitset<kStageCount> stages;
  std::vector<int> layers;  // empty: all
  static Taps none() { return {}; }
  static Taps all() {
    Taps taps;
    taps.stages.set();
    return taps;
  }
  bool wants(Stage, int layer) const;
};

// How many rows of logits a forward pass computes: a server needs the last one, a check needs them all.
enum class LogitRows { last, all };

struct ForwardResult {
  std::vector<float> last_logits;  // [V], of the last row
  int32_t top1 = -1;               // by the argmax kernel
};

class Engine {
 public:
  // Loads the weights to the device as they are packed. Errors (bad_input): no such device, or a build
  // without it; not a llama model, a missing tensor, a wrong shape, an unsupported type; NaN or infinite
  // weights, each naming the tensor; (usage): a fault that does not exist or that this model has no place
  // for.
  Engine(const GgufFile& model, const Settings& settings);
  ~Engine();

  void reset();          // forgets the cache
  int position() const;  // tokens in the cache
  int context() const;
  std::string device() const;        // "host machine, wave 64, 2 threads", "NVIDIA H200, hip:0"
  std::string backend() const;       // "host", "nvidia", "amd"
  std::string model_digest() const;  // of the file that the weights came from

  // Appends `tokens` to the cache and runs them at the positions after those in it. Errors (bad_input): no
  // tokens, a token outside the vocabulary, more tokens than the context holds. Returns after every tap has
  // been delivered.
  ForwardResult forward(std::span<const int32_t> tokens, LogitRows rows, const Taps& taps,
                        const TapSink& sink);

  // The engine's own dequantised view of every weight, computed by its kernels, one record a tensor.
  void tap_weights(const TapSink& sink);

 private:
  std::unique_ptr<class OnMachine> machine_;
};

}  // namespace greta::engine
