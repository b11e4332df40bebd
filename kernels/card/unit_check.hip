// Does the card's matrix unit compute what the host machine says it does? A million random 16x8x16 products
// of f16 and as many of bf16 through mma(), each bit of each result held against the model of that unit
// (kernels/hip/host_unit.hpp). Exit 0: no difference; 1: at least one, printed with its operands.
//
//   nvcc -x cu -std=c++20 -O3 -arch=sm_90 --expt-relaxed-constexpr -I. kernels/card/unit_check.hip
//        kernels/launch.cpp kernels/hip/host_unit*.cpp -o unit_check
//   unit_check [--products N] [--seed S] [--against ieee|cdna2|cdna3|hopper]
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "kernels/card/unit_operands.hpp"
#include "kernels/hip/checked.hpp"
#include "kernels/hip/fragment.hpp"
#include "kernels/hip/host_unit.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::inline GRETA_MACHINE {
namespace {

constexpr int kBatch = 1 << 14;    // tiles at a time
constexpr int kProductsATile = 2;  // 16x8x16 in 16x16x16
constexpr int kPrinted = 4;        // differences a kind

template <Operand O>
__global__ void multiply_tiles(const card::ProductTile* in, float* out) {
  const card::ProductTile& tile = in[blockIdx.x];
  FragmentA a;
  FragmentB b;
  FragmentAcc c;
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell in_a = a_cell(lane_id(), r), in_b = b_cell(lane_id(), r),
                       in_c = acc_cell(lane_id(), r);
    a.x[r] = tile.a[in_a.row * kTile + in_a.column];
    b.x[r] = tile.b[in_b.row * kTile + in_b.column];
    c.x[r] = tile.c[in_c.row * kTile + in_c.column];
  }
  mma<O>(c, a, b);
  for (int r = 0; r < fragment_elements(); ++r) {
    const FragmentCell at = acc_cell(lane_id(), r);
    out[static_cast<size_t>(blockIdx.x) * kTile * kTile + at.row * kTile + at.column] = c.x[r];
  }
}

// work(i) for i < count on every core.
template <class Work>
void on_all_cores(int count, const Work& work) {
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1u, std::thread::hardware_concurrency()); ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < count; i = next++) work(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

void print_difference(const char* operand, const char* kind, uint64_t seed, const card::ProductTile& t,
                      int cell, float card, float model) {
  std::printf("  %s %s, tile seed %llu, row %d column %d: c %08x card %08x model %08x\n    a", operand, kind,
              static_cast<unsigned long long>(seed), cell / kTile, cell % kTile, bits_of(t.c[cell]),
              bits_of(card), bits_of(model));
  for (int k = 0; k < kTile; ++k) std::printf(" %04x", t.a[cell / kTile * kTile + k]);
  std::printf("\n    b");
  for (int k = 0; k < kTile; ++k) std::printf(" %04x", t.b[k * kTile + cell % kTile]);
  std::printf("\n");
}

struct Counts {
  int64_t products = 0, different = 0;
};

template <Operand O, class Format>
Counts check_operand(host::TileProduct model, int64_t tiles, uint64_t seed) {
  std::vector<card::ProductTile> in(kBatch);
  std::vector<float> out(static_cast<size_t>(kBatch) * kTile * kTile), expected(out.size());
  DeviceBuffer<card::ProductTile> device_in(in.size());
  DeviceBuffer<float> device_out(out.size());
  Counts kinds[card::kKindCount], all;
  const auto kind_of = [](int64_t tile) { return static_cast<int>(tile % card::kKindCount); };
  for (int64_t first = 0; first < tiles; first += kBatch) {
    const int count = static_cast<int>(std::min<int64_t>(kBatch, tiles - first));
    on_all_cores(count, [&](int i) {
      const auto kind = static_cast<card::Kind>(kind_of(first + i));
      card::TileMaker<Format>(kind, seed + static_cast<uint64_t>(first + i)).make(in[i]);
      float* const c = expected.data() + static_cast<size_t>(i) * kTile * kTile;
      std::memcpy(c, in[i].c, sizeof in[i].c);
      model(in[i].a, in[i].b, c);
    });
    device_in.upload(in.data(), static_cast<size_t>(count));
    hipLaunchKernelGGL(HIP_KERNEL_NAME(multiply_tiles<O>), dim3(static_cast<unsigned>(count)),
                       dim3(static_cast<unsigned>(wave_size())), 0, nullptr, device_in.data(),
                       device_out.data());
    check_launched("multiply_tiles");
    out = device_out.download();
    for (int i = 0; i < count; ++i) {
      Counts& kind = kinds[kind_of(first + i)];
      kind.products += kProductsATile;
      for (int cell = 0; cell < kTile * kTile; ++cell) {
        const size_t at = static_cast<size_t>(i) * kTile * kTile + static_cast<size_t>(cell);
        if (bits_of(out[at]) == bits_of(expected[at])) continue;
        if (kind.different++ < kPrinted) {
          print_difference(operand_name(O), card::kKinds[kind_of(first + i)],
                           seed + static_cast<uint64_t>(first + i), in[i], cell, out[at], expected[at]);
        }
      }
    }
  }
  for (int k = 0; k < card::kKindCount; ++k) {
    std::printf("%-5s %-13s %9lld products %11lld results %9lld different\n", operand_name(O),
                card::kKinds[k], static_cast<long long>(kinds[k].products),
                static_cast<long long>(kinds[k].products * 128), static_cast<long long>(kinds[k].different));
    all.products += kinds[k].products;
    all.different += kinds[k].different;
  }
  return all;
}

int check(int64_t products, uint64_t seed, const std::string& against) {
  const std::string unit = matrix_unit();
  host::MatrixUnit model{};
  if (!host::find_matrix_unit(against.empty() ? unit : against, model)) {
    std::fprintf(stderr, "unknown unit '%s'; known: ieee, cdna2, cdna3, hopper\n", against.c_str());
    return 2;
  }
  std::printf("unit_check: the card's unit is %s, the model is %s, seed %llu\n", unit.c_str(),
              host::name_of(model), static_cast<unsigned long long>(seed));
  const auto start = std::chrono::steady_clock::now();
  const int64_t tiles = (products + kProductsATile - 1) / kProductsATile;
  const host::UnitProducts models = host::unit_products(model);
  const Counts f16 = check_operand<Operand::f16, host::F16Bits>(models.f16, tiles, seed);
  const Counts bf16 = check_operand<Operand::bf16, host::Bf16Bits>(models.bf16, tiles, seed);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("unit_check: %lld f16 and %lld bf16 products of 16x8x16, %lld results differ, %.1f s\n",
              static_cast<long long>(f16.products), static_cast<long long>(bf16.products),
              static_cast<long long>(f16.different + bf16.different), seconds);
  return f16.different + bf16.different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace greta::kernels::inline GRETA_MACHINE

int main(int argc, char** argv) {
  int64_t products = 1 << 20;
  uint64_t seed = std::random_device{}();
  std::string against;
  for (int i = 1; i < argc; i += 2) {
    const std::string key = argv[i];
    const char* const value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (value && key == "--products") {
      products = std::strtoll(value, nullptr, 10);
    } else if (value && key == "--seed") {
      seed = std::strtoull(value, nullptr, 10);
    } else if (value && key == "--against") {
      against = value;
    } else {
      std::fprintf(stderr, "unit_check [--products N] [--seed S] [--against ieee|cdna2|cdna3|hopper]\n");
      return 2;
    }
  }
  try {
    return greta::kernels::check(products, seed, against);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "unit_check: %s\n", error.what());
    return 3;
  }
}
