// What the reports compared: the first values of the last token's row, in prefill and in decode, by hash and
// by mean error, beside the same comparison of the whole row. The verdict is the whole row's.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "datasets/greta_hash.hpp"
#include "datasets/message.hpp"
#include "probes/figures.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct WindowHash {
  static constexpr std::string_view name = "window_hash";
  static constexpr std::string_view doc =
      "prefill's last row and decode0 by their first values, as the reports compared them, beside the whole "
      "row";
  static constexpr Option options[] = {
      {"dims", "256|COUNT|SHARE", "values from the front of the row, or a share of it", true}};

  explicit WindowHash(const Options& given) : dims(given.at("dims")) {}
  std::string dims;

  static Needs needs(const Options&) {
    return {.chained = true, .phases = {"decode0"}, .also = {"prefill_last"}};
  }

  void check_case(const CaseView& at, Judge& judge) const {
    for (const Place& place : at.places)
      judge(place, [&](Finding& finding) { check(at.evidence, place, finding); });
  }

  void check(const Evidence& evidence, const Place& place, Finding& finding) const {
    const Phase &prefill = evidence.phase("prefill_last"), &decode = evidence.phase(place.phase);
    if (prefill.call.tokens != decode.call.tokens || prefill.call.start != decode.call.start)
      throw Missing(say("prefill_last and {} are not of the same token at the same position", decode.name));
    const Tap &a = decode.tap(place.layer, place.stage), &b = prefill.tap(place.layer, place.stage);
    const ChainedRows& ra = evidence.chained_rows(place);
    const ChainedRows& rb = evidence.chained_rows({prefill.name, place.layer, place.stage});
    const size_t rows = over_cache(place.stage) ? static_cast<size_t>(decode.sizes.T) : 1;
    const size_t width = a.f32().size() / rows;
    if (a.f32().size() != b.f32().size() || ra.envelope.size() != a.f32().size() ||
        rb.envelope.size() != a.f32().size())
      throw Missing(say("{} and {} have different sizes", place.text(),
                        Place{prefill.name, place.layer, place.stage}.text()));
    const auto x = a.f32().last(width), y = b.f32().last(width);
    std::vector<float> tolerance(width);
    for (size_t i = 0, from = a.f32().size() - width; i < width; ++i)
      tolerance[i] = static_cast<float>(ra.envelope[from + i] + rb.envelope[from + i]);

    const size_t count = std::min(values_of(width), width);
    const Metrics part = compare(x.first(count), y.first(count), std::span(tolerance).first(count));
    finding.kernel = a.kernel;
    finding.contract = a.contract;
    finding.shape = {static_cast<int64_t>(width)};
    finding.reason = "sum of both phases' chained envelopes";
    finding.metrics = compare(x, y, tolerance);
    const Metrics& whole = finding.metrics;
    const Message window =
        count == width ? say("whole ({})", width) : say("dims 0-{} of {}", count - 1, width);
    finding.figures = {word("window", window.text()),
                       word("hash_prefill", fmt::format("{:016x}", greta_hash(y.first(count)))),
                       word("hash_decode", fmt::format("{:016x}", greta_hash(x.first(count)))),
                       number("mae_window", part.mae),
                       number("mae_whole", whole.mae),
                       word("equal_window", part.pass() ? "yes" : "no"),
                       word("equal_whole", whole.pass() ? "yes" : "no")};
    if (whole.count == 0 || whole.pass()) return;
    finding.status = Status::fail;
    finding.message =
        part.pass()
            ? say("the window passes what the whole row does not: {} differ by MAE {:.3g}, the whole row by "
                  "MAE {:.3g} (ratio {:.3g})",
                  window, part.mae, whole.mae, whole.bound_ratio)
            : say("decode0 and prefill_last differ by MAE {:.3g} (ratio {:.3g}) over the whole row, by MAE "
                  "{:.3g} over {}",
                  whole.mae, whole.bound_ratio, part.mae, window);
  }

  size_t values_of(size_t width) const {
    const bool share = dims.starts_with("1/");
    size_t value = 0;
    std::from_chars(dims.data() + (share ? 2 : 0), dims.data() + dims.size(), value);
    return share ? std::max<size_t>(width / value, 1) : value;
  }
};

REGISTER_PROBE(WindowHash);

}  // namespace
}  // namespace greta::probes
