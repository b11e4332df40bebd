#include "reports/verdicts_json.hpp"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>

#include "reports/atomic_file.hpp"
#include "reports/explanations.hpp"
#include "reports/message_json.hpp"

namespace greta::reports {
namespace {

using Json = nlohmann::ordered_json;
using probes::Finding;
using probes::Metrics;
using probes::Status;

constexpr const char* kSchemaName = "greta/verdicts";

// One list of fields for each struct; `Writer` and `Reader` walk the same list, so the two directions cannot
// drift apart.
template <typename Visitor, typename M>
void visit_metrics(Visitor&& visit, M& m) {
  visit("count", m.count);
  visit("out_of_bound", m.out_of_bound);
  visit("out_of_certain", m.out_of_certain);
  visit("bound_ratio", m.bound_ratio);
  visit("certain_ratio", m.certain_ratio);
  visit("worst", m.worst);
  visit("worst_actual", m.worst_actual);
  visit("worst_expected", m.worst_expected);
  visit("worst_bound", m.worst_bound);
  visit("max_abs", m.max_abs);
  visit("max_rel", m.max_rel);
  visit("mae", m.mae);
  visit("rmse", m.rmse);
  visit("nmse", m.nmse);
  visit("cosine", m.cosine);
  visit("bias_z", m.bias_z);
  visit("nan_count", m.nan_count);
  visit("inf_count", m.inf_count);
  visit("non_finite_mismatch", m.non_finite_mismatch);
  visit("max_ulp", m.max_ulp);
}

template <typename Visitor, typename F>
void visit_finding(Visitor&& visit, F& f) {
  visit("probe", f.probe);
  visit("mode", f.mode);
  visit("prompt", f.prompt);
  visit("arm", f.arm);
  visit("phase", f.phase);
  visit("layer", f.layer);
  visit("stage", f.stage);
  visit("status", f.status);
  visit("shape", f.shape);
  visit("kernel", f.kernel);
  visit("contract", f.contract);
  visit("reason", f.reason);
  visit("message", f.message);
  visit("metrics", f.metrics);
}

// Only the findings that have rows name them.
template <typename Visitor, typename F>
void visit_rows(Visitor&& visit, F& f) {
  visit("row_ratio", f.row_ratio);
  visit("first_position", f.first_position);
}

template <typename Visitor, typename F>
void visit_expected_figure(Visitor&& visit, F& f) {
  visit("figure", f.figure);
  visit("in", f.in);
  visit("is", f.is);
  visit("at_least", f.at_least);
  visit("at_most", f.at_most);
}

template <typename Visitor, typename A>
void visit_arm(Visitor&& visit, A& a) {
  visit("name", a.name);
  visit("status", a.status);
  visit("first_failing", a.first_failing);
  visit("settings", a.settings);
  visit("expect_verdict", a.expect.verdict);
  visit("expect_first", a.expect.first);
  visit("expect_cause", a.expect.cause);
  visit("expect_causes", a.expect.causes);
  visit("expect_control", a.expect.control);
  visit("expect_figures", a.expect.figures);
}

template <typename Visitor, typename C>
void visit_control(Visitor&& visit, C& c) {
  visit("name", c.name);
  visit("arm", c.arm);
  visit("status", c.status);
  visit("line", c.line);
}

template <typename Visitor, typename M>
void visit_model(Visitor&& visit, M& m) {
  visit("arm", m.arm);
  visit("path", m.path);
  visit("digest", m.digest);
  visit("quant", m.quant);
  visit("seed", m.seed);
}

template <typename Visitor, typename I>
void visit_identity(Visitor&& visit, I& i) {
  visit("greta_version", i.greta_version);
  visit("build", i.build);
  visit("command_line", i.command_line);
  visit("model_path", i.model_path);
  visit("model_digest", i.model_digest);
  visit("model_metadata_json", i.model_metadata_json);
  visit("device", i.device);
  visit("backend", i.backend);
  visit("created", i.created);
  visit("prompt_tokens", i.prompt_tokens);
}

template <typename Visitor, typename R>
void visit_run(Visitor&& visit, R& r) {
  visit("title", r.title);
  visit("status", r.status);
  visit("planned", r.planned);
  visit("compared", r.compared);
  visit("interrupted", r.interrupted);
  visit("rerun", r.rerun);
  visit("suite_path", r.suite_path);
  visit("identity", r.identity);
  visit("reference", r.reference);
  visit("layers", r.layers);
  visit("prompts", r.prompts);
  visit("phases", r.phases);
  visit("arms", r.arms);
  visit("controls", r.controls);
  visit("wall_seconds", r.wall_seconds);
  visit("engine_seconds", r.engine_seconds);
  visit("reference_seconds", r.reference_seconds);
}

template <typename Visitor, typename F>
void visit_distribution(Visitor&& visit, F& f) {
  visit("by_expected", f.by_expected);
  visit("by_certain", f.by_certain);
}

template <typename Visitor, typename F>
void visit_figure(Visitor&& visit, F& f) {
  visit("name", f.name);
  visit("value", f.value);
  visit("text", f.text);
  visit("of", f.of);
}

std::string dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);  // a path need not be UTF-8
}

