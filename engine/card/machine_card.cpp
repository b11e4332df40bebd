// A card: which one, and what it calls itself.
#include <fmt/format.h>

#include <charconv>

#include "datasets/error.hpp"
#include "engine/machine.hpp"
#include "engine/on_machine.hpp"
#include "kernels/hip/checked.hpp"

namespace greta::engine {
inline namespace GRETA_MACHINE {

std::unique_ptr<OnMachine> make(const GgufFile&, const Settings&);
std::unique_ptr<ComparingDevice> make_comparing(const Settings&);

namespace {

#ifdef GRETA_HIP_NVIDIA
constexpr const char* kBackend = "nvidia";
#else
constexpr const char* kBackend = "amd";
#endif

// "hip" is the first card.
int index_of(const std::string& device) {
  int index = 0;
  const std::string_view digits = std::string_view(device).substr(std::min<size_t>(device.size(), 4));
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool numbered = device.starts_with("hip:") && error == std::errc() &&
                        end == digits.data() + digits.size() && index >= 0;
  if (device != "hip" && !numbered) fail_usage("unknown device '{}'; known: host, hip, hip:N", device);
  return numbered ? index : 0;
}

}  // namespace

Machine::Machine(const Settings& settings) : settings_(settings), index_(index_of(settings.device)) {
  const Cards found = cards();
  if (!found.trouble.empty()) fail_input("device {}: {}", settings.device, found.trouble);
  if (static_cast<size_t>(index_) >= found.names.size())
    fail_input("device {}: this machine has {} card(s), hip:0 to hip:{}", settings.device, found.names.size(),
               found.names.size() - 1);
  name_ = found.names[static_cast<size_t>(index_)];
  use(true);
}

void Machine::use(bool) const { kernels::hip_check(hipSetDevice(index_), "hipSetDevice"); }

void Machine::use_here() const { use(true); }

int64_t Machine::staging_bytes() const {
  size_t free_bytes = 0, total_bytes = 0;
  kernels::hip_check(hipMemGetInfo(&free_bytes, &total_bytes), "hipMemGetInfo");
  return static_cast<int64_t>(free_bytes / 4);
}

int64_t Machine::large_copy_bytes() const { return int64_t{2} << 30; }

std::string Machine::device() const { return fmt::format("{}, hip:{}", name_, index_); }
std::string Machine::backend() const { return kBackend; }

}  // namespace GRETA_MACHINE

std::unique_ptr<ComparingDevice> comparing_on_card(const Settings& settings) {
  return GRETA_MACHINE::make_comparing(settings);
}

std::unique_ptr<OnMachine> on_card(const GgufFile& model, const Settings& settings) {
  return GRETA_MACHINE::make(model, settings);
}

Cards cards() {
  Cards out{.backend = GRETA_MACHINE::kBackend};
  int count = 0;
  const hipError_t error = hipGetDeviceCount(&count);
  if (error != hipSuccess || count == 0) {
    (void)hipGetLastError();
    out.trouble =
        fmt::format("there is no {} card that the driver shows{}; check the driver, or use --device host",
                    out.backend, error != hipSuccess ? fmt::format(" ({})", hipGetErrorString(error)) : "");
    return out;
  }
  for (int i = 0; i < count; ++i) {
    hipDeviceProp_t properties{};
    kernels::hip_check(hipGetDeviceProperties(&properties, i), "hipGetDeviceProperties");
    out.names.emplace_back(properties.name);
  }
  return out;
}

}  // namespace greta::engine
