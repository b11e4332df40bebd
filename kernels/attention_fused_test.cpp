// Fused attention on the host machine: against softmax attention in f64 within bounds that
// follow from the contract, and what may change no bit.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/test_cache.hpp"
#include "kernels/test_machine.hpp"

namespace greta::kernels::test {
namespace {

struct Heads {
  int64_t S, start, H, Hkv, Dh;
  int64_t T() const { return start + S; }
};

float as_operand(Operand operand, float value) {
  return operand == Operand::f16 ? f16_to_f32(f32_to_f16_rn(value)) : bf16_to_f32(f32_to_bf16_rn(value));
}
std::vector<float> normals(std::mt19937_64& random, int64_t count, float size) {
  std::normal_distribution<float> normal(0, size);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& v : x) v = normal(random);
  return x;
}

// What the kernel may do wrongly, for the references that must not fit.
enum class Fault { none, mask_off_by_one, no_mask, wrong_head, no_scale, last_key_dropped };

struct Want {
  std::vector<double> out, bound;
};

// Every output in f64, and how far the declared arithmetic may be from it. u = 2^-24.
//   a score z: |Δz| ≤ γ(chain) Σ|q k| / √Dh + rounds u |z| + u (|z| + 2 max|z|)     (the last: both
//   subtractions) an exponential, and what it is multiplied by until the end: relative |Δz| + (1 +
//   rescales)(2 exp + 1) u in p·v also its rounding: relative u_p, and 2^-25 where f16 is subnormal a sum:
//   γ(sum); the quotient: 2 div u.
Want attend(const Heads& c, const std::vector<float>& q, const std::vector<float>& k,
            const std::vector<float>& v, const std::string& contract, Fault fault = Fault::none) {
  const auto value = [&](const char* key) { return contract_value(contract, key); };
  const bool f16 = contract.find(" p=f16 ") != std::string::npos,
             f32 = contract.find(" p=f32 ") != std::string::npos;
  const double u_p = f32 ? 0 : f16 ? 0x1p-11 : 0x1p-8, subnormal = f16 ? 0x1p-25 : 0;
  const double scale = 1 / std::sqrt(static_cast<double>(c.Dh));
  Want want;
  for (int64_t s = 0; s < c.S; ++s) {
    for (int64_t h = 0; h < c.H; ++h) {
      const int64_t kv = fault == Fault::wrong_head ? h % c.Hkv : h / (c.H / c.Hkv);
      int64_t keys = c.start + s + 1;
      if (fault == Fault::mask_off_by_one) keys = std::min(keys + 1, c.T());
      if (fault == Fault::no_mask) keys = c.T();
      if (fault == Fault::last_key_dropped && keys > 1) --keys;
      std::vector<double> z(static_cast<size_t>(keys)), size(z), relative(z);
      double largest = -HUGE_VAL, widest = 0;
      for (int64_t t = 0; t < keys; ++t) {
        double dot = 0, sum = 0;
        for (int64_t d = 0; d < c.Dh; ++d) {
          const double product = static_cast<double>(q[static_cast<size_t>((s * c.H + h) * c.Dh + d)]) *
                                 k[static_cast<size_t>((t * c.Hkv + kv) * c.Dh + d)];
          dot += product, sum += std::abs(product);
        }
        z[static_cast<size_t>(t)] = fault == Fault::no_scale ? dot : dot * scale;
        size[static_cast<size_t>(t)] = sum * scale;
        largest = std::max(largest, z[static_cast<size_t>(t)]);
        widest = std::max(widest, std::abs(z[static_cast<size_t>(t)]));
      }
      double total = 0, total_error = 0;
      for (size_t t = 0; t < z.size(); ++t) {
        const double score = gamma_n(value("chain")) * size[t] +
                             (value("rounds") + 1) * kUnit * std::abs(z[t]) + 2 * kUnit * widest;
        relative[t] = std::expm1(score + (1 + value("rescales")) * (2 * value("exp") + 1) * kUnit);
        z[t] = std::exp(z[t] - largest);
        total += z[t], total_error += z[t] * (relative[t] + gamma_n(value("sum")));
      }
      for (int64_t d = 0; d < c.Dh; ++d) {
        double out = 0, error = 0;
        for (int64_t t = 0; t < keys; ++t) {
          const double x = v[static_cast<size_t>((t * c.Hkv + kv) * c.Dh + d)], p = z[static_cast<size_t>(t)];
          out += p * x;
          error += std::abs(p * x) * (relative[static_cast<size_t>(t)] + u_p + gamma_n(value("sum"))) +
                   subnormal * std::abs(x);
        }
        out /= total;
        want.out.push_back(out);
        want.bound.push_back(
            1.001 * (error / total + std::abs(out) * (total_error / total + 2 * value("div") * kUnit)) +
            0x1p-140);
      }
    }
  }
  return want;
}

size_t outside(const std::vector<float>& got, const Want& want) {
  size_t count = 0;
  for (size_t i = 0; i < got.size(); ++i) count += !(std::abs(got[i] - want.out[i]) <= want.bound[i]);
  return count;
}

struct Prefill {
  Tuning tuning;
  Operand operand;
  CacheType type;
};
constexpr Prefill kPrefills[] = {{Tuning::plain, Operand::f16, CacheType::f32},
                                 {Tuning::wide, Operand::f16, CacheType::f16},
                                 {Tuning::wide, Operand::bf16, CacheType::f32},
                                 {Tuning::plain, Operand::bf16, CacheType::bf16},
                                 {Tuning::wide, Operand::f16, CacheType::bf16}};

TEST(AttentionPrefill, EveryOutputWithinItsBound) {
  SEEDED;
  std::mt19937_64 random = generator();
  constexpr Heads kCases[] = {
      {1, 0, 1, 1, 16}, {17, 0, 4, 2, 32}, {35, 50, 2, 1, 64}, {131, 3, 1, 1, 80}, {5, 130, 4, 1, 144}};
  for (const Heads& c : kCases) {
    for (const auto& [tuning, operand, type] : kPrefills) {
      std::vector<float> q = normals(random, c.S * c.H * c.Dh, 2);
      const Cache k(type, normals(random, c.T() * c.Hkv * c.Dh, 1)),
          v(type, activations(random, c.T() * c.Hkv, c.Dh));
      const DeviceArray<float> device_q(q);
      const auto rounded = [&, op = operand](std::vector<float> x) {
        for (float& value : x) value = as_operand(op, value);
        return x;
      };
      for (const Outcome& run : run_everywhere(q.size(), [&](float* out) {
             return attention_prefill(nullptr, tuning, operand, device_q.data(), k.data(), v.data(), type,
                                      c.S, c.start, c.H, c.Hkv, c.Dh, out);
           })) {
        EXPECT_EQ(contract_value(run.attested.contract, "chain"), static_cast<double>(c.Dh));
        EXPECT_EQ(contract_value(run.attested.contract, "sum"), static_cast<double>((c.T() + 15) / 16 * 16));
        const Want want =
            attend(c, rounded(q), rounded(k.values()), rounded(v.values()), run.attested.contract);
        expect_within(run.out, want.out, want.bound, run.attested.kernel + " S=" + std::to_string(c.S));
      }
    }
  }
}

// As attention_decode asks for it: zeros before its first launch.
std::vector<float> decode_workspace(const Heads& c, int64_t capacity) {
  return std::vector<float>(static_cast<size_t>(attention_decode_workspace(capacity, c.H, c.Hkv, c.Dh)),
                            0.0f);
}

TEST(AttentionDecode, EveryOutputWithinItsBound) {
  SEEDED;
  std::mt19937_64 random = generator();
  // A group of 3 and of 6: heads that do not fill a chunk of 4. T around the end of a block alone, beyond
  // several parts, and beyond what the card's blocks hold at their shortest.
  constexpr Heads kCases[] = {{1, 0, 1, 1, 16},   {1, 36, 6, 1, 32},   {1, 127, 4, 1, 128},
                              {1, 128, 3, 3, 64}, {1, 700, 6, 2, 112}, {1, 259, 2, 1, 256},
                              {1, 255, 4, 2, 64}, {1, 256, 6, 1, 48},  {1, 63, 4, 4, 144},
                              {1, 64, 5, 1, 80},  {1, 511, 3, 1, 64},  {1, 512, 3, 1, 64}};
  for (const Heads& c : kCases) {
    for (const CacheType type : {CacheType::f32, CacheType::f16, CacheType::bf16}) {
      const std::vector<float> q = normals(random, c.H * c.Dh, 2);
      const Cache k(type, normals(random, c.T() * c.Hkv * c.Dh, 1)),
          v(type, activations(random, c.T() * c.Hkv, c.Dh));
      const DeviceArray<float> device_q(q);
      const DeviceArray<int32_t> position(std::vector<int32_t>{static_cast<int32_t>(c.start)});
      for (const Unit unit : {Unit::valu, Unit::mfma}) {
        for (const Outcome& run : run_everywhere(q.size(), [&](float* out) {
               const DeviceArray<float> work(decode_workspace(c, c.T() + 9));
               const Attested ran =
                   attention_decode(nullptr, device_q.data(), k.data(), v.data(), type, position.data(),
                                    c.T() + 9, c.H, c.Hkv, c.Dh, work.data(), out, unit);
               ok(hipDeviceSynchronize());
               work.read();  // its sentinels
               return ran;
             })) {
          const bool rounds = unit == Unit::mfma && type != CacheType::f32 && c.Dh <= 128;
          EXPECT_EQ(run.attested.kernel.starts_with("attention_decode_unit<"), rounds);
          std::vector<float> multiplied = q;
          if (rounds) {
            for (float& x : multiplied)
              x = as_operand(type == CacheType::f16 ? Operand::f16 : Operand::bf16, x);
          }
          const Want want = attend(c, multiplied, k.values(), v.values(), run.attested.contract);
          expect_within(run.out, want.out, want.bound, run.attested.kernel + " T=" + std::to_string(c.T()));
        }
      }
    }
  }
}

// The bounds are worth something: a reference with one of the usual faults does not fit.
TEST(AttentionFused, PlantedFaultsAreOutside) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Heads c{9, 31, 4, 2, 64};
  const std::vector<float> q = normals(random, c.S * c.H * c.Dh, 2);
  const Cache k(CacheType::f16, normals(random, c.T() * c.Hkv * c.Dh, 1)),
      v(CacheType::f16, normals(random, c.T() * c.Hkv * c.Dh, 1));
  std::vector<float> rounded = q;
  for (float& x : rounded) x = as_operand(Operand::f16, x);
  const DeviceArray<float> device_q(q);
  const Outcome run = run_everywhere(q.size(), [&](float* out) {
    return attention_prefill(nullptr, Tuning::wide, Operand::f16, device_q.data(), k.data(), v.data(),
                             CacheType::f16, c.S, c.start, c.H, c.Hkv, c.Dh, out);
  })[0];
  const auto misfits = [&](Fault fault) {
    return outside(run.out, attend(c, rounded, k.values(), v.values(), run.attested.contract, fault));
  };
  EXPECT_EQ(misfits(Fault::none), 0u);
  for (const Fault fault : {Fault::mask_off_by_one, Fault::no_mask, Fault::wrong_head, Fault::no_scale,
                            Fault::last_key_dropped}) {
    EXPECT_GT(misfits(fault), run.out.size() / 4) << static_cast<int>(fault);
  }
}

