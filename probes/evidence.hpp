// What probes read: the tensors that an engine delivered in one case (a prompt under an arm), phase by phase,
// and the reference. Nothing that is missing is skipped: every getter throws Missing, which becomes an
// INVALID finding that names what was not there.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "datasets/message.hpp"
#include "datasets/stage.hpp"
#include "datasets/tensor.hpp"
#include "reference/reference.hpp"

namespace greta::probes {

struct Missing : std::runtime_error {
  explicit Missing(Message what_is_missing)
      : std::runtime_error(what_is_missing.text()), message(std::move(what_is_missing)) {}
  Message message;
};
// What an exception says: a Missing in any language, any other in the words of whoever threw it.
Message message_of(const std::exception&);

// One tensor that the engine delivered. A Phase gives it in f32 whatever type the engine stores (every f16
// and bf16 number is one of f32), and says which that was.
struct Tap {
  TensorPtr tensor;
  std::vector<int32_t> positions;  // of the rows of S (or of T)
  std::string kernel, contract;    // as attested
  std::vector<int32_t> tokens;     // embed: as attested; empty: the engine does not say
  DType stored = DType::f32;       // the engine's own type; set by Phase
  std::span<const float> f32() const { return tensor->f32(); }
};

// Which tensor of a case. `layer` is -1 for embed, final_norm and logits.
struct Place {
  std::string phase;
  int layer = -1;
  Stage stage = Stage::embed;
  std::string text() const;  // "decode0/layer_03/softmax"
  auto operator<=>(const Place&) const = default;
};

enum class Run { first, repeat };  // repeat: the same calls again (A/A)

// One call of the engine (or one row of it, see `window`), with what it delivered. put() and tap() may come
// from different threads.
class Phase {
 public:
  // `sizes`: of the tensors (S rows, T cache positions).
  Phase(std::string name, reference::Call call, const StageSizes& sizes);

  const std::string
      name;  // prefill, prefill_last, decode0, decode0_stepwise, decode1, …, fill_prefill, fill_stepwise
  const reference::Call call;  // tokens, first position
  const StageSizes sizes;
  std::string window;                // "row 204 of 205" for prefill_last; empty: the whole call
  const Phase* window_of = nullptr;  // the call that it is a row of
  std::string filled;  // how the cache behind it was filled: empty (no cache), "prefill" or "stepwise"
  std::vector<const Phase*> before;  // the calls that wrote the cache behind it, in order
  struct Outcome {
    std::vector<float> logits;  // [V], of the last row, as the engine's caller gets them
    int32_t top1 = -1;          // by the engine's argmax kernel
  };
  std::optional<Outcome> outcome, repeated, untapped;  // set when the call has returned
  std::map<std::string, Outcome> selected;             // with some taps alone: "layer 3", "stage softmax"

  void put(int layer, Stage stage, Tap tap, Run run = Run::first);
  // Throws Missing when it did not come, came twice, or has another shape or other positions than the plan
  // says.
  const Tap& tap(int layer, Stage stage, Run run = Run::first) const;
  bool has(int layer, Stage stage, Run run = Run::first) const;
  void forget(int layer, std::span<const Stage> stages, Run run);  // releases their tensors
  // The contract that a stage declared in this call and the kernel that ran, also where its tensor was not
  // kept.
  void declare(int layer, Stage stage, std::string contract, std::string kernel = {});
  std::string contract(int layer, Stage stage) const;  // Missing
  std::string kernel(int layer, Stage stage) const;    // Missing
  // Where tensors of the first run that were not put come from, each when it is first asked for.
  struct Source {
    std::function<bool(int layer, Stage)> has;
    std::function<Tap(int layer, Stage)> read;
  };
  void read_from(Source source);
  size_t bytes() const;  // of the tensors that are held

 private:
  struct Key {
    Run run;
    int layer;
    Stage stage;
    auto operator<=>(const Key&) const = default;
  };
  mutable std::mutex mutex_;
  mutable std::map<Key, Tap> taps_;
  std::set<Key> duplicates_;
  Source source_;
  struct Declared {
    std::string contract, kernel;
  };
  const Declared& declared(int layer, Stage stage) const;
  std::map<std::pair<int, Stage>, Declared> declared_;
};

// The rows that the chained reference keeps for the end of a case: the last row of a stage [S, …], the whole
// of a stage [T, …].
struct ChainedRows {
  std::vector<double> value, envelope;
};

struct Evidence {
  std::string prompt, arm;
  const reference::Model* model = nullptr;
  uint64_t seed = 1;
  int64_t keys_window = 0;  // the arm's instrument looks at so many keys only; 0: at all of them
  Message repeat_note;      // how the repeat differed: "lanes in another order (order_seed 7)"
  std::list<Phase> phases;  // in the order of the calls; addresses stay
  std::map<Place, ChainedRows> chained;

  // May be called while another thread looks for a phase.
  Phase& add(std::string name, reference::Call call, const StageSizes& sizes);
  const Phase* find(const std::string& name) const;
  const Phase& phase(const std::string& name) const;          // Missing
  const ChainedRows& chained_rows(const Place& place) const;  // Missing
  size_t bytes() const;                                       // of the tensors that are held

 private:
  mutable std::mutex mutex_;
};

// Last row along S, or the whole of a tensor over T: what prefill_last shares with decode0.
std::span<const float> last_rows(const Tap& tap, const Phase& phase, Stage stage);
bool over_cache(Stage stage);  // k_cache, v_cache: [T, …]

// A stage's operands in one phase, the engine's own tensors in float64: `history` operands start with the
// rows of the calls before.
reference::Matrix operand(const Phase& phase, const reference::Config& config,
                          const reference::OperandRef& ref);
// Where an operand lies: a stage of a layer that reads the layer before, embed, or the last layer.
Place place_of(const reference::OperandRef& ref, const std::string& phase, int64_t layers);

}  // namespace greta::probes
