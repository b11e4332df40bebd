#include "kernels/hip/host_machine.hpp"

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "kernels/hip/host_block.hpp"
#include "kernels/hip/host_runtime.hpp"
#include "kernels/hip/host_state.hpp"

namespace greta::kernels::host {
namespace {

std::vector<uint8_t> contents(const Output& output) {
  std::vector<uint8_t> bytes(output.bytes);
  if (hipMemcpy(bytes.data(), output.device, output.bytes, hipMemcpyDeviceToHost) != hipSuccess) {
    throw std::runtime_error("order_dependence: " + last_error());
  }
  return bytes;
}

template <typename T>
std::string value_at(const std::vector<uint8_t>& bytes, size_t element) {
  T value;
  std::memcpy(&value, bytes.data() + element * sizeof(T), sizeof(T));
  if (value != value) return "NaN";
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return text;
}

std::string value_of(const Output& output, const std::vector<uint8_t>& bytes, size_t element) {
  if (output.element == Output::Element::f32) return value_at<float>(bytes, element);
  if (output.element == Output::Element::i32) return value_at<int32_t>(bytes, element);
  return value_at<uint8_t>(bytes, element);
}

std::optional<std::string> difference(const Output& output, const std::vector<uint8_t>& natural,
                                      const std::vector<uint8_t>& other, uint64_t seed) {
  size_t at = 0;
  while (at < natural.size() && natural[at] == other[at]) ++at;
  if (at == natural.size()) return std::nullopt;
  const size_t element = output.element == Output::Element::byte ? at : at / 4;
  return "result depends on lane order: a barrier is missing (or an atomic's order matters): " +
         std::string(output.name) + "[" + std::to_string(element) + "] is " +
         value_of(output, natural, element) + " in natural order and " + value_of(output, other, element) +
         " under order seed " + std::to_string(seed);
}

struct PutBack {
  Settings before = settings();
  ~PutBack() { configure(before); }
};

}  // namespace

void configure(const Settings& settings) { Device::get().configure(settings); }
Settings settings() { return Device::get().settings(); }
std::string last_error() { return Device::get().last_error(); }
MatrixUnit configured_matrix_unit() { return Device::get().matrix_unit(); }
int configured_wave() { return Device::get().wave(); }

std::optional<std::string> order_dependence(const std::function<void()>& run,
                                            const std::vector<Output>& outputs, int shuffles) {
  const PutBack put_back;
  std::vector<std::vector<uint8_t>> natural;
  for (uint64_t seed = 0; seed < 2 + static_cast<uint64_t>(shuffles); ++seed) {
    Settings s = put_back.before;
    s.threads = 1;
    s.order_seed = seed;
    configure(s);
    run();
    if (hipDeviceSynchronize() != hipSuccess) return last_error();
    for (size_t i = 0; i < outputs.size(); ++i) {
      const std::vector<uint8_t> bytes = contents(outputs[i]);
      if (seed == 0) {
        natural.push_back(bytes);
      } else if (auto sentence = difference(outputs[i], natural[i], bytes, seed)) {
        return sentence;
      }
    }
  }
  return std::nullopt;
}

}  // namespace greta::kernels::host
