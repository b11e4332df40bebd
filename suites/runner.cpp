#include "suites/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <optional>

#include "datasets/error.hpp"
#include "engine/choices.hpp"
#include "reports/verdicts_json.hpp"
#include "suites/case_run.hpp"
#include "suites/controls.hpp"
#include "suites/identity.hpp"
#include "suites/interrupt.hpp"
#include "suites/kept_evidence.hpp"
#include "suites/models.hpp"
#include "suites/share_out.hpp"
#include "suites/verdict.hpp"
#include "suites/weights.hpp"

namespace greta::suites {
namespace {

void make_directory(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_directory(path, error))
    error = std::make_error_code(std::errc::not_a_directory);
  const std::string probe = path + "/.greta-can-write";
  if (!error && !std::ofstream(probe)) error = std::make_error_code(std::errc::permission_denied);
  if (error)
    fail_usage("cannot write to the output directory {}: {}; choose another with --out", path,
               error.message());
  std::filesystem::remove(probe, error);
}

std::string settings_text(const Arm& arm) {
  std::string text = fmt::format("unit={} shape={}", arm.unit, arm.shape);
  for (const auto& choice : engine::choices())
    if (arm.engine.contains(std::string(choice.name)) && arm.get(choice.name) != choice.default_value())
      text += fmt::format(" {}={}", choice.name, arm.get(choice.name));
  if (arm.lacks(Stage::qk)) text += " (no qk, softmax, pv)";
  for (const auto& fault : arm.faults) text += " fault " + fault;
  if (arm.keys_window > 0) text += fmt::format(" keys_window={}", arm.keys_window);
  return text;
}

// Why a run ended early.
Message reason_of(const std::exception& error) {
  const auto* interrupted = dynamic_cast<const Interrupted*>(&error);
  return interrupted ? say("interrupted by {}", interrupted->signal) : probes::message_of(error);
}

// One device: its engines of the arm that runs there, and the thread that checks what they deliver.
struct Station {
  std::string device, arm;
  std::unique_ptr<EnginePort> engine, repeat;
  Message repeat_note;
  std::shared_ptr<const reference::Model> model;
  Checker checker;
};

// A case of an arm, or its weights; and what became of it.
struct Task {
  const Arm* arm;
  const Case* item = nullptr;  // null: the weights
  bool last = false;           // of the arm
  bool complete = false;
  std::shared_ptr<const reference::Model> model;
  std::optional<Bench> bench;  // as long as what refers to it
  std::unique_ptr<CaseRun> run;
  std::unique_ptr<WeightRun> weights;
};

class Session {
 public:
  Session(const Suite& suite, const RunOptions& options, const MakeEngine& make)
      : suite_(suite),
        options_(options),
        make_(make),
        models_(suite, options),
        plan_(make_plan(suite, models_.config(), models_.prompts(),
                        weight_names(models_.file(suite.arms.front().name), models_.config()),
                        options.only)) {
    make_directory(options.out_dir);
    for (const auto& device : options.devices) {
      stations_.push_back(std::make_unique<Station>());
      stations_.back()->device = device;
    }
    start_all(first_arm());
    describe();
  }

  reports::RunResult run() {
    const InterruptGuard guard;
    Meter meter(plan_.findings, work(), options_.progress);
    try {
      run_all(meter);
      conclude();
      close_trace();
    } catch (const std::exception& error) {
      result_.interrupted = reason_of(error);
    }
    for (const auto& station : stations_) station->checker.abandon();
    close_quietly();
    take_times(meter);
    if (!result_.interrupted.empty()) conclude();
    try {
      if (options_.last_save) save();
    } catch (const std::exception& error) {
      const Message then = reason_of(error);
      result_.interrupted =
          result_.interrupted.empty() ? then : say("{}; then {}", result_.interrupted, then);
      conclude();
    }
    return std::move(result_);
  }

 private:
  const Arm& first_arm() const {
    for (const auto& arm : suite_.arms)
      if (uses(arm.name)) return arm;
    fail_internal("the plan has no arm");
  }

  bool uses(const std::string& arm) const {
    const auto of_arm = [&](const Case& item) { return item.arm.name == arm; };
    const auto& rows = plan_.weights.at(arm);
    return std::any_of(plan_.cases.begin(), plan_.cases.end(), of_arm) ||
           std::any_of(rows.begin(), rows.end(), [](const auto& row) { return !row.empty(); });
  }

