// The same prompt in one call and in chunks over one cache. Where every row ran the same kernels under the
// same contracts, behind it too, the bits are the same; from where on they did not, the last row agrees
// within the noise of both. Each finding says which was asked of it.
#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "datasets/error.hpp"
#include "datasets/message.hpp"
#include "probes/chunks.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

// Values of the chunks beside those of the one call.
struct Beside {
  std::vector<float> chunks, whole;
  void add(std::span<const float> a, std::span<const float> b) {
    chunks.insert(chunks.end(), a.begin(), a.end());
    whole.insert(whole.end(), b.begin(), b.end());
  }
  bool same_bits() const {
    return chunks.size() == whole.size() &&
           std::memcmp(chunks.data(), whole.data(), chunks.size() * sizeof(float)) == 0;
  }
};

// A call's rows; of a tensor over positions, those that were in the cache then.
void add_rows(Beside& out, const Tap& part, const Tap& whole, int64_t start, Stage stage) {
  const auto &shape = part.tensor->shape(), &all = whole.tensor->shape();
  const bool over_positions = info(stage).axes == "S,H,T";
  const int64_t width = over_positions ? shape.back() : part.tensor->size() / shape.front();
  const int64_t wide = over_positions ? all.back() : whole.tensor->size() / all.front();
  const int64_t lines = part.tensor->size() / width,
                first = start * (whole.tensor->size() / all.front() / wide);
  for (int64_t line = 0; line < lines; ++line)
    out.add(part.f32().subspan(static_cast<size_t>(line * width), static_cast<size_t>(width)),
            whole.f32().subspan(static_cast<size_t>((first + line) * wide), static_cast<size_t>(width)));
}

struct Chunking {
  static constexpr std::string_view name = "chunking";
  static constexpr std::string_view doc =
      "a prompt in chunks over one cache gives the bits of one call where the same kernels ran, else agrees "
      "within the noise";
  static constexpr Option options[] = {{"sizes", "1,16,33|LIST", "tokens in a chunk"}};

  explicit Chunking(const Options& given) : sizes(sizes_of(given)) {}
  std::vector<int64_t> sizes;

  static Needs needs(const Options& given) {
    return {.chained = true, .chunks = sizes_of(given), .phases = {"prefill"}};
  }

  static std::vector<int64_t> sizes_of(const Options& given) {
    std::vector<int64_t> out;
    std::string_view rest = given.at("sizes");
    while (!rest.empty()) {
      const auto word = rest.substr(0, rest.find(','));
      int64_t size = 0;
      std::from_chars(word.data(), word.data() + word.size(), size);
      if (size < 1)
        fail_usage("sizes of probe chunking is '{}'; a chunk has 1 token or more", given.at("sizes"));
      out.push_back(size);
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    }
    return out;
  }

  void check_case(const CaseView& at, Judge& judge) const {
    if (at.places.empty()) return;
    std::map<int64_t, std::optional<Departure>> departures;
    for (const Place& place : at.places)
      judge(place, [&](Finding& finding) { check(at.evidence, place, departures, finding); });
  }

  void check(const Evidence& evidence, const Place& place,
             std::map<int64_t, std::optional<Departure>>& departures, Finding& finding) const {
    const Phase& whole = evidence.phase(place.phase);
    const Tap& tap = whole.tap(place.layer, place.stage);
    finding.kernel = tap.kernel;
    finding.contract = tap.contract;
    finding.shape = tap.tensor->shape();
    for (const int64_t size : sizes) {
      const auto calls = chunk_phases(evidence, whole.call.S(), size);
      if (calls.empty()) continue;  // all of the prompt in one
      if (!departures.contains(size))
        departures[size] = departure_of(whole, calls, evidence.model->config().layers);
      const auto& departure = departures[size];
      if (!departure || before(place.layer, place.stage, *departure))
        bitwise(whole, calls, place, size, finding);
      else
        within_noise(evidence, whole, *calls.back(), place, size, *departure, finding);
      if (finding.status == Status::fail) return;
    }
    if (finding.metrics.count == 0)
      throw Missing(say("no chunk is shorter than the prompt of {} tokens", whole.call.S()));
  }

