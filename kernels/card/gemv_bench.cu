// GEMV and decode's fused products on a card: each case's time from a captured graph of launches over cold
// weights, beside the copy ceiling of the same run. Prints name, value, unit, ceiling, share, separated by
// tabs.
//
// Exits 1 where a product is outside its contract's bound. Bytes of a GEMV: the packed weight, x and y.
// decode_products: all weights that one token of a Llama-3-8B of Q4_K_M reads, by the fused kernels, without
// RoPE and attention.
#include <cstring>
#include <random>

#include "kernels/card/bench.hpp"
#include "kernels/launch.hpp"

namespace greta::kernels::card {
namespace {

// |y − Σ w·x| over its bound, the worst of all rows; the sums in f64. minima: magnitudes are those of scale ·
// integer and minimum apart.
template <WeightType T>
__global__ void worst_ratio(const uint8_t* w, int64_t K, const float* x, const float* y, double chain,
                            bool minima, unsigned long long* worst) {
  const int64_t n = blockIdx.x;
  double sum = 0, size = 0;
  for (int64_t k = threadIdx.x * kChunk; k < K; k += 32 * kChunk) {
    float v[kChunk];
    unpack_chunk<T>(w + n * row_bytes(T, K), k, K - k, v);
    float minimum = 0;
    if constexpr (T == WeightType::q4_K || T == WeightType::q5_K) {
      const uint8_t* block = w + n * row_bytes(T, K) + k / 256 * packing(T).bytes;
      minimum = unpacking::scale_min(block, static_cast<int>(k % 256 / 32)).min;
    }
    for (int i = 0; i < kChunk; ++i) {
      const double product = static_cast<double>(v[i]) * x[k + i];
      sum += product,
          size += minima ? (fabs(v[i] + minimum) + fabs(minimum)) * fabs(x[k + i]) : fabs(product);
    }
  }
  for (int mask = 16; mask > 0; mask /= 2) {
    sum += wave_shuffle_xor(sum, mask);
    size += wave_shuffle_xor(size, mask);
  }
  if (threadIdx.x == 0) {
    const double u = chain * 0x1p-24, ratio = fabs(y[n] - sum) / (u / (1 - u) * size);
    atomicMax(worst, static_cast<unsigned long long>(__double_as_longlong(ratio <= 1e30 ? ratio : 1e30)));
  }
}

// Roundings on the longest path; of parts two more for x as an integer.
double roundings(const std::string& contract) {
  const auto number = [&](const char* key) {
    return std::atof(contract.c_str() + contract.find(key) + std::strlen(key));
  };
  return contract.find("w=parts") == std::string::npos ? number("chain=") : number("sum=") + 6;
}

// The worst row's error over its bound.
double check(const Weight& w, const float* x, const float* y, const Attested& attested) {
  DeviceBuffer<unsigned long long> worst(std::vector<unsigned long long>{0});
  with_weight_type(w.type, [&]<WeightType T>() {
    worst_ratio<T><<<static_cast<unsigned>(w.rows), 32>>>(
        static_cast<const uint8_t*>(w.data), w.columns, x, y, roundings(attested.contract),
        attested.contract.find("w=parts") != std::string::npos, worst.data());
  });
  const unsigned long long bits = worst.download()[0];
  double ratio;
  memcpy(&ratio, &bits, sizeof(ratio));
  return ratio;
}

// Products through the matrix unit where there is a kernel for the type; `unit` valu: never, and of these
// alone.
int bench_gemv(cudaStream_t stream, double ceiling, Unit unit) {
  int wrong = 0;
  for (const WeightType type : {WeightType::q4_K, WeightType::q6_K, WeightType::q8_0, WeightType::q5_K,
                                WeightType::q4_0, WeightType::f16, WeightType::bf16, WeightType::f32}) {
    for (const auto& [N, K] : {std::pair<int64_t, int64_t>{4096, 4096},
                               {14336, 4096},
                               {4096, 14336},
                               {128256, 4096},
                               {1024, 4096},
                               {1024, 3072}}) {  // with what is static, a little over the 48 KB given unasked
      const bool asked = type == WeightType::q4_K || type == WeightType::q6_K;
      if (!asked && (N != 14336 || unit == Unit::valu)) continue;
      const Route route{asked ? unit : Unit::valu, Shape::gemv, Tuning::wide};
      const int64_t bytes = N * row_bytes(type, K) + 4 * (N + K);
      const int copies = static_cast<int>(std::max<int64_t>(3, (int64_t{600} << 20) / bytes));
      std::vector<DeviceBuffer<uint8_t>> weights;
      for (int i = 0; i < copies; ++i) weights.push_back(random_matrix(type, N, K, std::random_device{}()));
      DeviceBuffer<float> x(static_cast<size_t>(K)), y(static_cast<size_t>(N * copies));
      fill_activations<<<64, 256>>>(x.data(), x.size(), std::random_device{}());
      hip_check(cudaDeviceSynchronize(), "fill");
      Attested ran;
      const double seconds =
          graph_seconds(stream, 21,
                        [&](cudaStream_t on) {
                          for (int i = 0; i < copies; ++i)
                            ran = matmul(on, route, {weights[static_cast<size_t>(i)].data(), type, N, K},
                                         x.data(), 1, y.data() + i * N);
                        }) /
          copies;
      const Weight last{weights.back().data(), type, N, K};
      const double ratio = check(last, x.data(), y.data() + (copies - 1) * N, ran);
      const std::string name = std::string(asked && unit == Unit::valu ? "gemv_valu_" : "gemv_") +
                               packing(type).name + "_" + std::to_string(N) + "x" + std::to_string(K);
      if (!(ratio <= 1)) {
        std::printf("%s\twrong by %.3g of its bound\t%s\n", name.c_str(), ratio, ran.kernel.c_str());
        ++wrong;
        continue;
      }
      print_line(name, static_cast<double>(bytes) / seconds * 1e-9, "GB/s", ceiling * 1e-9);
    }
  }
  return wrong;
}

struct Layer {
  DeviceBuffer<uint8_t> q, k, v, o, gate, up, down;
  WeightType v_type, down_type;
};

void bench_decode(cudaStream_t stream, double ceiling, Unit unit) {
  const int64_t D = 4096, kv = 1024, F = 14336, V = 128256;
  const auto four = WeightType::q4_K, six = WeightType::q6_K;
  std::vector<Layer> layers;
  int64_t bytes = 0;
  const auto matrix = [&](WeightType type, int64_t N, int64_t K) {
    bytes += N * row_bytes(type, K);
    return random_matrix(type, N, K, std::random_device{}());
  };
  for (int l = 0; l < 32; ++l) {
    const WeightType more = l % 2 == 0 ? six : four;  // llama.cpp's Q4_K_M: about half the layers
    layers.push_back({matrix(four, D, D), matrix(four, kv, D), matrix(more, kv, D), matrix(four, D, D),
                      matrix(four, F, D), matrix(four, F, D), matrix(more, D, F), more, more});
  }
  const DeviceBuffer<uint8_t> head = matrix(six, V, D);
  DeviceBuffer<float> x(D), norm(D), q(D), k(kv), v(kv), act(F), logits(V);
  fill_activations<<<64, 256>>>(x.data(), D, 1);
  fill_activations<<<64, 256>>>(norm.data(), D, 2);
  hip_check(cudaDeviceSynchronize(), "fill");
  const double seconds = graph_seconds(stream, 21, [&](cudaStream_t on) {
    for (const Layer& l : layers) {
      const Projection qkv[] = {{{l.q.data(), four, D, D}, q.data()},
                                {{l.k.data(), four, kv, D}, k.data()},
                                {{l.v.data(), l.v_type, kv, D}, v.data()}};
      norm_products(on, x.data(), norm.data(), D, 1e-5f, qkv, nullptr, unit);
      product_add(on, {l.o.data(), four, D, D}, q.data(), x.data(), nullptr, x.data(), unit);
      norm_gate_up(on, x.data(), norm.data(), D, 1e-5f, {l.gate.data(), four, F, D},
                   {l.up.data(), four, F, D}, nullptr, nullptr, nullptr, act.data(), unit);
      product_add(on, {l.down.data(), l.down_type, D, F}, act.data(), x.data(), nullptr, x.data(), unit);
    }
    const Projection out{{head.data(), six, V, D}, logits.data()};
    norm_products(on, x.data(), norm.data(), D, 1e-5f, {&out, 1}, nullptr, unit);
  });
  const std::string name =
      std::string("decode_products_") + (unit == Unit::valu ? "valu_" : "") + "llama3_8b_q4_K_M";
  print_line(name, static_cast<double>(bytes) / seconds * 1e-9, "GB/s", ceiling * 1e-9);
  print_line(name, 1 / seconds, "tokens/s", ceiling / static_cast<double>(bytes));
}

}  // namespace
}  // namespace greta::kernels::card

int main() {
  using namespace greta::kernels::card;
  try {
    greta::kernels::Stream stream;
    const double ceiling = copy_ceiling(stream);
    print_line("copy", ceiling * 1e-9, "GB/s", ceiling * 1e-9);
    int wrong = 0;
    for (const auto unit : {greta::kernels::Unit::mfma, greta::kernels::Unit::valu}) {
      wrong += bench_gemv(stream, ceiling, unit);
      bench_decode(stream, ceiling, unit);
    }
    return wrong > 0 ? 1 : 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gemv_bench: %s\n", e.what());
    return 70;
  }
}
