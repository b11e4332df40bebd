// A Message in JSON, so that a report in any language can be made again from a file. Each is written twice:
// in English under its field's name, for readers, and as what it was made of, unless it is verbatim:
//
//   "message": "5 of 24 elements are out of bound",
//   "says": {"pattern": "{} of {} elements are out of bound", "arguments": [5, 24]}
//
// An argument is a whole number, a number with a point, a string, a message of its own, or {"number": "NaN"}
// for what JSON has no number for.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "datasets/message.hpp"

namespace greta::reports {

// The name of the second field: "says" beside "message" and "line", "scope_says" beside "scope".
std::string says_key(std::string_view field);

bool is_verbatim(const Message& message);  // or empty: its text alone is all there is to it
nlohmann::ordered_json message_to_json(const Message& message);

// `text`: the English, which is what counts: where `says` does not say the same (a file that was edited), the
// message is the text, verbatim. Throws std::runtime_error or a JSON exception: no message.
Message message_from_json(const nlohmann::ordered_json& says, const std::string& text);

}  // namespace greta::reports
