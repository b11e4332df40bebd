// probes/: what is asked of the evidence. A probe reads what an engine delivered (evidence.hpp), computes no
// model arithmetic of its own, and answers with findings. It may include reference/ and datasets/, never
// engine/ or suites/.
//
// To add a probe: one file NAME.cpp here.
//
//   struct Quiet {
//     static constexpr std::string_view name = "quiet";
//     static constexpr std::string_view doc = "no value of a stage is above 1000";
//     void check_layer(const LayerView& at, Judge& judge) const {
//       for (Stage stage : at.stages)
//         judge(at.place(stage), [&](Finding& finding) { … at.tap(stage) … fill in metrics … });
//     }
//   };
//   REGISTER_PROBE(Quiet);
//
// It has a name, a doc line and at least one of check_layer (as soon as the engine has delivered a layer of a
// phase), check_chained (as the reference, run from the tokens on, passes a stage), check_weight (once an
// arm) and check_case (the case is complete). `options`, `needs` and `fit` are there when wanted. Every place
// that the plan promises gets a finding: a place without one, or one with nothing compared, is INVALID.
#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "probes/evidence.hpp"
#include "probes/finding.hpp"

namespace greta::probes {

// `values`: "local|chained"; the first is the default. A word in capitals stands for values of a kind: COUNT
// a whole number above 0, SHARE one part in so many ("1/16"), LIST whole numbers, each once ("0,1,2").
struct Option {
  std::string_view name;
  std::string_view values;
  std::string_view doc;
  bool in_key = false;  // the value stands in the findings' keys, so that a suite may use the probe twice
};
using Options =
    std::map<std::string, std::string>;  // checked against the probe's `options`, defaults filled in

// The evidence that a probe asks the plan for. It reports on `phases` × layers × `stages`, less what the
// suite leaves out.
struct Needs {
  bool operands = false;        // whatever a judged stage is computed from
  std::vector<Stage> reads;     // of the same layer and phase, whatever stage is judged
  bool chained = false;         // the reference from the tokens on
  bool repeats = false;         // the same calls again
  bool untapped = false;        // the same calls without taps
  bool selections = false;      // and with some of the taps alone
  std::vector<int64_t> chunks;  // the prompt again, in chunks of so many tokens (probes/chunks.hpp)
  bool weights = false;         // the engine's view of each weight
  bool proofs = false;          // what proves that the tensors arrived as they were (datasets/checksum.hpp)
  std::vector<std::string> phases;  // reported on; empty: the suite's
  std::vector<std::string> also;    // phases that are read, too
  std::vector<Stage> stages;        // empty: the suite's, or all
};

// The local reference of the tensors at hand, computed once however many probes ask for it one after another.
// May be asked for several at once.
class LocalReference {
 public:
  using Compute = std::function<reference::Bounded()>;
  const reference::Bounded& get(const std::string& what, const Compute& compute);

 private:
  std::mutex mutex_;
  std::map<std::string, reference::Bounded> kept_;
};

// One layer of one phase; layer -1 comes twice, with embed and with final_norm and logits.
struct LayerView {
  const Evidence& evidence;
  const Phase& phase;
  int layer;
  std::vector<Stage> stages;  // to be judged
  std::shared_ptr<LocalReference> shared = std::make_shared<LocalReference>();
  // The stage as it should be, from the engine's own operands; what is missing or cannot be read throws.
  const reference::Bounded& local(Stage stage) const;
  Place place(Stage stage) const { return {phase.name, layer, stage}; }
  const Tap& tap(Stage stage) const { return phase.tap(layer, stage); }
  const Tap& repeated(Stage stage) const { return phase.tap(layer, stage, Run::repeat); }
};

struct ChainedView {
  const Evidence& evidence;
  const Phase& phase;
  Place place;
  std::span<const double> value, envelope;  // row-major, in the stage's shape
  const Tap& tap() const { return phase.tap(place.layer, place.stage); }
};

struct WeightView {
  const reference::Model& model;
  std::string weight;    // GGUF name
  const Tap* delivered;  // null when it did not come
  std::shared_ptr<LocalReference> shared = std::make_shared<LocalReference>();
  const reference::Bounded& local() const;  // throws Missing when the weight did not come
  // A few rows at a time, in parallel and in no order: the largest weights would not fit in float64.
  void visit_local(const reference::BoundedVisitor& visit) const;
};

struct CaseView {
  const Evidence& evidence;
  std::vector<Place> places;  // to be judged
};

// Collects a probe's findings. The comparison fills in metrics (then pass and fail follow from them), or sets
// status and message itself.
class Judge {
 public:
  using Compare = std::function<void(Finding&)>;
  Judge(std::string probe, std::string mode, std::string prompt, std::string arm);
  void operator()(const Place& place, const Compare& compare);
  // The same of several places, in parallel as far as memory allows for so many `elements` each; the findings
  // stand in the order of the places.
  struct Sized {
    Place place;
    int64_t elements;
  };
  void together(std::span<const Sized> places, const std::function<void(const Place&, Finding&)>& compare);
  void weight(const std::string& gguf_name, const Compare& compare);
  std::vector<Finding> take();            // and forgets them
  int64_t made() const { return made_; }  // findings so far, those that were taken included