TEST(AttentionDecode, PlantedFaultsAreOutsideThroughTheUnitToo) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Heads c{1, 290, 4, 2, 64};
  std::vector<float> q = normals(random, c.H * c.Dh, 2);
  const Cache k(CacheType::f16, normals(random, c.T() * c.Hkv * c.Dh, 1)),
      v(CacheType::f16, normals(random, c.T() * c.Hkv * c.Dh, 1));
  const DeviceArray<float> device_q(q), work(decode_workspace(c, c.T()));
  const DeviceArray<int32_t> position(std::vector<int32_t>{static_cast<int32_t>(c.start)});
  const Outcome run = run_everywhere(q.size(), [&](float* out) {
    return attention_decode(nullptr, device_q.data(), k.data(), v.data(), CacheType::f16, position.data(),
                            c.T(), c.H, c.Hkv, c.Dh, work.data(), out, Unit::mfma);
  })[0];
  for (float& x : q) x = as_operand(Operand::f16, x);
  const auto misfits = [&](Fault fault) {
    return outside(run.out, attend(c, q, k.values(), v.values(), run.attested.contract, fault));
  };
  EXPECT_EQ(misfits(Fault::none), 0u);
  for (const Fault fault : {Fault::wrong_head, Fault::no_scale}) {
    EXPECT_GT(misfits(fault), run.out.size() / 4) << static_cast<int>(fault);
  }
  EXPECT_GT(misfits(Fault::last_key_dropped), 0u);
}