  engine::Settings settings(const Arm& arm, const std::string& device) const {
    engine::Settings settings;
    for (const auto& choice : engine::choices()) engine::choose(settings, choice.name, arm.get(choice.name));
    settings.device = device;
    settings.wave = options_.wave;
    settings.threads = options_.threads;
    settings.order_seed = options_.order_seed;
    settings.faults = arm.faults;
    settings.on_strike = options_.on_strike;
    settings.context = plan_.positions;
    return settings;
  }

  // One arm's engines at a time on a device: each holds the weights.
  void start_arm(Station& station, const Arm& arm) {
    if (station.arm == arm.name) return;
    station.engine.reset(), station.repeat.reset(), station.model.reset();
    const auto repeats = [&](const Case& item) { return item.arm.name == arm.name && item.repeats; };
    const bool repeat = std::any_of(plan_.cases.begin(), plan_.cases.end(), repeats);
    const uint64_t other_order = options_.order_seed.value_or(suite_.seed) + 1;
    const GgufFile& file = models_.file(arm.name);
    auto how = settings(arm, station.device);
    station.engine = make_(file, how);
    how.order_seed = other_order;
    if (repeat) station.repeat = make_(file, how);
    station.repeat_note = {};
    if (repeat && station.engine->backend() == "host")
      station.repeat_note = say("the lanes in another order (order_seed {})", other_order);
    station.model = models_.reference(arm.name);
    station.arm = arm.name;
    const std::lock_guard lock(mutex_);
    engine_models_.try_emplace(arm.name, station.engine->model_digest());
  }

  // Several at once: each card has a way of its own to the memory.
  void start_all(const Arm& arm) {
    std::vector<std::future<void>> loading;
    for (const auto& station : stations_)
      loading.push_back(
          std::async(std::launch::async, [&, &station = *station] { start_arm(station, arm); }));
    for (auto& engine : loading) engine.get();
  }

  EnginePort& first() const { return *stations_.front()->engine; }

  void describe() {
    result_.title = suite_.title;
    result_.suite_path = suite_.path;
    result_.identity =
        identify(models_.file(first_arm().name), models_.prompts(), first(), options_.command_line);
    for (size_t i = 1; i < stations_.size(); ++i)
      result_.identity.device += " + " + stations_[i]->engine->device();
    result_.models = models_.listed(suite_);
    result_.reference = reference::instruction_sets();
    result_.layers = static_cast<int>(models_.config().layers);
    for (const auto& prompt : models_.prompts()) result_.prompts.push_back(prompt.id);
    result_.phases = plan_.phases;
    for (const auto& arm : suite_.arms)
      if (uses(arm.name))
        result_.arms.push_back({.name = arm.name, .settings = settings_text(arm), .expect = arm.expect});
    result_.planned = plan_.tensors;
    result_.rerun = options_.command_line;
    if (options_.keep_trace)
      trace_ = std::make_unique<TraceWriter>(options_.out_dir + "/trace.h5", result_.identity);
  }

  void conclude() {
    {
      const std::lock_guard lock(mutex_);
      result_.controls = controls_of(suite_, result_.findings, models_.digests(), engine_models_);
    }
    conclude_run(result_, plan_);
  }

  int64_t work() const {
    int64_t sum = 0;
    for (const auto& item : plan_.cases) sum += Passes::cost(item);
    return sum;
  }

  // A device stays with an arm, whose engine it has, as long as that has cases left.
  void run_all(Meter& meter) {
    std::vector<Task> tasks;
    std::vector<size_t> arms;
    for (const auto& shown : result_.arms) {
      const Arm& arm = *std::find_if(suite_.arms.begin(), suite_.arms.end(),
                                     [&](const Arm& one) { return one.name == shown.name; });
      tasks.push_back({.arm = &arm});
      for (const auto& item : plan_.cases)
        if (item.arm.name == arm.name) tasks.push_back({.arm = &arm, .item = &item});
      tasks.back().last = true;
      arms.resize(tasks.size(), arms.empty() ? 0 : arms.back() + 1);
    }
    share_out(
        stations_.size(), arms, [&](size_t at, size_t i) { run_task(*stations_[at], tasks[i], meter); },
        [&](size_t i) { finish(tasks[i], meter); });
  }

