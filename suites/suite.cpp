// Reads a suite strictly: whatever is not understood is an error with its line and the nearest right name.
#include "suites/suite.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "datasets/cause.hpp"
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "datasets/stage.hpp"
#include "datasets/synthesise.hpp"
#include "engine/choices.hpp"
#include "engine/engine.hpp"
#include "engine/faults/fault.hpp"
#include "probes/probe.hpp"
#include "suites/matrix.hpp"
#include "suites/phases.hpp"

namespace greta::suites {
namespace {

// One table of the file; every key must be read, or allowed, by name.
class Reader {
 public:
  Reader(const toml::table& table, std::string where, const std::string& path)
      : table_(table), where_(std::move(where)), path_(path) {}

  std::string at(const toml::node* node) const {
    return fmt::format("{} line {}", path_, node ? node->source().begin.line : table_.source().begin.line);
  }

  // Calls `use(node)` when the key is there; an Error that is thrown inside gets the line in front.
  template <typename Use>
  void with(std::string_view key, const Use& use) {
    known_.emplace_back(key);
    const toml::node* node = table_.get(key);
    if (!node) return;
    try {
      use(*node);
    } catch (const Error& error) {
      const std::string what = error.what();
      if (what.starts_with(path_)) throw;  // a reader of a part has said where
      throw Error(error.code(), fmt::format("{}: {}", at(node), what));
    }
  }

  void text(std::string_view key, std::string& out) {
    with(key, [&](const toml::node& node) { out = text_of(node, key); });
  }
  void texts(std::string_view key, std::vector<std::string>& out) {
    with(key, [&](const toml::node& node) {
      for (const auto& item : array_of(node, key, "strings")) out.push_back(text_of(item, key));
      refuse_twice(out, key);
    });
  }
  void integers(std::string_view key, std::vector<int>& out) {
    with(key, [&](const toml::node& node) {
      constexpr int most = std::numeric_limits<int>::max();
      for (const auto& item : array_of(node, key, "integers"))
        out.push_back(static_cast<int>(integer_of(item, key, -most, most)));
      refuse_twice(out, key);
    });
  }
  template <typename T>
  void integer(std::string_view key, T& out, int64_t least = 0) {
    with(key, [&](const toml::node& node) {
      out = static_cast<T>(integer_of(node, key, least, std::numeric_limits<int64_t>::max()));
    });
  }

  void number(std::string_view key, double& out) {
    with(key, [&](const toml::node& node) {
      const auto value = node.is_number() ? node.value<double>() : std::nullopt;
      if (!value || !std::isfinite(*value))
        fail_usage("{} must be a finite number, not {}", key, type_of(node));
      out = *value;
    });
  }

  // The keys that nobody has read.
  std::vector<std::pair<std::string, const toml::node*>> rest() const {
    std::vector<std::pair<std::string, const toml::node*>> out;
    for (const auto& [key, node] : table_)
      if (std::find(known_.begin(), known_.end(), key.str()) == known_.end())
        out.emplace_back(key.str(), &node);
    return out;
  }
  void refuse_rest() const {
    for (const auto& [key, node] : rest()) throw Error(ExitCode::usage, at(node) + ": " + unknown(key));
  }

  static std::string text_of(const toml::node& node, std::string_view key) {
    if (!node.is_string()) fail_usage("{} must be a string, not {}", key, type_of(node));
    return node.as_string()->get();
  }
  static std::string type_of(const toml::node& node) {
    std::ostringstream out;
    out << node.type();
    return out.str();
  }

 private:
  std::string unknown(const std::string& key) const {
    // The names that the kernels' world uses for the same two settings.
    if (where_ == "arm" && key == "route")
      return "unknown key 'route' of an arm; the key is unit = \"mfma|valu|auto\"";
    if (where_ == "arm" && key == "gemm")
      return "unknown key 'gemm' of an arm; the key is shape = \"gemm|gemv|auto\"";
    return unknown_name("key of the " + where_, key, known_);
  }
  static const toml::array& array_of(const toml::node& node, std::string_view key, std::string_view of) {
    if (!node.is_array()) fail_usage("{} must be an array of {}, not {}", key, of, type_of(node));
    if (node.as_array()->empty()) fail_usage("{} is empty; leave the key out, or name at least one", key);
    return *node.as_array();
  }
  static int64_t integer_of(const toml::node& node, std::string_view key, int64_t least, int64_t most) {
    if (!node.is_integer()) fail_usage("{} must be an integer, not {}", key, type_of(node));
    const int64_t value = node.as_integer()->get();
    if (value < least || value > most) fail_usage("{} = {} is outside {} to {}", key, value, least, most);
    return value;
  }
  template <typename T>
  static void refuse_twice(const std::vector<T>& values, std::string_view key) {
    std::set<T> seen;
    for (const T& value : values)
      if (!seen.insert(value).second) fail_usage("{} names {} twice", key, value);
  }