// What lies behind a row's position, in the same tile or behind the cache's end, changes no bit.
TEST(AttentionPrefill, KeysBeyondThePositionChangeNothing) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Heads c{40, 7, 2, 1, 48};
  const std::vector<float> q = normals(random, c.S * c.H * c.Dh, 1);
  std::vector<float> k = normals(random, c.T() * c.Hkv * c.Dh, 1),
                     v = normals(random, c.T() * c.Hkv * c.Dh, 1);
  const DeviceArray<float> device_q(q);
  const auto outputs = [&] {
    const Cache device_k(CacheType::f32, k), device_v(CacheType::f32, v);
    return run_everywhere(q.size(), [&](float* out) {
      return attention_prefill(nullptr, Tuning::wide, Operand::f16, device_q.data(), device_k.data(),
                               device_v.data(), CacheType::f32, c.S, c.start, c.H, c.Hkv, c.Dh, out);
    });
  };
  const std::vector<Outcome> before = outputs();
  const int64_t changed = c.start + 20;  // rows from 20 on see it
  for (int64_t i = changed * c.Hkv * c.Dh; i < c.T() * c.Hkv * c.Dh; ++i) {
    k[static_cast<size_t>(i)] *= -7, v[static_cast<size_t>(i)] += 100;
  }
  const std::vector<Outcome> after = outputs();
  for (size_t run = 0; run < before.size(); ++run) {
    const auto same = [&](int64_t s) {
      const auto at = static_cast<int64_t>(s * c.H * c.Dh);
      return std::equal(before[run].out.begin() + at, before[run].out.begin() + at + c.H * c.Dh,
                        after[run].out.begin() + at, [](float a, float b) {
                          return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
                        });
    };
    for (int64_t s = 0; s < c.S; ++s) EXPECT_EQ(same(s), s < 20) << s;
  }
}

