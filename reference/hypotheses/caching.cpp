// The cache: another layer's, rows in another place.
#include <array>

#include "reference/hypotheses/catalogue.hpp"

namespace greta::reference {
namespace {

Message idle_first(const Request& in) { return in.layer > 0 ? Message{} : say("this is layer 0"); }
Message idle_alone(const Request& in) { return in.call.T() > 1 ? Message{} : say("there is one position"); }

constexpr std::array<Hypothesis, 6> kTable = {{
    {"cache_layout=col", kRows, [](Variant& v) { v.cache_by_column = true; }, idle_alone},
    {"layer_base=0", kLayer, [](Variant& v) { v.layer_zero = true; }, idle_first},
    {"cache_row=stale", kRows, [](Variant& v) { v.cache_rows = CacheRows::stale; }, idle_alone},
    {"cache_row=never_written", kRows, [](Variant& v) { v.cache_rows = CacheRows::missing; }},
    {"cache_position=+1", kRows, [](Variant& v) { v.cache_rows = CacheRows::late; }},
    {"cache_position=-1", kRows, [](Variant& v) { v.cache_rows = CacheRows::early; }},
}};

}  // namespace

std::span<const Hypothesis> cache_hypotheses() { return kTable; }

}  // namespace greta::reference