  static void bitwise(const Phase& whole, const std::vector<const Phase*>& calls, const Place& place,
                      int64_t size, Finding& finding) {
    const Tap& all = whole.tap(place.layer, place.stage);
    Beside beside;
    if (over_cache(place.stage))  // as the last call reads it
      beside.add(calls.back()->tap(place.layer, place.stage).f32(), all.f32());
    else
      for (const Phase* call : calls)
        add_rows(beside, call->tap(place.layer, place.stage), all, call->call.start, place.stage);
    Metrics metrics = compare(beside.chunks, beside.whole, {});
    if (info(place.stage).axes == "S,H,T")
      metrics.worst = -1;  // the rows lie otherwise here than in the whole
    const bool same = beside.same_bits();
    take(finding, metrics, size, "bitwise", fmt::format("chunks of {}: bitwise", size), same);
    if (same) return;
    finding.status = Status::fail;
    finding.message =
        say("chunks of {} tokens give other bits than one call, though every row ran the same kernels "
            "under the same contracts: {} of {} values differ, the worst {:.9g} beside {:.9g}",
            size, metrics.out_of_bound, metrics.count, metrics.worst_actual, metrics.worst_expected);
  }

  static void within_noise(const Evidence& evidence, const Phase& whole, const Phase& last,
                           const Place& place, int64_t size, const Departure& departure, Finding& finding) {
    const auto a = last_rows(last.tap(place.layer, place.stage), last, place.stage);
    const auto b = last_rows(whole.tap(place.layer, place.stage), whole, place.stage);
    const ChainedRows& ra = evidence.chained_rows({last.name, place.layer, place.stage});
    const ChainedRows& rb = evidence.chained_rows(place);
    if (a.size() != b.size() || ra.envelope.size() != a.size() || rb.envelope.size() != a.size())
      throw Missing(say("{} and {} have different sizes", last.name, place.text()));
    std::vector<float> tolerance(a.size());
    for (size_t i = 0; i < a.size(); ++i) tolerance[i] = static_cast<float>(ra.envelope[i] + rb.envelope[i]);
    Metrics metrics = compare(a, b, tolerance);
    if (!over_cache(place.stage)) metrics.worst = -1;  // an index in the last row
    const std::string from = Place{"", departure.layer, departure.stage}.text().substr(1);
    take(finding, metrics, size, "within the noise",
         fmt::format(
             "chunks of {}: the last row within the sum of both chained envelopes, as {} ran {}, in one call "
             "{}",
             size, from, departure.chunks, departure.whole),
         metrics.pass());
    if (metrics.pass()) return;
    finding.status = Status::fail;
    finding.message =
        say("chunks of {} tokens end in {:.9g} where one call ends in {:.9g} (ratio {:.3g} of the sum of "
            "both chained envelopes)",
            size, metrics.worst_actual, metrics.worst_expected, metrics.bound_ratio);
  }

  // The worst of the sizes stands for all; a size that fails, for itself.
  static void take(Finding& finding, const Metrics& metrics, int64_t size, const std::string& how,
                   const std::string& reason, bool passes) {
    const std::string of = fmt::format("chunks of {}", size);
    finding.figures.push_back({.name = "asked", .text = how, .of = of});
    finding.figures.push_back({.name = "ratio", .value = metrics.bound_ratio, .of = of});
    finding.reason += (finding.reason.empty() ? "" : "; ") + reason;
    const int64_t count = finding.metrics.count;
    if (count == 0 || !passes || !(metrics.bound_ratio <= finding.metrics.bound_ratio))
      finding.metrics = metrics;
    finding.metrics.count = passes ? count + metrics.count : metrics.count;
  }
};

REGISTER_PROBE(Chunking);

}  // namespace
}  // namespace greta::probes