  void run_task(Station& station, Task& task, Meter& meter) {
    start_arm(station, *task.arm);
    task.model = station.model;
    task.bench.emplace(Bench{plan_, *task.model, trace_.get(), station.checker, meter, suite_.seed});
    try {
      if (task.item) {
        task.run = std::make_unique<CaseRun>(*task.bench, *task.item);
        task.run->run(*station.engine, station.repeat.get(), station.repeat_note);
      } else {
        task.weights = std::make_unique<WeightRun>(*task.bench, task.arm->name);
        task.weights->run(*station.engine, trace_ && task.arm->name == result_.arms.front().name);
      }
    } catch (...) {
      station.checker.abandon();
      throw;
    }
    task.complete = true;
  }

  void finish(Task& task, const Meter& meter) {
    if (task.run) finish_case(*task.run, task.complete, meter);
    if (task.weights) {
      weight_seconds_ += task.weights->engine_seconds();
      if (task.complete) kept_.add(task.weights->failed());
      add(task.weights->findings());
    }
    if (task.last && task.complete) explain(task.arm->name, *task.model);
    task.run.reset(), task.weights.reset(), task.bench.reset(), task.model.reset();
  }

  void finish_case(CaseRun& run, bool complete, const Meter& meter) {
    auto found = run.findings();
    engine_seconds_ += run.engine_seconds();
    if (complete) kept_.add(run.evidence(), found);
    add(std::move(found));
    if (!complete) return;
    if (trace_) trace_->flush();
    save_when_due(meter);
  }

  // All findings are written anew each time: of a long run's time a fiftieth at most may go into that.
  void save_when_due(const Meter& meter) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    if (begin < next_save_) return;
    conclude();
    take_times(meter);
    // A run that dies here says so itself: what is missing makes it INVALID until the last case is done.
    save();
    next_save_ = Clock::now() + 50 * (Clock::now() - begin);
  }

  void take_times(const Meter& meter) {
    result_.engine_seconds = engine_seconds_ + weight_seconds_;
    result_.reference_seconds = 0;
    for (const auto& station : stations_) result_.reference_seconds += station->checker.busy_seconds();
    result_.wall_seconds = meter.seconds();
  }

  void explain(const std::string& arm, const reference::Model& model) {
    std::vector<probes::Finding> own;
    std::copy_if(result_.findings.begin(), result_.findings.end(), std::back_inserter(own),
                 [&](const auto& finding) { return finding.arm == arm; });
    sort_in_pipeline_order(own, plan_);
    auto explanations = kept_.explain(model, own);
    std::move(explanations.begin(), explanations.end(), std::back_inserter(result_.explanations));
  }

  void add(std::vector<probes::Finding> findings) {
    std::move(findings.begin(), findings.end(), std::back_inserter(result_.findings));
  }

  void save() const { reports::write_verdicts_json(result_, options_.out_dir + "/verdicts.json"); }

  void close_trace() {
    if (!trace_) return;
    std::vector<VerdictRow> rows;
    for (const auto& finding : result_.findings) rows.push_back(to_row(finding));
    trace_->write_verdicts(rows);
    trace_->close();
  }

  // After an interruption: what is queued goes to disk if the disk lets it, and the trace stays marked
  // incomplete.
  void close_quietly() {
    try {
      if (trace_ && !result_.interrupted.empty()) trace_->flush();
    } catch (const std::exception&) {  // it is in `interrupted` already
    }
    trace_.reset();
  }

  const Suite& suite_;
  const RunOptions& options_;
  const MakeEngine& make_;
  Models models_;
  Plan plan_;
  std::vector<std::unique_ptr<Station>> stations_;
  std::mutex mutex_;                                  // of:
  std::map<std::string, std::string> engine_models_;  // arm -> what its engine says it runs
  std::unique_ptr<TraceWriter> trace_;
  KeptEvidence kept_;
  reports::RunResult result_;
  double engine_seconds_ = 0, weight_seconds_ = 0;
  std::chrono::steady_clock::time_point next_save_{};
};

}  // namespace

reports::RunResult run(const Suite& suite, const RunOptions& options) {
  return run(suite, options, make_engine);
}

reports::RunResult run(const Suite& suite, const RunOptions& options, const MakeEngine& make) {
  return Session(suite, options, make).run();
}

}  // namespace greta::suites
