// Norms: other weights, another centre, another eps.
#include <array>

#include "reference/hypotheses/catalogue.hpp"

namespace greta::reference {
namespace {

constexpr double kOtherEps = 1e-6;

Message idle_no_eps(const Request& in) {
  return in.config().norm_eps != 0 ? Message{} : say("the model's eps is 0");
}
Message idle_same_eps(const Request& in) {
  return static_cast<float>(in.config().norm_eps) == static_cast<float>(kOtherEps)
             ? say("the model's eps is 1e-6")
             : Message{};
}

constexpr std::array<Hypothesis, 6> kTable = {{
    {"norm_weight=left_out", kGain | kLayer, [](Variant& v) { v.gain = Gain::none; }},
    {"norm_weight=plus_one", kGain, [](Variant& v) { v.gain = Gain::plus_one; }},
    {"norm_mean=subtracted", kMean, [](Variant& v) { v.mean_subtracted = true; }},
    {"norm_eps=left_out", kEps, [](Variant& v) { v.norm_eps = 0; }, idle_no_eps},
    {"norm_eps=1e-6", kEps, [](Variant& v) { v.norm_eps = kOtherEps; }, idle_same_eps},
    {"norm_eps=outside_root", kEps, [](Variant& v) { v.eps_outside_root = true; }, idle_no_eps},
}};

}  // namespace

std::span<const Hypothesis> norm_hypotheses() { return kTable; }

}  // namespace greta::reference