  const toml::table& table_;
  std::string where_;
  const std::string& path_;
  std::vector<std::string> known_;
};

// [[arm]] and [[probe]] are arrays of tables.
template <typename Each>
void each_table(Reader& top, std::string_view key, const Each& each) {
  const toml::array* found = nullptr;
  top.with(key, [&](const toml::node& node) {
    found = node.as_array();
    if (!found || found->empty() ||
        !std::all_of(found->begin(), found->end(), [](const auto& n) { return n.is_table(); }))
      fail_usage("{} must be written as [[{}]] tables, not as {}", key, key, Reader::type_of(node));
  });
  if (found)
    for (const auto& item : *found) each(*item.as_table());
}

reports::ExpectedFigure read_figure(const toml::node& node, const Suite& suite) {
  if (!node.is_table()) fail_usage("figures must be an array of tables, not of {}", Reader::type_of(node));
  reports::ExpectedFigure out;
  Reader reader(*node.as_table(), "figure that is expected", suite.path);
  reader.text("figure", out.figure);
  reader.text("in", out.in);
  reader.text("is", out.is);
  reader.number("at_least", out.at_least);
  reader.number("at_most", out.at_most);
  reader.refuse_rest();
  if (out.figure.empty()) fail_usage("a figure that is expected needs figure = \"NAME\"");
  const bool number = std::isfinite(out.at_least) || std::isfinite(out.at_most);
  if (out.is.empty() != number)
    fail_usage("the figure {} needs either is = \"WORD\", or at_least or at_most", out.figure);
  return out;
}

reports::Expectation read_expectation(const toml::node& node, const Suite& suite) {
  if (!node.is_table()) fail_usage("expect must be a table, not {}", Reader::type_of(node));
  reports::Expectation expect;
  Reader reader(*node.as_table(), "expectation", suite.path);
  reader.with("verdict", [&](const toml::node& value) {
    const auto name = Reader::text_of(value, "verdict");
    const std::vector<std::string> known = {"pass", "fail", "invalid"};
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail_usage("{}", unknown_name("verdict", name, known));
    expect.verdict = name;
  });
  reader.with("first", [&](const toml::node& value) {
    expect.first = Reader::text_of(value, "first");
    if (!expect.first.starts_with("weight")) parse_stage(expect.first);
  });
  reader.with("cause", [&](const toml::node& value) {
    expect.cause = Reader::text_of(value, "cause");
    if (expect.cause != "unexplained") find_cause(expect.cause);
  });
  reader.texts("causes", expect.causes);
  reader.with("causes", [&](const toml::node&) {
    for (const auto& cause : expect.causes) find_cause(cause);
  });
  reader.with("control", [&](const toml::node& value) {
    expect.control = Reader::text_of(value, "control");
    const std::vector<std::string> known = {"model", "planned", "route", "factor", "window"};
    if (std::find(known.begin(), known.end(), expect.control) == known.end())
      fail_usage("{}", unknown_name("control", expect.control, known));
  });
  reader.with("figures", [&](const toml::node& value) {
    if (!value.is_array() || value.as_array()->empty())
      fail_usage("figures must be an array of tables: [{{ figure = \"layout\", is = \"row\" }}]");
    for (const auto& item : *value.as_array()) expect.figures.push_back(read_figure(item, suite));
  });
  reader.refuse_rest();
  if (!expect.control.empty()) {
    if (expect.verdict.empty()) expect.verdict = "invalid";
    if (expect.verdict != "invalid")
      fail_usage("expect: an arm that a control refuses is invalid, not {}", expect.verdict);
  }
  if (expect.verdict.empty() && (!expect.first.empty() || !expect.causes.empty())) expect.verdict = "fail";
  if (expect.verdict.empty())
    fail_usage("expect needs verdict = \"pass|fail|invalid\", first = \"STAGE\" or control = \"NAME\"");
  return expect;
}

void check_quant(const std::string& quant) {
  const auto& known = synthesis_quants();
  if (std::find(known.begin(), known.end(), quant) == known.end())
    fail_usage("{}", unknown_name("quant", quant, known));
}

Matrix read_matrix(const toml::node& node, const Suite& suite) {
  if (!node.is_table()) fail_usage("matrix must be a table, not {}", Reader::type_of(node));
  Matrix matrix;
  Reader reader(*node.as_table(), "matrix", suite.path);
  reader.texts("quant", matrix.quant);
  reader.with("quant", [&](const toml::node&) {
    for (const auto& quant : matrix.quant) check_quant(quant);
  });
  std::vector<int> seeds;
  reader.integers("seed", seeds);
  matrix.seed.assign(seeds.begin(), seeds.end());
  reader.refuse_rest();
  if (matrix.empty())
    fail_usage("the matrix is empty; give it quant = [...] or seed = [...], or leave it out");
  return matrix;
}

void read_settings(Reader& reader, Arm& arm) {
  for (const auto& choice : engine::choices())
    reader.with(choice.name,
                [&](const toml::node& node) { arm.set(choice.name, Reader::text_of(node, choice.name)); });
}

// [engine]: an arm without a name.
Arm read_engine(const toml::node& node, const Suite& suite) {
  if (!node.is_table()) fail_usage("engine must be a table, not {}", Reader::type_of(node));
  Arm defaults;
  Reader reader(*node.as_table(), "engine", suite.path);
  read_settings(reader, defaults);
  reader.refuse_rest();
  return defaults;
}

Arm read_arm(const toml::table& table, const Suite& suite, const Arm& defaults) {
  Arm arm;
  Reader reader(table, "arm", suite.path);
  reader.text("name", arm.name);
  arm.unit = defaults.unit, arm.shape = defaults.shape, arm.engine = defaults.engine;
  read_settings(reader, arm);
  reader.texts("prompts", arm.prompts);
  reader.texts("faults", arm.faults);
  reader.with("faults", [&](const toml::node&) {
    for (const auto& fault : arm.faults) engine::Fault::parse(fault);
  });
  reader.with("expect", [&](const toml::node& node) { arm.expect = read_expectation(node, suite); });
  reader.text("differs_from", arm.differs_from);
  reader.integer("keys_window", arm.keys_window, 1);
  reader.text("quant", arm.quant);
  reader.with("quant", [&](const toml::node&) { check_quant(arm.quant); });
  uint64_t seed = 0;
  reader.integer("seed", seed);
  reader.with("seed", [&](const toml::node&) { arm.seed = seed; });
  reader.refuse_rest();
  if (arm.name.empty()) fail_usage("{}: an arm needs a name", reader.at(nullptr));
  if (arm.name.find('/') != std::string::npos)
    fail_usage("{}: arm name '{}' must not contain '/'", reader.at(nullptr), arm.name);
  for (const auto& other : suite.arms)
    if (other.name == arm.name) fail_usage("{}: two arms are called '{}'", reader.at(nullptr), arm.name);
  for (const auto& prompt : arm.prompts)
    if (std::find(suite.prompts.begin(), suite.prompts.end(), prompt) == suite.prompts.end())
      throw Error(ExitCode::usage, fmt::format("{}: {}", reader.at(nullptr),
                                               unknown_name("prompt of the suite", prompt, suite.prompts)));
  return arm;
}

std::string option_text(const toml::node& node) {
  if (node.is_string()) return node.as_string()->get();
  if (node.is_integer()) return std::to_string(node.as_integer()->get());
  if (node.is_boolean()) return node.as_boolean()->get() ? "true" : "false";
  fail_usage("an option must be a string, an integer or a boolean, not {}", Reader::type_of(node));
}

ProbeUse read_probe(const toml::table& table, const Suite& suite) {
  ProbeUse probe;
  Reader reader(table, "probe", suite.path);
  const probes::ProbeEntry* entry = nullptr;
  reader.with("use", [&](const toml::node& node) {
    entry = &probes::find_probe(probe.use = Reader::text_of(node, "use"));
  });
  if (!entry) fail_usage("{}: a [[probe]] needs use = \"NAME\" (greta list probes)", reader.at(nullptr));
  reader.texts("stages", probe.stages);
  reader.with("stages", [&](const toml::node&) {
    for (const auto& stage : probe.stages) parse_stage(stage);
  });
  for (const auto& option : entry->options)
    reader.with(option.name, [&](const toml::node& node) {
      probe.options[std::string(option.name)] = option_text(node);
      probes::complete_options(*entry, probe.options);
    });
  reader.refuse_rest();
  return probe;
}

void read(const toml::table& table, Suite& suite) {
  Reader top(table, "suite", suite.path);
  const auto phases = [&](std::string_view key, std::vector<std::string>& out) {
    top.texts(key, out);
    top.with(key, [&](const toml::node&) {
      for (const auto& phase : out) check_phase(phase);
    });
  };
  top.text("title", suite.title);
  top.text("model", suite.model);
  top.text("quant", suite.quant);
  top.integer("seed", suite.seed);
  top.texts("prompts", suite.prompts);
  phases("phases", suite.phases);
  phases("phases_if_room", suite.phases_if_room);
  top.integers("layers", suite.layers);
  Arm defaults;
  top.with("engine", [&](const toml::node& node) { defaults = read_engine(node, suite); });
  each_table(top, "arm",
             [&](const toml::table& arm) { suite.arms.push_back(read_arm(arm, suite, defaults)); });
  Matrix matrix;
  top.with("matrix", [&](const toml::node& node) { matrix = read_matrix(node, suite); });
  each_table(top, "probe",
             [&](const toml::table& probe) { suite.probes.push_back(read_probe(probe, suite)); });
  top.refuse_rest();
  if (suite.prompts.empty()) fail_usage("{}: the suite names no prompts", suite.path);
  if (suite.phases.empty()) fail_usage("{}: the suite names no phases", suite.path);
  if (suite.probes.empty()) fail_usage("{}: the suite has no [[probe]]", suite.path);
  if (suite.arms.empty()) {
    defaults.name = "auto";
    suite.arms.push_back(defaults);
  }
  try {
    suite.arms = multiply(suite.arms, matrix);
  } catch (const Error& error) {
    throw Error(error.code(), suite.path + ": " + error.what());
  }
  for (const auto& arm : suite.arms) {
    if (arm.differs_from.empty()) continue;
    std::vector<std::string> others;
    for (const auto& other : suite.arms)
      if (other.name != arm.name) others.push_back(other.name);
    if (std::find(others.begin(), others.end(), arm.differs_from) == others.end())
      fail_usage("{}: arm '{}': differs_from: {}", suite.path, arm.name,
                 unknown_name("arm", arm.differs_from, others));
  }
  for (const auto& phase : suite.phases_if_room)
    if (decode_index(phase) < 1)
      fail_usage("{}: phases_if_room takes decode1 and later phases, not {}", suite.path, phase);
}

}  // namespace

void Arm::set(std::string_view setting, std::string_view value) {
  engine::Settings checked;
  engine::choose(checked, setting, value);
  if (setting == "unit")
    unit = value;
  else if (setting == "shape")
    shape = value;
  else
    engine[std::string(setting)] = value;
}

std::string Arm::get(std::string_view setting) const {
  if (setting == "unit") return unit;
  if (setting == "shape") return shape;
  const auto found = engine.find(std::string(setting));
  return found != engine.end() ? found->second : std::string(engine::find_choice(setting).default_value());
}

bool Arm::lacks(Stage stage) const {
  return get("attention") == "fused" && (stage == Stage::qk || stage == Stage::softmax || stage == Stage::pv);
}

std::string Suite::set_by(const std::string& setting) const {
  const auto found = overridden.find(setting);
  return found == overridden.end() ? "" : found->second + ": ";
}

Suite parse_suite(std::string_view text, const std::string& path) {
  Suite suite;
  suite.path = path;
  try {
    read(toml::parse(text, std::string_view(path)), suite);
  } catch (const toml::parse_error& error) {
    const auto& begin = error.source().begin;
    fail_usage("{} line {} column {}: {}", path, begin.line, begin.column, error.description());
  }
  if (suite.title.empty()) suite.title = std::filesystem::path(path).stem().string();
  return suite;
}

Suite load_suite(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    fail_input("{} is a directory; give the suite's .toml file", path);
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_input("cannot read the suite {}: no such file, or no permission", path);
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) fail_input("cannot read the suite {}: the read failed", path);
  return parse_suite(text.str(), path);
}

}  // namespace greta::suites
