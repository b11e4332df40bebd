// What the field's usual rules would say of one tensor: the rules to beat in the self-test's kill-rate table.
// Each is applied as its source applies it, NaN and infinities included, so that what they let pass is theirs
// and not ours. None of them decides anything here.
#pragma once

#include <span>
#include <string_view>

namespace greta::probes {

// true: the rule lets the tensor pass. In the order of `kUsualRules`.
struct RuleVerdicts {
  // torch.testing.assert_close with its defaults for a dtype: every element has |actual - reference| <= atol
  // + |rtol·reference|, or actual == reference. (rtol, atol): float32 (1.3e-6, 1e-5), float16 (1e-3, 1e-5),
  // bfloat16 (1.6e-2, 1e-5): torch/testing/_comparison.py, _DTYPE_PRECISIONS. The arithmetic is f32's, on the
  // reference rounded to f32: aten/src/ATen/native/TensorCompare.cpp, isclose. equal_nan is off, so NaN fails
  // even where the reference has NaN; equal infinities pass. The values stay f32 for all three: only the
  // dtype's tolerance is taken.
  bool close_f32 = false, close_f16 = false, close_bf16 = false;
  // ggml's tests/test-backend-ops.cpp: NaN on either side fails before any norm, so does an infinity (or
  // ±FLT_MAX) on one side alone or of the other sign; then `if (err > 5e-4) fail`, err = Σ(a - b)² / Σa², a
  // the tested side, each difference and square in f32, the sums in double. Equal infinities make err NaN,
  // `NaN > 5e-4` is false, and the tensor passes whatever else it holds: masked scores do that in every
  // prefill, a tensor of zeros on both sides (0/0) too. (5e-4 is MUL_MAT's and FLASH_ATTN_EXT's
  // max_nmse_err.)
  bool nmse = false;
  // torch.nn.functional.cosine_similarity of the flattened tensors >= 0.999: Σ (a / max(‖a‖, 1e-8)) (b /
  // max(‖b‖, 1e-8)), aten/src/ATen/native/Distance.cpp; here the sums are double, as is usual for one tensor.
  // NaN or an infinity anywhere makes it NaN, and NaN >= 0.999 is false: it fails masked scores that are
  // right, so a kill counts only where the clean run passes.
  bool cosine = false;
  // One γₙ bound a tensor, as hipDNN has it: fails if an element's |actual - reference| > the largest
  // `certain`. hipDNN's CpuFpReferenceValidation.hpp, allClose, refuses NaN and infinities on either side,
  // equal ones too (its default), so here as well a kill counts only where the clean run passes.
  bool gamma = false;

  bool operator[](size_t rule) const;
};

inline constexpr std::string_view kUsualRules[] = {"assert_close f32",  "assert_close f16",
                                                   "assert_close bf16", "NMSE 5e-4",
                                                   "cosine 0.999",      "one γₙ a tensor"};

// All spans have the same length (Error internal otherwise). Nothing to compare (zero elements) passes every
// rule that its source lets pass: all but cosine (0 >= 0.999 is false).
RuleVerdicts usual_rules(std::span<const float> actual, std::span<const double> reference,
                         std::span<const double> certain);

}  // namespace greta::probes
