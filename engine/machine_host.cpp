// The host machine: settings of its own, no device to choose.
#include <fmt/format.h>

#include "datasets/error.hpp"
#include "engine/machine.hpp"
#include "kernels/hip/host_machine.hpp"

namespace greta::engine::inline GRETA_MACHINE {

namespace {

kernels::host::MatrixUnit unit_of(const Settings& settings) {
  kernels::host::MatrixUnit unit{};
  kernels::host::find_matrix_unit(parse_matrix_unit(settings.matrix_unit), unit);
  return unit;
}

}  // namespace

Machine::Machine(const Settings& settings) : settings_(settings) {
  if (settings.wave != 64 && settings.wave != 32)
    fail_usage("the wave size is {}; the host machine has 64 (AMD) and 32 (NVIDIA)", settings.wave);
  unit_of(settings);
}

void Machine::use(bool awaits_copies) const {
  kernels::host::configure({.wave = settings_.wave,
                            .threads = settings_.threads,
                            .order_seed = settings_.order_seed.value_or(0),
                            .lazy_streams = !awaits_copies,
                            .matrix_unit = unit_of(settings_)});
}

void Machine::use_here() const {}  // there is one, and configure() holds for all threads

// Memory of its own is no faster than the tensors that it would keep from being delivered.
int64_t Machine::staging_bytes() const { return int64_t{64} << 20; }

int64_t Machine::large_copy_bytes() const { return int64_t{256} << 20; }

std::string Machine::device() const {
  return fmt::format("host machine, wave {}, {} threads{}", settings_.wave,
                     settings_.threads > 0 ? std::to_string(settings_.threads) : "all",
                     settings_.matrix_unit == "ieee" ? "" : ", matrix unit " + settings_.matrix_unit);
}

std::string Machine::backend() const { return "host"; }

}  // namespace greta::engine::inline GRETA_MACHINE