struct Writer {
  Json& object;
  template <typename T>
  void operator()(const char* key, const T& value) {
    object[key] = json_of(value);
  }
  void operator()(const char* key, const Message& message) {
    object[key] = message.text();
    if (!is_verbatim(message)) object[says_key(key)] = message_to_json(message);
  }

  template <typename T>
  static Json json_of(const T& value) {
    return value;
  }
  static Json json_of(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return value;
  }
  static Json json_of(Status value) { return probes::name_of(value); }
  static Json json_of(const RunIdentity& value) {
    Json json = Json::object();
    visit_identity(Writer{json}, value);
    return json;
  }
  static Json json_of(const std::vector<Control>& controls) {
    Json json = Json::array();
    for (const auto& control : controls) visit_control(Writer{json.emplace_back(Json::object())}, control);
    return json;
  }
  static Json json_of(const std::vector<ExpectedFigure>& figures) {
    Json json = Json::array();
    for (const auto& figure : figures)
      visit_expected_figure(Writer{json.emplace_back(Json::object())}, figure);
    return json;
  }
  static Json json_of(const std::vector<ArmModel>& models) {
    Json json = Json::array();
    for (const auto& model : models) visit_model(Writer{json.emplace_back(Json::object())}, model);
    return json;
  }
  static Json json_of(const std::vector<ArmResult>& arms) {
    Json json = Json::array();
    for (const auto& arm : arms) visit_arm(Writer{json.emplace_back(Json::object())}, arm);
    return json;
  }
};

// The findings are tens of thousands and are written after every case, so their lines are put together
// without a DOM. Numbers are the shortest that read back the same (std::to_chars).
struct LineWriter {
  std::string& out;
  const char* separator = "{";

  template <typename T>
  void operator()(const char* key, const T& value) {
    out += separator;
    out += '"';
    out += key;
    out += "\":";
    put(value);
    separator = ",";
  }
  void operator()(const char* key, const Message& message) {
    (*this)(key, message.text());
    if (!is_verbatim(message)) (*this)(says_key(key).c_str(), message_to_json(message));
  }

  void put(const Json& json) { out += dump(json, -1); }
  void put(const std::string& text) {
    const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
      return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    });
    if (plain)
      out.append("\"").append(text).append("\"");
    else
      out += dump(text, -1);
  }
  void put(Status status) { out.append("\"").append(probes::name_of(status)).append("\""); }
  void put(int64_t value) { put_number(value); }
  void put(int value) { put_number(value); }
  void put(double value) {
    if (std::isfinite(value))
      put_number(value);
    else
      out += Writer::json_of(value).dump();
  }
  void put(float value) {
    if (std::isfinite(value))
      put_number(value);
    else
      put(static_cast<double>(value));
  }
  template <typename T>
  void put(const std::vector<T>& values) {
    out += '[';
    for (size_t i = 0; i < values.size(); ++i) {
      if (i) out += ',';
      put(values[i]);
    }
    out += ']';
  }
  void put(const Metrics& metrics) {
    LineWriter inner{out};
    visit_metrics(inner, metrics);
    out += '}';
  }
  void put(const probes::Figure& figure) {
    LineWriter inner{out};
    visit_figure(inner, figure);
    out += '}';
  }
  template <typename T>
  void put_number(T value) {
    char digits[32];
    out.append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
  }
};

struct Reader {
  const Json& object;
  template <typename T>
  void operator()(const char* key, T& value) {
    const auto found = object.find(key);
    if (found == object.end()) throw std::runtime_error(fmt::format("'{}' is missing", key));
    try {
      read(*found, value);
    } catch (const Json::exception&) {
      throw std::runtime_error(fmt::format("'{}' is of another type", key));
    }
  }

  void operator()(const char* key, Message& message) {
    std::string text;
    (*this)(key, text);
    const auto says = object.find(says_key(key));
    if (says != object.end())
      message = message_from_json(*says, text);
    else if (!text.empty())
      message = verbatim(text);
  }

