// The way from the device to the host: a tap is evidence of what the engine computed only if it arrived as it
// was. Three questions of each tensor, one of each call.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "datasets/checksum.hpp"
#include "datasets/message.hpp"
#include "probes/figures.hpp"
#include "probes/probe.hpp"

namespace greta::probes {
namespace {

struct Transfer {
  static constexpr std::string_view name = "transfer";
  static constexpr std::string_view doc =
      "tensors arrived as the device had them: checksums of both sides, a known pattern, and no copy before "
      "its kernel's end";

  static Needs needs(const Options&) { return {.proofs = true, .phases = {"prefill", "decode0"}}; }

  void check_case(const CaseView& at, Judge& judge) const {
    for (const Place& place : at.places)
      judge(place, [&](Finding& finding) {
        const Phase& phase = at.evidence.phase(place.phase);
        check(phase, phase.tap(place.layer, place.stage), finding);
      });
  }

  static void check(const Phase& phase, const Tap& tap, Finding& finding) {
    if (!tap.device_checksum || !tap.copy_delay)
      throw Missing(say("the engine sent no checksum or no times of the copy with this tensor"));
    if (!phase.pattern) throw Missing(say("the engine sent no pattern with {}", phase.name));
    finding.kernel = tap.kernel;
    finding.contract = tap.contract;
    finding.shape = tap.tensor->shape();
    finding.reason = "bitwise";
    finding.metrics.count = tap.tensor->size();
    const uint64_t arrived = checksum_as_stored(tap);
    finding.figures = {word("device_checksum", checksum_hex(*tap.device_checksum)),
                       word("host_checksum", checksum_hex(arrived)),
                       number("copy_delay_us", *tap.copy_delay * 1e6)};
    finding.status = Status::fail;
    // A copy that began too early may have been lucky: it is told first, and told alone.
    if (!(*tap.copy_delay >= 0)) {
      finding.message = say("the copy began {:.3g} µs before the kernel that made the tensor had ended",
                            *tap.copy_delay * -1e6);
    } else if (arrived != *tap.device_checksum) {
      finding.message = say(
          "what arrived is not what the device had: checksum {} here, {} there; a copy that was cut short, "
          "overtaken or changed",
          checksum_hex(arrived), checksum_hex(*tap.device_checksum));
    } else if (const Message wrong = wrong_pattern(*phase.pattern); !wrong.empty()) {
      finding.message = wrong;
    } else {
      finding.status = Status::pass;
    }
  }

  // A cache of 16-bit values was widened when it arrived; the device summed what it holds.
  static uint64_t checksum_as_stored(const Tap& tap) {
    if (tap.stored == tap.tensor->dtype()) return checksum(bytes_of(tap));
    const auto values = tap.f32();
    std::vector<uint16_t> narrow(values.size());
    std::transform(values.begin(), values.end(), narrow.begin(),
                   tap.stored == DType::f16 ? f32_to_f16 : f32_to_bf16);
    return checksum(std::as_bytes(std::span(narrow)));
  }

  static std::span<const std::byte> bytes_of(const Tap& tap) {
    return {tap.tensor->data(), tap.tensor->bytes()};
  }

  // What is wrong with the pattern that the call sent along the same path; empty: nothing.
  static Message wrong_pattern(const Phase::Pattern& pattern) {
    if (!pattern.tap.tensor || pattern.tap.tensor->size() == 0) return say("the pattern arrived empty");
    const PatternFaults faults = check_pattern(pattern.seed, bytes_of(pattern.tap));
    if (faults.wrong > 0)
      return say("the call's pattern arrived with {} of {} words wrong, the first at byte {}", faults.wrong,
                 faults.words, 8 * faults.first);
    if (!pattern.tap.copy_delay || !(*pattern.tap.copy_delay >= 0))
      return say("the copy of the call's pattern began before the kernel that made it had ended");
    return {};
  }
};

REGISTER_PROBE(Transfer);

}  // namespace
}  // namespace greta::probes
