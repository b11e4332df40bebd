// A planted fault: a cause (datasets/cause.hpp) and where it strikes. Selected by name in a suite or by
// --fault.
//
//   [SCOPE.]…CAUSE=VALUE[@CONDITION]…
//   SCOPE      a stage; gemm (every matrix product), kv (both caches), norm, ffn; prefill or decode
//   CONDITION  rows>N  layer=N  head=N
//
// "q.prefill.weight_layout=col", "gemm.tile_store=transposed@rows>32", "kv.layer_base=0@layer=3". Without a
// stage the fault strikes every stage that its cause can break. prefill: calls that start at position 0;
// decode: all others. route_flag=ignored takes neither. A fault of the weights takes names instead of stages:
// "attn_q.q4_k_scales=linear".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/cause.hpp"
#include "engine/site.hpp"

namespace greta::engine {

struct Fault {
  std::string text;  // as given
  const Cause* cause = nullptr;
  std::vector<Stage> stages;  // that it strikes; empty for a fault of the weights or of the whole engine
  std::string weight;         // a fault of the weights: part of the names that it strikes; empty: all
  std::optional<bool> prefill;
  std::optional<int> layer, head;
  int64_t rows_above = 0;

  // Error (usage): an unknown scope, cause or condition, each with the nearest right one; a stage that the
  // cause cannot break.
  static Fault parse(std::string_view text);
  bool strikes(const Site&) const;
  bool strikes_weight(std::string_view gguf_name) const;
  bool is(std::string_view name) const { return cause->name == name; }
  bool is(std::string_view name, std::string_view value) const { return is(name) && cause->value == value; }
};

}  // namespace greta::engine
