#include "probes/evidence.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace greta::probes {
namespace {

std::vector<int32_t> expected_positions(const Phase& phase, Stage stage) {
  const bool cache = over_cache(stage);
  std::vector<int32_t> positions(static_cast<size_t>(cache ? phase.sizes.T : phase.sizes.S));
  const int first = cache ? 0 : phase.call.start;
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = first + static_cast<int32_t>(i);
  return positions;
}

// f16 and bf16, as a cache may hold them, exactly in f32.
Tap widened(Tap tap) {
  if (!tap.tensor || tap.tensor->dtype() == DType::f32) return tap;
  const auto values = tap.tensor->to_f64();
  tap.stored = tap.tensor->dtype();
  tap.tensor = std::make_shared<const Tensor>(
      Tensor::from_f32(tap.tensor->shape(), std::vector<float>(values.begin(), values.end())));
  return tap;
}

std::string numbers(const std::vector<int32_t>& tokens) { return fmt::format("{}", fmt::join(tokens, ",")); }

}  // namespace

Message message_of(const std::exception& error) {
  const auto* missing = dynamic_cast<const Missing*>(&error);
  return missing ? missing->message : verbatim(error.what());
}

std::string Place::text() const {
  return layer < 0 ? fmt::format("{}/{}", phase, name_of(stage))
                   : fmt::format("{}/layer_{:02}/{}", phase, layer, name_of(stage));
}

bool over_cache(Stage stage) { return info(stage).axes.starts_with("T,"); }

Phase::Phase(std::string name_, reference::Call call_, const StageSizes& sizes_)
    : name(std::move(name_)), call(std::move(call_)), sizes(sizes_) {}

void Phase::put(int layer, Stage stage, Tap tap, Run run) {
  tap = widened(std::move(tap));
  const std::lock_guard lock(mutex_);
  const Key key{run, layer, stage};
  if (!taps_.emplace(key, std::move(tap)).second) duplicates_.insert(key);
}

bool Phase::has(int layer, Stage stage, Run run) const {
  const std::lock_guard lock(mutex_);
  if (taps_.contains({run, layer, stage})) return true;
  return run == Run::first && source_.has && source_.has(layer, stage);
}

const Tap& Phase::tap(int layer, Stage stage, Run run) const {
  const std::lock_guard lock(mutex_);
  const std::string place = Place{name, layer, stage}.text();
  const Message where = run == Run::repeat ? say("{} of the repeated run", place) : verbatim(place);
  auto it = taps_.find({run, layer, stage});
  if (it == taps_.end() && run == Run::first && source_.has && source_.has(layer, stage))
    it = taps_.emplace(Key{run, layer, stage}, widened(source_.read(layer, stage))).first;
  if (it == taps_.end()) throw Missing(say("{} did not come from the engine", where));
  if (duplicates_.contains(it->first)) throw Missing(say("{} came twice from the engine", where));
  const Tap& tap = it->second;
  const auto shape = shape_of(stage, sizes);
  if (!tap.tensor) throw Missing(say("{} came without a tensor", where));
  if (tap.tensor->shape() != shape)
    throw Missing(
        say("{} has shape {}, the plan says {}", where, to_string(tap.tensor->shape()), to_string(shape)));
  if (!tap.tokens.empty() && tap.tokens != call.tokens)
    throw Missing(say("{} is of other tokens than the plan's: the engine ran {}, the plan says {}", where,
                      numbers(tap.tokens), numbers(call.tokens)));
  if (tap.positions != expected_positions(*this, stage))
    throw Missing(say("{} does not lie at the positions of the plan ({} from {} on)", where,
                      over_cache(stage) ? sizes.T : sizes.S, over_cache(stage) ? 0 : call.start));
  return tap;
}

void Phase::forget(int layer, std::span<const Stage> stages, Run run) {
  const std::lock_guard lock(mutex_);
  for (const Stage stage : stages) taps_.erase({run, layer, stage});
}

void Phase::declare(int layer, Stage stage, std::string contract, std::string kernel) {
  const std::lock_guard lock(mutex_);
  declared_[{layer, stage}] = {std::move(contract), std::move(kernel)};
}

const Phase::Declared& Phase::declared(int layer, Stage stage) const {
  const std::lock_guard lock(mutex_);
  const auto it = declared_.find({layer, stage});
  if (it == declared_.end())
    throw Missing(say("the engine declared no contract for {}", Place{name, layer, stage}.text()));
  return it->second;
}

std::string Phase::contract(int layer, Stage stage) const { return declared(layer, stage).contract; }
std::string Phase::kernel(int layer, Stage stage) const { return declared(layer, stage).kernel; }

void Phase::read_from(Source source) {
  const std::lock_guard lock(mutex_);
  source_ = std::move(source);
}

size_t Phase::bytes() const {
  const std::lock_guard lock(mutex_);
  size_t sum = 0;
  for (const auto& [key, tap] : taps_)
    if (tap.tensor) sum += tap.tensor->bytes();
  return sum;
}

Phase& Evidence::add(std::string name, reference::Call call, const StageSizes& sizes) {
  const std::lock_guard lock(mutex_);
  return phases.emplace_back(std::move(name), std::move(call), sizes);
}

const Phase* Evidence::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto it =
      std::find_if(phases.begin(), phases.end(), [&](const Phase& phase) { return phase.name == name; });
  return it == phases.end() ? nullptr : &*it;
}

const Phase& Evidence::phase(const std::string& name) const {
  if (const Phase* found = find(name)) return *found;
  throw Missing(say("phase {} did not run", name));
}

const ChainedRows& Evidence::chained_rows(const Place& place) const {
  const auto it = chained.find(place);
  if (it == chained.end()) throw Missing(say("the chained reference has no {}", place.text()));
  return it->second;
}

size_t Evidence::bytes() const {
  const std::lock_guard lock(mutex_);
  size_t sum = 0;
  for (const Phase& phase : phases) sum += phase.bytes();
  return sum;
}

std::span<const float> last_rows(const Tap& tap, const Phase& phase, Stage stage) {
  const auto values = tap.f32();
  if (over_cache(stage)) return values;
  const size_t row = values.size() / static_cast<size_t>(phase.sizes.S);
  return values.subspan(values.size() - row);
}

Place place_of(const reference::OperandRef& ref, const std::string& phase, int64_t layers) {
  if (!info(ref.stage).per_layer) return {phase, -1, ref.stage};
  return {phase, ref.layer < 0 ? static_cast<int>(layers) - 1 : ref.layer, ref.stage};
}

reference::Matrix operand(const Phase& phase, const reference::Config& config,
                          const reference::OperandRef& ref) {
  if (ref.history && phase.window_of)
    return operand(*phase.window_of, config, ref);  // all rows, not the last alone
  const Place place = place_of(ref, phase.name, config.layers);
  std::vector<const Tap*> parts;
  if (ref.history)
    for (const Phase* earlier : phase.before) parts.push_back(&earlier->tap(place.layer, place.stage));
  parts.push_back(&phase.tap(place.layer, place.stage));
  Eigen::Index rows = 0;
  for (const Tap* part : parts) rows += part->tensor->shape().front();
  const Eigen::Index columns = parts.back()->tensor->size() / parts.back()->tensor->shape().front();
  reference::Matrix out(rows, columns);
  double* to = out.data();
  for (const Tap* part : parts) {
    const auto values = part->f32();
    to = std::copy(values.begin(), values.end(), to);
  }
  return out;
}

}  // namespace greta::probes
