#include "suites/reference_trace.hpp"

#include <cstring>
#include <numeric>

#include "datasets/error.hpp"
#include "datasets/trace.hpp"
#include "reference/reference.hpp"
#include "suites/identity.hpp"

namespace greta::suites {
namespace {

using reference::Contract;
using reference::Matrix;

constexpr const char* kArm = "reference";

// Chained mode wants an arithmetic for each stage, for its noise; the values that are kept here have none.
// freq=f32 is the one that leaves RoPE's angles unrounded.
Contract contract_of(Stage stage) {
  switch (stage) {
    case Stage::embed:
      return Contract::parse("op=embed w=f32");
    case Stage::attn_norm:
    case Stage::ffn_norm:
    case Stage::final_norm:
      return Contract::parse("op=rmsnorm chain=1 sqrt=1");
    case Stage::q_rope:
    case Stage::k_rope:
      return Contract::parse("op=rope freq=f32 trig=1");
    case Stage::k_cache:
    case Stage::v_cache:
    case Stage::attn_out:
      return Contract::parse("op=copy");
    case Stage::qk:
      return Contract::parse("op=qk x=f32 w=f32 acc=f32 chain=1 out=f32 unit=ieee");
    case Stage::softmax:
      return Contract::parse("op=softmax chain=1 exp=1 div=1");
    case Stage::pv:
      return Contract::parse("op=pv x=f32 w=f32 acc=f32 chain=1 out=f32 unit=ieee");
    case Stage::attn_residual:
    case Stage::ffn_residual:
      return Contract::parse("op=add");
    case Stage::ffn_act:
      return Contract::parse("op=swiglu exp=1 div=1");
    case Stage::q:
    case Stage::k:
    case Stage::v:
    case Stage::wo:
    case Stage::ffn_gate:
    case Stage::ffn_up:
    case Stage::ffn_down:
    case Stage::logits:
      return Contract::parse("op=matmul x=f32 w=f32 acc=f32 chain=1 out=f32 unit=ieee");
  }
  fail_internal("the stage {} has no arithmetic", name_of(stage));
}

struct NamedCall {
  const char* phase;  // null: fills the cache and is not kept
  reference::Call call;
};

// Each a chain of its own, over a cache of its own.
std::vector<std::vector<NamedCall>> chains_of(const Prompt& prompt) {
  const auto last = prompt.tokens.end() - 1;
  const auto before = static_cast<int>(prompt.tokens.size()) - 1;
  std::vector<NamedCall> decode;
  if (before > 0) decode.push_back({nullptr, {.tokens = {prompt.tokens.begin(), last}, .start = 0}});
  decode.push_back({"decode0", {.tokens = {*last}, .start = before}});
  return {{{"prefill", {.tokens = prompt.tokens, .start = 0}}}, decode};
}

TraceRecord record_of(const std::string& prompt, const NamedCall& of, Stage stage, int layer,
                      const Matrix& value, const reference::Config& config) {
  const auto S = of.call.S(), T = of.call.T();
  const StageInfo& about = info(stage);
  auto tensor = std::make_shared<Tensor>(DType::f64, shape_of(stage, config.sizes(S, T)));
  if (tensor->size() != value.size())
    fail_internal("{} of the reference has {} values, not {}", about.name, value.size(), tensor->size());
  std::memcpy(tensor->data(), value.data(), tensor->bytes());
  const bool whole_cache = about.axes.starts_with("T");
  std::vector<int32_t> positions(static_cast<size_t>(whole_cache ? T : S));
  std::iota(positions.begin(), positions.end(), whole_cache ? 0 : of.call.start);
  return {.key = {prompt, kArm, of.phase, about.per_layer ? layer : -1, std::string(about.name)},
          .tensor = std::move(tensor),
          .axes = std::string(about.axes),
          .positions = std::move(positions),
          .window = "",
          .kernel = "reference",
          .contract = "float64"};
}

}  // namespace

void write_reference_trace(const GgufFile& file, const std::vector<Prompt>& prompts, const std::string& path,
                           const std::string& command_line) {
  const reference::Model model(file);
  for (const auto& prompt : prompts)
    if (static_cast<int64_t>(prompt.tokens.size()) > model.config().context)
      fail_usage("prompt {} has {} tokens, the model's context is {}", prompt.id, prompt.tokens.size(),
                 model.config().context);
  TraceWriter trace(path, identify(file, prompts, "none: the reference alone", "reference", command_line));
  constexpr int kFewest = 2;  // reruns for the noise, which is not kept
  for (const auto& prompt : prompts)
    for (const auto& chain : chains_of(prompt)) {
      std::vector<reference::ChainCall> calls;
      for (const auto& of : chain)
        calls.push_back({of.call, [](Stage stage, int) { return contract_of(stage); }});
      reference::chained(model, calls, {.reruns = kFewest},
                         [&](int index, Stage stage, int layer, const Matrix& value, const Matrix&) {
                           const NamedCall& of = chain[static_cast<size_t>(index)];
                           if (of.phase)
                             trace.submit(record_of(prompt.id, of, stage, layer, value, model.config()));
                         });
    }
  trace.close();
}

}  // namespace greta::suites