  template <typename T>
  static void read(const Json& json, T& value) {
    value = json.get<T>();
  }
  static void read(const Json& json, double& value) {
    if (json.is_string()) {
      const auto text = json.get<std::string>();
      if (text == "NaN") return void(value = std::numeric_limits<double>::quiet_NaN());
      if (text == "Infinity") return void(value = std::numeric_limits<double>::infinity());
      if (text == "-Infinity") return void(value = -std::numeric_limits<double>::infinity());
    }
    value = json.get<double>();
  }
  static void read(const Json& json, std::vector<float>& values) {
    for (const auto& element : json) {
      double value = 0;
      read(element, value);
      values.push_back(static_cast<float>(value));
    }
  }
  static void read(const Json& json, std::vector<probes::Figure>& figures) {
    for (const auto& element : json) visit_figure(Reader{element}, figures.emplace_back());
  }
  static void read(const Json& json, Status& value) {
    const auto text = json.get<std::string>();
    for (const Status status : {Status::pass, Status::fail, Status::invalid})
      if (text == probes::name_of(status)) return void(value = status);
    throw std::runtime_error(fmt::format("status '{}' is none of pass, fail, invalid", text));
  }
  static void read(const Json& json, Metrics& value) { visit_metrics(Reader{json}, value); }
  static void read(const Json& json, RunIdentity& value) { visit_identity(Reader{json}, value); }
  static void read(const Json& json, std::vector<Control>& controls) {
    for (const auto& element : json) visit_control(Reader{element}, controls.emplace_back());
  }
  static void read(const Json& json, std::vector<ExpectedFigure>& figures) {
    for (const auto& element : json) visit_expected_figure(Reader{element}, figures.emplace_back());
  }
  static void read(const Json& json, std::vector<ArmModel>& models) {
    for (const auto& element : json) visit_model(Reader{element}, models.emplace_back());
  }
  static void read(const Json& json, std::vector<ArmResult>& arms) {
    for (const auto& element : json) visit_arm(Reader{element}, arms.emplace_back());
  }
};

void append(const Finding& finding, std::string& text) {
  LineWriter line{text};
  line("key", finding.key());
  visit_finding(line, finding);
  if (!finding.row_ratio.empty()) visit_rows(line, finding);
  if (!finding.head_ratio.empty()) line("head_ratio", finding.head_ratio);
  if (!finding.by_expected.empty()) visit_distribution(line, finding);
  if (!finding.figures.empty()) line("figures", finding.figures);
  text += '}';
}

void check_schema(const Json& json, const std::string& name) {
  if (!json.is_object() || json.value("schema", std::string()) != kSchemaName)
    fail_input("'{}' is not a {} document", name, kSchemaName);
  const int version = json.value("schema_version", 0);
  if (version != kVerdictsSchema)
    fail_input("'{}' has schema version {}; this greta reads version {}: run the suite again", name, version,
               kVerdictsSchema);
}

}  // namespace

std::string to_verdicts_json(const RunResult& run) {
  Json head = {{"schema", kSchemaName},
               {"schema_version", kVerdictsSchema},
               {"exit_code", static_cast<int>(run.exit_code())}};
  visit_run(Writer{head}, run);
  if (!run.models.empty()) Writer{head}("models", run.models);
  if (!run.explanations.empty()) head["explanations"] = explanations_to_json(run.explanations);
  std::string text = dump(head, 1);
  text.erase(text.rfind("\n}"));
  text += ",\n \"findings\": [";
  // A long run has hundreds of MB of them.
  constexpr size_t kChunk = 2048;
  std::vector<std::string> chunks((run.findings.size() + kChunk - 1) / kChunk);
  tbb::parallel_for(size_t{0}, chunks.size(), [&](size_t chunk) {
    const size_t first = chunk * kChunk, end = std::min(first + kChunk, run.findings.size());
    for (size_t i = first; i < end; ++i) {
      chunks[chunk] += i == 0 ? "\n  " : ",\n  ";
      append(run.findings[i], chunks[chunk]);
    }
  });
  for (const auto& chunk : chunks) text += chunk;
  return text + "\n ]\n}\n";
}

RunResult from_verdicts_json(std::string_view text, const std::string& name) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) fail_input("'{}' is not JSON", name);
  RunResult run;
  try {
    check_schema(json, name);
    visit_run(Reader{json}, run);
    if (json.contains("models")) Reader{json}("models", run.models);
    if (json.contains("explanations")) run.explanations = explanations_from_json(json["explanations"]);
    for (const auto& line : json.at("findings")) {
      auto& finding = run.findings.emplace_back();
      visit_finding(Reader{line}, finding);
      if (line.contains("row_ratio")) visit_rows(Reader{line}, finding);
      if (line.contains("head_ratio")) Reader{line}("head_ratio", finding.head_ratio);
      if (line.contains("by_expected")) visit_distribution(Reader{line}, finding);
      if (line.contains("figures")) Reader{line}("figures", finding.figures);
    }
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    fail_input("'{}' cannot be read: {}", name, e.what());
  }
  return run;
}

void write_verdicts_json(const RunResult& run, const std::string& path) {
  write_atomically(path, to_verdicts_json(run));
}

RunResult read_verdicts_json(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_input("cannot open '{}'", path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return from_verdicts_json(text, path);
}

}  // namespace greta::reports