TEST(AttentionDecode, CapacityAndWhatLiesBeyondChangeNothing) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Heads c{1, 599, 4, 1, 64};
  const std::vector<float> q = normals(random, c.H * c.Dh, 1);
  std::vector<float> k = normals(random, (c.T() + 64) * c.Hkv * c.Dh, 1),
                     v = normals(random, (c.T() + 64) * c.Hkv * c.Dh, 1);
  for (size_t i = static_cast<size_t>(c.T() * c.Hkv * c.Dh); i < k.size(); ++i) k[i] = v[i] = std::nanf("");
  const Cache device_k(CacheType::f16, k), device_v(CacheType::f16, v);
  const DeviceArray<float> device_q(q);
  const DeviceArray<int32_t> position(std::vector<int32_t>{static_cast<int32_t>(c.start)});
  for (const Unit unit : {Unit::valu, Unit::mfma}) {
    std::vector<std::vector<Outcome>> runs;
    for (const int64_t capacity : {c.T(), c.T() + 1, 2 * c.T(), int64_t{4096}}) {
      const DeviceArray<float> work(decode_workspace(c, capacity));
      runs.push_back(run_everywhere(q.size(), [&](float* out) {
        return attention_decode(nullptr, device_q.data(), device_k.data(), device_v.data(), CacheType::f16,
                                position.data(), capacity, c.H, c.Hkv, c.Dh, work.data(), out, unit);
      }));
      for (size_t wave = 0; wave < 2; ++wave) {
        for (size_t i = 0; i < q.size(); ++i) {
          ASSERT_TRUE(std::isfinite(runs.back()[wave].out[i]));
          ASSERT_EQ(std::bit_cast<uint32_t>(runs.back()[wave].out[i]),
                    std::bit_cast<uint32_t>(runs[0][wave].out[i]))
              << "capacity " << capacity;
        }
      }
    }
  }
}

