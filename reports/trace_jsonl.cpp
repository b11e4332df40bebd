#include "reports/trace_jsonl.hpp"

#include "datasets/greta_hash.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "datasets/stage.hpp"
#include "reports/atomic_file.hpp"

namespace greta::reports {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

template <typename T>
std::string number(T value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof(digits), value).ptr};
}

// "embed_out" of "embed_out · inp_embd · model.embed_tokens"; "—" is none.
std::string point_of(const std::string& stage) {
  for (const auto& row : stages()) {
    if (row.name != stage) continue;
    const std::string_view first = row.others.substr(0, row.others.find_first_of(",\xC2 "));
    return first.empty() || first.starts_with("\xE2") ? stage : std::string(first);
  }
  return stage;
}

int step_of(const std::string& phase) {
  constexpr std::string_view kDecode = "decode";
  int index = -1;
  if (phase.starts_with(kDecode))
    std::from_chars(phase.data() + kDecode.size(), phase.data() + phase.size(), index);
  return index + 1;
}

struct Statistics {
  double min = std::numeric_limits<double>::quiet_NaN(), max = min, sum = 0, abs_sum = 0;
  int64_t finite = 0, nonzero = 0, nan = 0, inf = 0;
  double mean() const {
    return finite ? sum / static_cast<double>(finite) : std::numeric_limits<double>::quiet_NaN();
  }
};

Statistics statistics_of(const std::vector<double>& values) {
  Statistics s;
  for (const double value : values) {
    s.nan += std::isnan(value);
    s.inf += std::isinf(value);
    s.nonzero += value != 0;
    if (!std::isfinite(value)) continue;
    s.min = s.finite ? std::min(s.min, value) : value;
    s.max = s.finite ? std::max(s.max, value) : value;
    s.sum += value;
    s.abs_sum += std::abs(value);
    ++s.finite;
  }
  return s;
}

std::string schema_line(const TraceReader& trace) {
  const RunIdentity& id = trace.identity();
  Json tokens = Json::object();
  for (const auto& [prompt, ids] : id.prompt_tokens) tokens[prompt] = ids;
  return text_of({{"event", "schema"},
                  {"schema", "greta/trace-jsonl"},
                  {"schema_version", kTraceJsonlSchema},
                  {"complete", trace.complete()},
                  {"hash",
                   "64 bits over the first 256 floats: basis 1469598103934665603, prime 1099511628211, "
                   "XOR of 32-bit words"},
                  {"sample_window", kTraceSample},
                  {"statistics", "whole tensor, finite values"},
                  {"greta_version", id.greta_version},
                  {"build", id.build},
                  {"command_line", id.command_line},
                  {"model_path", id.model_path},
                  {"model_digest", id.model_digest},
                  {"device", id.device},
                  {"backend", id.backend},
                  {"created", id.created},
                  {"prompt_tokens", std::move(tokens)}}) +
         "\n";
}

// Where the last row stands: its position, and the token that the prompt has there.
std::string place_of(const TraceRecord& record, const RunIdentity& identity) {
  if (record.positions.empty()) return {};
  const int32_t position = record.positions.back();
  std::string out = fmt::format(",\"pos_id\":{},\"seq_len\":{}", position, position + 1);
  const auto tokens = identity.prompt_tokens.find(record.key.prompt);
  if (tokens != identity.prompt_tokens.end() && position >= 0 &&
      static_cast<size_t>(position) < tokens->second.size())
    out += fmt::format(",\"token_id\":{}", tokens->second[static_cast<size_t>(position)]);
  return out;
}

std::string window_of(const TraceRecord& record, size_t sampled) {
  const std::string sample = fmt::format("first {} of {}", sampled, record.tensor->size());
  return record.window.empty() ? sample : sample + " of " + record.window;
}

std::string line_of(const TraceRecord& record, const RunIdentity& identity) {
  const TraceKey& key = record.key;
  const std::vector<double> values = record.tensor->to_f64();
  const size_t sampled = std::min(values.size(), kTraceSample);
  const std::vector<float> sample(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(sampled));
  const Statistics s = statistics_of(values);
  const bool weight = key.prompt == "weights" && key.phase.empty();
  std::string out =
      fmt::format("{{\"event\":\"stage_trace\",\"phase\":{},\"point\":{},\"layer\":{},\"step\":{}{}",
                  text_of(key.phase), text_of(weight ? "weight/" + key.stage : point_of(key.stage)),
                  key.layer, step_of(key.phase), place_of(record, identity));
  out += fmt::format(
      ",\"sample_n\":{},\"hash\":{},\"min\":{},\"max\":{},\"mean\":{},\"abs_sum\":{},\"nz_count\":{},"
      "\"sample\":[",
      sampled, sample_hash(sample), number(s.min), number(s.max), number(s.mean()), number(s.abs_sum),
      s.nonzero);
  for (size_t i = 0; i < sampled; ++i) out.append(i ? "," : "").append(number(sample[i]));
  out += fmt::format(
      "],\"prompt_id\":{},\"arm\":{},\"stage\":{},\"shape\":{},\"count\":{},\"window\":{},\"dtype\":{},"
      "\"kernel\":{},\"nan_count\":{},\"inf_count\":{}}}\n",
      text_of(key.prompt), text_of(key.arm), text_of(key.stage), text_of(record.tensor->shape()),
      values.size(), text_of(window_of(record, sampled)), text_of(name_of(record.tensor->dtype())),
      text_of(record.kernel), s.nan, s.inf);
  return out;
}

}  // namespace

uint64_t sample_hash(std::span<const float> values) {
  return greta_hash(values.first(std::min(values.size(), kTraceSample)));
}

void trace_jsonl(const TraceReader& trace, const std::function<void(std::string_view line)>& sink) {
  sink(schema_line(trace));
  for (const auto& key : trace.keys()) sink(line_of(trace.read(key), trace.identity()));
}

int64_t write_trace_jsonl(const TraceReader& trace, const std::string& path) {
  AtomicFile file(path);
  int64_t lines = 0;
  trace_jsonl(trace, [&](std::string_view line) {
    file.write(line);
    ++lines;
  });
  file.commit();
  return lines - 1;  // the first is the schema's
}

}  // namespace greta::reports
