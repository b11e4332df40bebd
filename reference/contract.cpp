#include "reference/contract.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <functional>
#include <set>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/nearest.hpp"

namespace greta::reference {
namespace {

// The keys that an operation needs (docs/contracts.md).
struct Operation {
  std::string_view name;
  std::vector<std::string_view> keys;
};

const std::vector<Operation>& operations() {
  static const std::vector<std::string_view> dot = {"x", "w", "acc", "chain", "out", "unit"};
  static const std::vector<Operation> table = {
      {"copy", {}},
      {"embed", {"w"}},
      {"dequant", {"w"}},
      {"rmsnorm", {"chain", "sqrt"}},
      {"matmul", dot},
      {"rope", {"freq", "trig"}},
      {"qk", dot},
      {"softmax", {"chain", "exp", "div"}},
      {"pv", dot},
      {"add", {}},
      {"swiglu", {"exp", "div"}},
      {"attention", {"x", "w", "p", "acc", "chain", "sum", "rescales", "rounds", "exp", "div", "unit"}},
  };
  return table;
}

struct Word {
  std::string_view contract, key, value;
};

[[noreturn]] void refuse(const Word& word, std::string_view why) {
  fail_invalid("contract '{}': {}={}: {}", word.contract, word.key, word.value, why);
}

Rounding rounding(const Word& word) {
  if (word.value == "f32") return Rounding::f32;
  if (word.key == "acc") refuse(word, "only f32 is known, and for op=matmul i32 with w=parts");
  if (word.value == "f16") return Rounding::f16;
  if (word.value == "bf16") return Rounding::bf16;
  refuse(word, word.key == "x" || word.key == "w"
                   ? "the known types are f32, f16 and bf16, and for op=matmul x=i32 with w=parts and acc=i32"
                   : "the known types are f32, f16 and bf16");
}

int integer(const Word& word) {
  int number = 0;
  const auto* end = word.value.data() + word.value.size();
  const auto parsed = std::from_chars(word.value.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < 0 || number > 1'000'000'000)
    refuse(word, "an integer from 0 to 1000000000 is needed");
  return number;
}

Unit unit(const Word& word) {
  for (const Unit known : {Unit::ieee, Unit::cdna2, Unit::cdna3, Unit::hopper})
    if (word.value == name_of(known)) return known;
  refuse(word, "the known units are ieee, cdna2, cdna3 and hopper");
}

std::string one_of(const Word& word, std::span<const std::string_view> known) {
  for (const auto value : known)
    if (word.value == value) return std::string(value);
  refuse(word, fmt::format("the known values are {}", fmt::join(known, ", ")));
}

// Three words that only go together: x in fixed point, weights taken apart, integers added up exactly.
constexpr std::string_view kFixed = "i32", kParts = "parts";

void take_type(std::optional<Rounding>& type, const Word& word, std::string_view of_parts, Contract& c) {
  if (word.value == of_parts)
    c.parts = true;
  else
    type = rounding(word);
}

void set(Contract& contract, const Word& word) {
  static constexpr std::array<std::string_view, 2> freqs = {"f64", "f32"};
  static const std::vector<std::pair<std::string, std::function<void(Contract&, const Word&)>>> setters = {
      {"x", [](Contract& c, const Word& w) { take_type(c.x, w, kFixed, c); }},
      {"w", [](Contract& c, const Word& w) { take_type(c.w, w, kParts, c); }},
      {"acc", [](Contract& c, const Word& w) { take_type(c.acc, w, kFixed, c); }},
      {"p", [](Contract& c, const Word& w) { c.p = rounding(w); }},
      {"out", [](Contract& c, const Word& w) { c.out = rounding(w); }},
      {"chain", [](Contract& c, const Word& w) { c.chain = integer(w); }},
      {"sum", [](Contract& c, const Word& w) { c.sum = integer(w); }},
      {"rescales", [](Contract& c, const Word& w) { c.rescales = integer(w); }},
      {"rounds", [](Contract& c, const Word& w) { c.rounds = integer(w); }},
      {"unit", [](Contract& c, const Word& w) { c.unit = unit(w); }},
      {"exp", [](Contract& c, const Word& w) { c.exp_ulp = integer(w); }},
      {"trig", [](Contract& c, const Word& w) { c.trig_ulp = integer(w); }},
      {"sqrt", [](Contract& c, const Word& w) { c.sqrt_ulp = integer(w); }},
      {"div", [](Contract& c, const Word& w) { c.div_ulp = integer(w); }},
      {"freq", [](Contract& c, const Word& w) { c.freq_f64 = one_of(w, freqs) == "f64"; }},
  };
  std::vector<std::string> known;
  for (const auto& [key, setter] : setters) {
    if (key == word.key) return setter(contract, word);
    known.push_back(key);
  }
  fail_invalid("contract '{}': {}", word.contract, unknown_name("key", word.key, known));
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    if (end > 0) out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

const Operation& operation(std::string_view contract, std::string_view name) {
  std::vector<std::string> known;
  for (const auto& row : operations()) {
    if (row.name == name) return row;
    known.emplace_back(row.name);
  }
  fail_invalid("contract '{}': {}", contract, unknown_name("operation", name, known));
}

// The keys are looked at here, since parts need others than the operation does.
void check_parts(const Contract& c, const std::set<std::string_view>& keys) {
  if (c.op != "matmul")
    fail_invalid("contract '{}': x=i32, w=parts and acc=i32 are of op=matmul alone", c.text);
  for (const auto key : {"x", "w", "acc", "sum", "out"})
    if (!keys.contains(key)) fail_invalid("contract '{}': op=matmul with w=parts needs {}=", c.text, key);
  if (c.x || c.w || c.acc) fail_invalid("contract '{}': x=i32, w=parts and acc=i32 go together", c.text);
  for (const auto key : {"chain", "unit"})
    if (keys.contains(key))
      fail_invalid("contract '{}': {}= has no meaning with w=parts, whose integers are added up exactly",
                   c.text, key);
}

// Words that are known each and mean nothing together.
void check_together(const Contract& c) {
  if (c.out.value_or(Rounding::f32) != Rounding::f32 && c.op != "copy")
    refuse({c.text, "out", name_of(*c.out)}, "only f32 is known but for op=copy");
  if (!c.unit || *c.unit == Unit::ieee) return;
  const Word word{c.text, "unit", name_of(*c.unit)};
  for (const auto& type : {c.x, c.w, c.p})
    if (type && (*type == Rounding::f32 || *type != *c.x))
      refuse(word, "a matrix unit multiplies f16 by f16 or bf16 by bf16; products of f32 are unit=ieee");
}

}  // namespace

std::string_view name_of(Rounding rounding) {
  return rounding == Rounding::f16 ? "f16" : rounding == Rounding::bf16 ? "bf16" : "f32";
}

std::string_view name_of(Unit unit) {
  switch (unit) {
    case Unit::cdna2:
      return "cdna2";
    case Unit::cdna3:
      return "cdna3";
    case Unit::hopper:
      return "hopper";
    default:
      return "ieee";
  }
}

Contract Contract::parse(std::string_view text) {
  Contract contract;
  contract.text = text;
  std::set<std::string_view> seen;
  for (const auto word : words(text)) {
    const auto equals = word.find('=');
    if (equals == std::string_view::npos) fail_invalid("contract '{}': '{}' is no key=value", text, word);
    const Word parsed{text, word.substr(0, equals), word.substr(equals + 1)};
    if (!seen.insert(parsed.key).second) fail_invalid("contract '{}': {} is given twice", text, parsed.key);
    if (parsed.key == "op")
      contract.op = operation(text, parsed.value).name;
    else
      set(contract, parsed);
  }
  if (contract.op.empty()) fail_invalid("contract '{}': no op=", text);
  if (contract.parts) {
    check_parts(contract, seen);
  } else {
    for (const auto key : operation(text, contract.op).keys)
      if (!seen.contains(key)) fail_invalid("contract '{}': op={} needs {}=", text, contract.op, key);
  }
  check_together(contract);
  return contract;
}

}  // namespace greta::reference