// The workspace is zeros again after each launch: it serves positions in any order, with the bits of a fresh
// one; a counter that was not 0 leaves the outputs unwritten.
TEST(AttentionDecode, OneWorkspaceServesLaunchAfterLaunch) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Heads c{1, 799, 6, 2, 32};
  const std::vector<float> q = normals(random, c.H * c.Dh, 1);
  const Cache k(CacheType::f16, normals(random, c.T() * c.Hkv * c.Dh, 1)),
      v(CacheType::f16, normals(random, c.T() * c.Hkv * c.Dh, 1));
  const DeviceArray<float> device_q(q), kept(decode_workspace(c, c.T()));
  for (const Unit unit : {Unit::valu, Unit::mfma}) {
    const auto attend_with = [&](const DeviceArray<float>& work, int32_t at) {
      const DeviceArray<int32_t> position(std::vector<int32_t>{at});
      const DeviceArray<float> out(q.size());
      attention_decode(nullptr, device_q.data(), k.data(), v.data(), CacheType::f16, position.data(), c.T(),
                       c.H, c.Hkv, c.Dh, work.data(), out.data(), unit);
      ok(hipDeviceSynchronize());
      std::vector<uint32_t> bits;
      for (const float x : out.read()) bits.push_back(std::bit_cast<uint32_t>(x));
      return bits;
    };
    for (const int32_t at : {0, 799, 64, 63, 300, 511, 512, 799, 1}) {
      const DeviceArray<float> fresh(decode_workspace(c, c.T()));
      EXPECT_EQ(attend_with(kept, at), attend_with(fresh, at)) << "position " << at;
      for (const float x : kept.read()) ASSERT_EQ(std::bit_cast<uint32_t>(x), 0u) << "position " << at;
    }
    std::vector<float> dirty = decode_workspace(c, c.T());
    dirty[0] = std::bit_cast<float>(7u);
    EXPECT_EQ(attend_with(DeviceArray<float>(dirty), 700)[0], 0xffffffffu);
  }
}

// Attention over all keys knows no order: a permutation stays within the bound (of the permuted keys).
TEST(AttentionDecode, APermutationOfKeysStaysWithinTheBound) {
  SEEDED;
  std::mt19937_64 random = generator();
  const Heads c{1, 330, 2, 1, 32};
  const std::vector<float> q = normals(random, c.H * c.Dh, 2), k = normals(random, c.T() * c.Dh, 1),
                           v = normals(random, c.T() * c.Dh, 1);
  std::vector<int64_t> order(static_cast<size_t>(c.T()));
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::shuffle(order.begin(), order.end(), random);
  std::vector<float> k2(k.size()), v2(v.size());
  for (int64_t t = 0; t < c.T(); ++t) {
    for (int64_t d = 0; d < c.Dh; ++d) {
      const auto to = static_cast<size_t>(t * c.Dh + d),
                 from = static_cast<size_t>(order[static_cast<size_t>(t)] * c.Dh + d);
      k2[to] = k[from], v2[to] = v[from];
    }
  }
  const Cache device_k(CacheType::f32, k2), device_v(CacheType::f32, v2);
  const DeviceArray<float> device_q(q), work(decode_workspace(c, c.T()));
  const DeviceArray<int32_t> position(std::vector<int32_t>{static_cast<int32_t>(c.start)});
  for (const Outcome& run : run_everywhere(q.size(), [&](float* out) {
         return attention_decode(nullptr, device_q.data(), device_k.data(), device_v.data(), CacheType::f32,
                                 position.data(), c.T(), c.H, c.Hkv, c.Dh, work.data(), out);
       })) {
    const Want want = attend(c, q, k, v, run.attested.contract);
    expect_within(run.out, want.out, want.bound, "permuted");
  }
}

constexpr std::pair<CacheType, Unit> kDecodes[] = {{CacheType::f32, Unit::valu},
                                                   {CacheType::f16, Unit::valu},
                                                   {CacheType::bf16, Unit::valu},
                                                   {CacheType::f16, Unit::mfma},
                                                   {CacheType::bf16, Unit::mfma}};

