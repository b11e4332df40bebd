// A launcher that goes wrong where its faults strike, and attests what the right one would have: the bugs
// that it stands for do not announce themselves.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/config.hpp"
#include "engine/faults/fault.hpp"
#include "engine/forward.hpp"
#include "engine/launcher.hpp"

namespace greta::engine::inline GRETA_MACHINE {

class FaultyLauncher final : public Launcher {
 public:
  // The references outlive the launcher. Error (usage): a fault of a layer or head that the model has not.
  FaultyLauncher(hipStream_t, kernels::Tuning, std::vector<Fault> faults, const Config&, const Weights&,
                 const Cache&, std::vector<float> frequencies_of_base_10000,
                 decltype(Settings::on_strike) on_strike);
  ~FaultyLauncher() override;

  kernels::Attested embed(const Site&, EmbedCall) override;
  kernels::Attested norm(const Site&, NormCall) override;
  kernels::Attested product(const Site&, ProductCall) override;
  kernels::Attested rope(const Site&, RopeCall) override;
  kernels::Attested write_cache(const Site&, CacheCall&) override;
  kernels::Attested scores(const Site&, ScoresCall) override;
  kernels::Attested softmax(const Site&, SoftmaxCall) override;
  kernels::Attested values(const Site&, ValuesCall) override;
  kernels::Attested attend(const Site&, AttendCall) override;
  kernels::Attested add(const Site&, AddCall) override;
  kernels::Attested gate(const Site&, GateCall) override;
  bool awaits_logits() const override;

 private:
  using Struck = std::vector<const Fault*>;
  Struck struck(const Site&) const;
  // Whether the cause has anything to go wrong with in this call: a window wider than the cache has not.
  bool matters(const Fault&, const Site&) const;
  // Runs `right`, keeps its result where a fault strikes one head only, and runs `wrong`.
  template <typename Right, typename Wrong>
  kernels::Attested instead(const Site&, const Struck&, float* out, Right&& right, Wrong&& wrong);
  const LoadedWeight* replaced(const Site&, const Fault&, const LoadedWeight* w) const;
  // The weight as f32 in memory of our own, as faults of how it is read leave it.
  const LoadedWeight* varied(const Struck&, const LoadedWeight* w);
  float* scratch(const std::string& name, int64_t floats);
  // The first `rows` rows of a cache as f32, in memory of our own where they are not.
  const float* as_f32(const std::string& name, const void* cache, kernels::CacheType, int64_t rows,
                      int64_t width);
  // x as the matrix unit would round it.
  const float* rounded(const std::string& name, const float* x, kernels::Operand, int64_t rows,
                       int64_t width);

  std::vector<Fault> faults_;
  decltype(Settings::on_strike) on_strike_;
  const Config& config_;
  const Weights& weights_;
  const Cache& cache_;
  Floats base_10000_;
  kernels::DeviceBuffer<int32_t> tokens_;
  std::map<std::string, Floats> scratch_;
  std::map<std::string, std::unique_ptr<LoadedWeight>> varied_;
};

}  // namespace greta::engine::inline GRETA_MACHINE