 private:
  Finding blank_at(const Place& place) const;
  void keep(Finding finding);
  Finding blank_;
  std::vector<Finding> findings_;
  int64_t made_ = 0;
};

// Fills in kernel, contract and shape. Throws Missing when the tensor has another number of values than the
// reference.
void describe_with(Finding& finding, const Tap& tap, int64_t reference_values);
// The same and the metrics. `lean`: the mean error that the contract declares, if any, which the bias z-score
// then allows for.
void compare_with(Finding& finding, const Tap& tap, std::span<const double> value,
                  std::span<const double> expected, std::span<const double> certain,
                  std::span<const double> lean = {});

class AnyProbe {
 public:
  virtual ~AnyProbe() = default;
  virtual void check_layer(const LayerView&, Judge&) const {}
  virtual void check_chained(const ChainedView&, Judge&) const {}
  virtual void check_weight(const WeightView&, Judge&) const {}
  virtual void check_case(const CaseView&, Judge&) const {}
};

struct ProbeEntry {
  std::string name, doc;
  std::vector<Option> options;
  std::function<Needs(const Options&)> needs;
  std::function<std::unique_ptr<AnyProbe>(const Options&)> make;
  // Error (usage): an option that this model has no place for (a head that it does not have).
  std::function<void(const Options&, const reference::Config&)> fit;
};

std::vector<const ProbeEntry*> registered_probes();   // by name
const ProbeEntry& find_probe(std::string_view name);  // Error (usage) with the nearest right name
// Error (usage): an option that the probe does not take, or a value that the option does not have; the
// nearest right one is named.
Options complete_options(const ProbeEntry& probe, const std::map<std::string, std::string>& given);
int register_probe(ProbeEntry entry);

template <class P>
concept ChecksLayer = requires(const P& p, const LayerView& at, Judge& judge) {
  p.check_layer(at, judge);
};
template <class P>
concept ChecksChained = requires(const P& p, const ChainedView& at, Judge& judge) {
  p.check_chained(at, judge);
};
template <class P>
concept ChecksWeight = requires(const P& p, const WeightView& at, Judge& judge) {
  p.check_weight(at, judge);
};
template <class P>
concept ChecksCase = requires(const P& p, const CaseView& at, Judge& judge) {
  p.check_case(at, judge);
};
template <class P>
concept IsProbe = requires {
  { P::name } -> std::convertible_to<std::string_view>;
  { P::doc } -> std::convertible_to<std::string_view>;
}
&&(ChecksLayer<P> || ChecksChained<P> || ChecksWeight<P> || ChecksCase<P>);

template <IsProbe P>
class ProbeOf final : public AnyProbe {
 public:
  explicit ProbeOf(const Options& options) : probe_(make(options)) {}
  void check_layer(const LayerView& at, Judge& judge) const override {
    if constexpr (ChecksLayer<P>) probe_.check_layer(at, judge);
  }
  void check_chained(const ChainedView& at, Judge& judge) const override {
    if constexpr (ChecksChained<P>) probe_.check_chained(at, judge);
  }
  void check_weight(const WeightView& at, Judge& judge) const override {
    if constexpr (ChecksWeight<P>) probe_.check_weight(at, judge);
  }
  void check_case(const CaseView& at, Judge& judge) const override {
    if constexpr (ChecksCase<P>) probe_.check_case(at, judge);
  }

 private:
  static P make(const Options& options) {
    if constexpr (std::constructible_from<P, const Options&>)
      return P(options);
    else
      return P();
  }
  P probe_;
};

template <class P>
ProbeEntry entry_of() {
  ProbeEntry entry;
  entry.name = P::name;
  entry.doc = P::doc;
  if constexpr (requires { P::options; }) entry.options.assign(std::begin(P::options), std::end(P::options));
  entry.needs = [](const Options& options) -> Needs {
    if constexpr (requires { P::needs(options); })
      return P::needs(options);
    else
      return {};
  };
  entry.fit = [](const Options& options, const reference::Config& config) {
    if constexpr (requires { P::fit(options, config); }) P::fit(options, config);
  };
  entry.make = [](const Options& options) -> std::unique_ptr<AnyProbe> {
    return std::make_unique<ProbeOf<P>>(options);
  };
  return entry;
}

#define REGISTER_PROBE(P)                                                      \
  static_assert(::greta::probes::IsProbe<P>, #P                                \
                " is not a probe: it needs a static name and doc, and one of " \
                "check_layer, check_chained, check_weight, check_case (see "   \
                "probes/probe.hpp)");                                          \
  [[maybe_unused]] static const int registered_##P =                           \
      ::greta::probes::register_probe(::greta::probes::entry_of<P>())

}  // namespace greta::probes
