// Host machine: the integer product of a wave (fragment_i8.hpp), exact.
#include <stdexcept>

#include "kernels/hip/fragment_i8.hpp"
#include "kernels/hip/fragment_layout.hpp"

namespace greta::kernels::host {
namespace {

constexpr int kDepth = 32;

int byte_of(uint32_t word, int byte, bool is_signed) {
  const auto bits = static_cast<uint8_t>(word >> 8 * byte);
  return is_signed ? static_cast<int8_t>(bits) : bits;
}

template <int kWave>
void multiply(const uint64_t* deposits, int) {
  constexpr bool kNarrow = kWave == 32;
  constexpr int kRowsOfA = kNarrow ? 2 : 1;
  int a[kTile][kDepth], b[kTile][kDepth];
  const auto of_lane = [&](int lane) -> const MmaIntegers& {
    return *reinterpret_cast<const MmaIntegers*>(deposits[lane]);
  };
  for (int lane = 0; lane < kWave; ++lane) {
    const MmaIntegers& own = of_lane(lane);
    const int group = kNarrow ? lane % 4 : lane / 16, line = kNarrow ? lane / 4 : lane % 16;
    for (int word = 0; word < 2; ++word) {
      for (int byte = 0; byte < 4; ++byte) {
        const int k = (word * 4 + group) * 4 + byte;
        for (int r = 0; r < kRowsOfA; ++r)
          a[line + 8 * r][k] = byte_of(own.a[word * kRowsOfA + r], byte, own.is_signed);
        b[line][k] = byte_of(own.b[word], byte, true);
      }
    }
  }
  for (int lane = 0; lane < kWave; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = kNarrow ? lane / 4 + 8 * (i / 2) : lane / 16 * 4 + i;
      const int column = kNarrow ? lane % 4 * 2 + i % 2 : lane % 16;
      uint32_t sum = static_cast<uint32_t>(of_lane(lane).c[i]);  // a card's wraps around
      for (int k = 0; k < kDepth; ++k) sum += static_cast<uint32_t>(a[row][k] * b[column][k]);
      of_lane(lane).c[i] = static_cast<int32_t>(sum);
    }
  }
}

}  // namespace

void wave_mma_i8(const MmaIntegers& operands, SourceLocation where) {
  const auto lanes = place.block_dim.count();
  if (lanes % place.wave_size != 0 && wave_id() == static_cast<int>(lanes / place.wave_size)) {
    throw std::logic_error("mma of integers at line " + std::to_string(where.line()) + " by a wave of " +
                           std::to_string(lanes % place.wave_size) + " lanes: it takes full waves");
  }
  wave_complete(&operands, place.wave_size == 64 ? &multiply<64> : &multiply<32>, where);
}

}  // namespace greta::kernels::host
