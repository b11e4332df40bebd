// A build without a card says so.
#include "datasets/error.hpp"
#include "engine/on_machine.hpp"

namespace greta::engine {

namespace {

[[noreturn]] void refuse(const Settings& settings) {
  if (settings.device != "hip" && !settings.device.starts_with("hip:"))
    fail_usage("unknown device '{}'; known: host, hip, hip:N", settings.device);
  fail_input("device {}: {}", settings.device, cards().trouble);
}

}  // namespace

std::unique_ptr<OnMachine> on_card(const GgufFile&, const Settings& settings) { refuse(settings); }
std::unique_ptr<ComparingDevice> comparing_on_card(const Settings& settings) { refuse(settings); }

Cards cards() {
  return {.trouble =
              "this greta was built for the host machine alone; build it with the preset hip-nvidia or "
              "hip-amd, or use --device host"};
}

}  // namespace greta::engine
