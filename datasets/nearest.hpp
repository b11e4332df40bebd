// "unknown stage 'sofmax'; did you mean 'softmax'?": the nearest of a list of right names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace greta {

// Damerau-Levenshtein distance (optimal string alignment), in characters.
int edit_distance(std::string_view a, std::string_view b);

// The candidate with the smallest distance; empty when there are no candidates.
std::string nearest(std::string_view wrong, std::span<const std::string> right);

// The sentence for an unknown name: "unknown {kind} '{wrong}'; did you mean '{nearest}'? ({known list})".
std::string unknown_name(std::string_view kind, std::string_view wrong, std::span<const std::string> right);

}  // namespace greta
