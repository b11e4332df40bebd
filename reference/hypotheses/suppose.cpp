#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/error.hpp"
#include "reference/hypotheses/catalogue.hpp"
#include "reference/hypotheses/stored.hpp"
#include "reference/hypothesis.hpp"

namespace greta::reference {
namespace {

using Causes = std::span<const Cause* const>;

Message as_right_too() { return say("what it gives here is within the bound of what is right"); }

// Whether a cause can be at work in a stage with this operation.
bool acts_on(const Cause& cause, Stage stage, std::string_view op) {
  if (stage != Stage::attn_out || op != "attention") return cause.breaks(stage);
  constexpr Stage kInside[] = {Stage::k_cache, Stage::v_cache, Stage::qk, Stage::softmax, Stage::pv};
  return std::any_of(std::begin(kInside), std::end(kInside), [&](Stage s) { return cause.breaks(s); });
}

// The stages that multiply with a weight, or look it up, as it was unpacked.
bool unpacks(Stage stage) {
  static const Cause& by_column = find_cause("weight_layout=col");
  return by_column.breaks(stage);
}

std::string texts(Causes causes) {
  std::vector<std::string> all;
  for (const auto* cause : causes) all.push_back(cause->text());
  return fmt::format("{}", fmt::join(all, " and "));
}

// Their hypotheses in one variant; `why` where they do not go together.
std::optional<Variant> compose(Causes causes, Message& why) {
  Variant variant;
  uint64_t taken = 0;
  for (const auto* cause : causes) {
    const auto* hypothesis = hypothesis_of(*cause);
    if (!hypothesis) {
      why = say("{} changes nothing that a stage computes", cause->text());
      return std::nullopt;
    }
    if (taken & hypothesis->parts) {
      why = say("they take hold of the same thing");
      return std::nullopt;
    }
    taken |= hypothesis->parts;
    hypothesis->vary(variant);
  }
  return variant;
}

// Why one of them changes nothing here.
Message idle(Causes causes, const Request& in) {
  for (const auto* cause : causes) {
    const auto* hypothesis = hypothesis_of(*cause);
    if (cause->breaks_weights() && unpacks(in.stage)) {
      const auto name = in.stage == Stage::embed ? "token_embd.weight" : weight_of(in);
      if (in.own_weights && in.own_weights(name)) return say("the weight is taken as the engine holds it");
      if (auto why = hypothesis->idle_weight(in.model.weight_info(name)); !why.empty()) return why;
    } else if (!acts_on(*cause, in.stage, in.contract.op)) {
      return say("{} does not act on stage {}", cause->text(), name_of(in.stage));
    } else if (hypothesis->idle) {
      if (auto why = hypothesis->idle(in); !why.empty()) return why;
    }
  }
  return {};
}

// A right kernel may have given the variant's very values.
bool as_right(const Bounded& variant, const Bounded& right) {
  for (Eigen::Index i = 0; i < right.value.size(); ++i) {
    const double v = variant.value.data()[i], r = right.value.data()[i];
    if (v == r || (std::isnan(v) && std::isnan(r))) continue;
    if (!(std::abs(v - r) <= right.expected.data()[i])) return false;
  }
  return true;
}

}  // namespace

std::vector<const Cause*> hypotheses_for(Stage stage, std::string_view op) {
  std::vector<const Cause*> found;
  for (const auto& cause : causes())
    if (acts_on(cause, stage, op) && hypothesis_of(cause)) found.push_back(&cause);
  return found;
}

std::vector<const Cause*> weight_hypotheses() {
  std::vector<const Cause*> found;
  for (const auto& cause : causes())
    if (cause.breaks_weights() && hypothesis_of(cause)) found.push_back(&cause);
  return found;
}

std::optional<Bounded> suppose(const Observation& seen, Causes causes, Message* why) {
  const auto refuse = [&](Message reason) -> std::optional<Bounded> {
    if (why) *why = std::move(reason);
    return std::nullopt;
  };
  auto right =
      local(seen.model, seen.stage, seen.layer, seen.call, seen.contract, seen.fetch, seen.own_weights);
  if (causes.empty()) return right;

  Message reason;
  const auto variant = compose(causes, reason);
  if (!variant) return refuse(reason);
  const Request request{seen.model,    seen.stage, seen.layer, seen.call,
                        seen.contract, seen.fetch, *variant,   seen.own_weights};
  if (reason = idle(causes, request); !reason.empty()) return refuse(reason);

  auto errors = errors_of(request);
  if (variant->heads_scaled) {
    if (seen.output.rows() != errors.value.rows() || seen.output.cols() != errors.value.cols())
      fail_invalid("stage {} of layer {} is [{}, {}], and [{}, {}] was observed", name_of(seen.stage),
                   seen.layer, errors.value.rows(), errors.value.cols(), seen.output.rows(),
                   seen.output.cols());
    if (reason = scale_heads(request, seen.output, errors); !reason.empty()) return refuse(reason);
  }
  errors.lean = {};  // of the right values
  store(request, errors);
  errors.reason = fmt::format("if {}: {}", texts(causes), errors.reason);
  auto bounded = judge(std::move(errors));
  if (as_right(bounded, right)) return refuse(as_right_too());
  if (causes.size() > 1 && !bounded.value.array().isFinite().any())
    return refuse(say("nothing finite is left to tell them by"));
  return bounded;
}

std::optional<Bounded> suppose_weight(const Model& model, const std::string& gguf_name,
                                      const Contract& contract, Causes causes, Message* why) {
  const auto refuse = [&](Message reason) -> std::optional<Bounded> {
    if (why) *why = std::move(reason);
    return std::nullopt;
  };
  auto right = local_weight(model, gguf_name, contract);
  if (causes.empty()) return right;

  Message reason;
  const auto variant = compose(causes, reason);
  if (!variant) return refuse(reason);
  for (const auto* cause : causes) {
    if (!cause->breaks_weights()) return refuse(say("{} does not act on a weight", cause->text()));
    reason = hypothesis_of(*cause)->idle_weight(model.weight_info(gguf_name));
    if (!reason.empty()) return refuse(reason);
  }
  auto errors = dequantised_weight(model, gguf_name, contract, variant->reading);
  errors.reason = fmt::format("if {}: {}", texts(causes), errors.reason);
  auto bounded = judge(std::move(errors));
  if (as_right(bounded, right)) return refuse(as_right_too());
  return bounded;
}

}  // namespace greta::reference