// With groups of a chunk, of a part of one and of two; one part and several; a newest key in the first runs
// and beyond them; all of a head turned and some of it.
TEST(RopeAttentionDecode, EqualsRopeKvWriteAndAttentionBitForBit) {
  SEEDED;
  std::mt19937_64 random = generator();
  struct Shape {
    Heads heads;
    int64_t rope_dims;
  };
  constexpr Shape kCases[] = {{{1, 0, 4, 2, 16}, 16},  {{1, 36, 6, 1, 32}, 24},    {{1, 255, 8, 2, 64}, 64},
                              {{1, 256, 6, 2, 48}, 2}, {{1, 700, 3, 3, 112}, 112}, {{1, 1300, 2, 1, 256}, 0}};
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](float x, float y) {
             return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y) ||
                    (std::isnan(x) && std::isnan(y));
           });
  };
  for (const auto& [c, rope_dims] : kCases) {
    for (const auto& [type, unit] : kDecodes) {
      const int64_t past = c.start, row = c.Hkv * c.Dh, capacity = past + 2;
      const auto rows = static_cast<size_t>((past + 1) * row);
      const DeviceArray<float> q(normals(random, c.H * c.Dh, 2)), k(normals(random, row, 1)),
          v(normals(random, row, 1)), frequency(normals(random, std::max<int64_t>(1, rope_dims / 2), 1));
      const DeviceArray<int32_t> position(std::vector<int32_t>{static_cast<int32_t>(past)});
      std::vector<float> keys = normals(random, static_cast<int64_t>(rows), 1), values = keys;
      std::shuffle(values.begin(), values.end(), random);
      // Nobody may read the newest row's place before it is written.
      std::fill(keys.end() - row, keys.end(), std::nanf(""));
      std::fill(values.end() - row, values.end(), std::nanf(""));
      const auto outcome = [&](auto&& run) {
        struct Outputs {
          std::vector<float> q_out, k_out, k_cache, v_cache, out;
        } outputs;
        const Cache k_cache(type, keys), v_cache(type, values);
        const DeviceArray<float> q_out(static_cast<size_t>(c.H * c.Dh)), k_out(static_cast<size_t>(row)),
            work(decode_workspace(c, capacity)), out(static_cast<size_t>(c.H * c.Dh));
        run(q_out.data(), k_out.data(), k_cache.data(), v_cache.data(), work.data(), out.data());
        ok(hipDeviceSynchronize());
        work.read();  // its sentinels
        return Outputs{q_out.read(), k_out.read(), k_cache.read(type), v_cache.read(type), out.read()};
      };
      std::vector<Attested> apart;
      const auto want = outcome([&](float* q_out, float* k_out, void* k_cache, void* v_cache, float* work,
                                    float* out) {
        apart = {rope(nullptr, q.data(), frequency.data(), position.data(), 1, c.H, c.Dh, rope_dims, q_out),
                 rope(nullptr, k.data(), frequency.data(), position.data(), 1, c.Hkv, c.Dh, rope_dims, k_out),
                 kv_write(nullptr, k_out, 1, row, past, k_cache, type),
                 kv_write(nullptr, v.data(), 1, row, past, v_cache, type),
                 attention_decode(nullptr, q_out, k_cache, v_cache, type, position.data(), capacity, c.H,
                                  c.Hkv, c.Dh, work, out, unit)};
      });
      for (const bool rows_out : {true, false}) {
        RopeAttentionRan ran;
        const auto got =
            outcome([&](float* q_out, float* k_out, void* k_cache, void* v_cache, float* work, float* out) {
              ran = rope_attention_decode(nullptr, q.data(), k.data(), v.data(), frequency.data(),
                                          position.data(), rope_dims, rows_out ? q_out : nullptr,
                                          rows_out ? k_out : nullptr, k_cache, v_cache, type, capacity, c.H,
                                          c.Hkv, c.Dh, work, out, unit);
            });
        const std::string name = ran.attn_out.kernel + " T=" + std::to_string(c.T());
        EXPECT_EQ(same(got.q_out, want.q_out), rows_out) << name;
        EXPECT_EQ(same(got.k_out, want.k_out), rows_out) << name;
        EXPECT_TRUE(same(got.k_cache, want.k_cache)) << name;
        EXPECT_TRUE(same(got.v_cache, want.v_cache)) << name;
        EXPECT_TRUE(same(got.out, want.out)) << name;
        EXPECT_FALSE(same(got.k_cache, got.v_cache)) << name;
        const Attested as_one[] = {ran.q_rope, ran.k_rope, ran.k_cache, ran.v_cache, ran.attn_out};
        for (size_t i = 0; i < apart.size(); ++i) EXPECT_EQ(as_one[i].contract, apart[i].contract);
      }
    }
  }
}

TEST(AttentionFused, RefusesWhatItCannotDoAndSaysWhatCan) {
  float x[4] = {};
  int32_t p = 0;
  const auto message = [](const auto& call) {
    try {
      call();
    } catch (const LaunchError& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message([&] {
              attention_prefill(nullptr, Tuning::plain, Operand::f16, x, x, x, CacheType::f32, 1, 0, 1, 1, 24,
                                x);
            }).find("use the unfused kernels qk, softmax and pv"),
            std::string::npos);
  EXPECT_NE(message([&] {
              attention_decode(nullptr, x, x, x, CacheType::f32, &p, 1, 1, 1, 272, x, x);
            }).find("272"),
            std::string::npos);
  EXPECT_NE(message([&] {
              attention_decode(nullptr, x, x, x, CacheType::f32, &p, 1, 5, 2, 16, x, x);
            }).find("share"),
            std::string::npos);
}

}  // namespace
}  // namespace greta::kernels::test
