#include "reference/contract.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "datasets/error.hpp"

namespace greta::reference {
namespace {

using testing::HasSubstr;

std::string refusal(std::string_view text) {
  try {
    Contract::parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::invalid);
    return error.what();
  }
  return "accepted";
}

TEST(Contract, ReadsEveryKey) {
  const auto matmul = Contract::parse("op=matmul x=f16 w=bf16 acc=f32 chain=256 out=f32 unit=ieee");
  EXPECT_EQ(matmul.op, "matmul");
  EXPECT_EQ(matmul.x, Rounding::f16);
  EXPECT_EQ(matmul.w, Rounding::bf16);
  EXPECT_EQ(matmul.acc, Rounding::f32);
  EXPECT_EQ(matmul.out, Rounding::f32);
  EXPECT_EQ(matmul.chain, 256);
  EXPECT_EQ(matmul.unit, Unit::ieee);
  const auto rope = Contract::parse("op=rope freq=f32 trig=2");
  EXPECT_FALSE(rope.freq_f64);
  EXPECT_EQ(rope.trig_ulp, 2);
  const auto softmax = Contract::parse("  op=softmax  chain=9 exp=2 div=1 ");
  EXPECT_EQ(softmax.exp_ulp, 2);
  EXPECT_EQ(softmax.div_ulp, 1);
  EXPECT_EQ(Contract::parse("op=rmsnorm chain=12 sqrt=3").sqrt_ulp, 3);
  EXPECT_EQ(Contract::parse("op=copy").op, "copy");
  EXPECT_EQ(Contract::parse("op=copy").out, std::nullopt);
  EXPECT_EQ(Contract::parse("op=copy out=bf16").out, Rounding::bf16);
  EXPECT_EQ(Contract::parse("op=pv x=f16 w=f16 acc=f32 chain=48 out=f32 unit=cdna2").unit, Unit::cdna2);
  EXPECT_EQ(Contract::parse("op=pv x=bf16 w=bf16 acc=f32 chain=48 out=f32 unit=cdna3").unit, Unit::cdna3);
  const auto fused = Contract::parse(
      "op=attention x=f16 w=f16 p=f16 acc=f32 chain=128 sum=2049 rescales=33 rounds=2 exp=2 div=1 "
      "unit=hopper");
  EXPECT_EQ(fused.p, Rounding::f16);
  EXPECT_EQ(fused.sum, 2049);
  EXPECT_EQ(fused.rescales, 33);
  EXPECT_EQ(fused.rounds, 2);
  EXPECT_EQ(fused.unit, Unit::hopper);
  EXPECT_FALSE(fused.parts);
  const auto parts = Contract::parse("op=matmul x=i32 w=parts acc=i32 sum=41 out=f32");
  EXPECT_TRUE(parts.parts);
  EXPECT_EQ(parts.x, std::nullopt);
  EXPECT_EQ(parts.w, std::nullopt);
  EXPECT_EQ(parts.acc, std::nullopt);
  EXPECT_EQ(parts.sum, 41);
}

TEST(Contract, AssumesNothing) {
  EXPECT_THAT(refusal(""), HasSubstr("no op="));
  EXPECT_THAT(refusal("op=matmull"), HasSubstr("did you mean 'matmul'"));
  EXPECT_THAT(refusal("op=add speed=9"), HasSubstr("unknown key 'speed'"));
  EXPECT_THAT(refusal("op=add op=copy"), HasSubstr("op is given twice"));
  EXPECT_THAT(refusal("op=add fast"), HasSubstr("no key=value"));
  EXPECT_THAT(refusal("op=embed w=q8"), HasSubstr("known types are f32, f16 and bf16"));
  EXPECT_THAT(refusal("op=rmsnorm chain=1x sqrt=1"), HasSubstr("an integer"));
  EXPECT_THAT(refusal("op=rmsnorm chain=-1 sqrt=1"), HasSubstr("an integer"));
  EXPECT_THAT(refusal("op=rope freq=f16 trig=1"), HasSubstr("f64, f32"));
  EXPECT_THAT(refusal("op=matmul x=f32 w=f32 acc=f16 chain=1 out=f32 unit=ieee"), HasSubstr("only f32"));
  EXPECT_THAT(refusal("op=matmul x=f32 w=f32 acc=f32 chain=1 out=f32 unit=hopper"), HasSubstr("unit=ieee"));
  EXPECT_THAT(refusal("op=matmul x=f16 w=bf16 acc=f32 chain=1 out=f32 unit=cdna3"), HasSubstr("f16 by f16"));
  EXPECT_THAT(refusal("op=matmul x=f16 w=f16 acc=f32 chain=1 out=f32 unit=volta"),
              HasSubstr("ieee, cdna2, cdna3 and hopper"));
  EXPECT_THAT(refusal("op=matmul x=f16 w=f16 acc=f32 chain=1 out=f16 unit=ieee"), HasSubstr("only f32"));
  EXPECT_THAT(refusal("op=copy out=q8"), HasSubstr("known types are"));
}

TEST(Contract, FixedPointAndPartsGoTogether) {
  EXPECT_EQ(refusal("op=matmul x=i32 w=parts acc=i32 sum=9 out=f32"), "accepted");
  for (const auto words : {"x=i32 w=parts acc=f32", "x=i32 w=f16 acc=i32", "x=f16 w=parts acc=i32",
                           "x=f32 w=f32 acc=i32", "x=i32 w=f32 acc=f32", "x=f32 w=parts acc=f32"})
    EXPECT_THAT(refusal(std::string("op=matmul sum=9 out=f32 ") + words), HasSubstr("go together"));
  for (const auto missing : {"x=i32", "w=parts", "acc=i32", "sum=9", "out=f32"}) {
    std::string text = "op=matmul x=i32 w=parts acc=i32 sum=9 out=f32";
    text.erase(text.find(missing), std::string_view(missing).size());
    const std::string key(missing, std::string_view(missing).find('=') + 1);
    EXPECT_THAT(refusal(text), HasSubstr("needs " + key));
  }
  for (const auto word : {"chain=32", "unit=ieee", "unit=hopper"})
    EXPECT_THAT(refusal(std::string("op=matmul x=i32 w=parts acc=i32 sum=9 out=f32 ") + word),
                HasSubstr("no meaning with w=parts"));
  for (const auto op : {"qk", "pv", "embed"})
    for (const auto words : {"x=i32 w=parts acc=i32", "w=parts", "x=i32 w=f16 acc=f32"})
      EXPECT_THAT(refusal(fmt::format("op={} {} sum=9 chain=32 out=f32 unit=ieee", op, words)),
                  HasSubstr("op=matmul alone"));
  EXPECT_THAT(refusal("op=copy out=parts"), HasSubstr("known types are f32, f16 and bf16"));
  EXPECT_THAT(refusal("op=matmul x=i16 w=parts acc=i32 sum=9 out=f32"), HasSubstr("x=i32 with w=parts"));
}

TEST(Contract, NamesTheMissingKey) {
  for (const auto key : {"x=f32", "w=f32", "acc=f32", "chain=3", "out=f32", "unit=ieee"}) {
    std::string text = "op=matmul x=f32 w=f32 acc=f32 chain=3 out=f32 unit=ieee";
    const std::string word = std::string(" ") + key;
    text.erase(text.find(word), word.size());
    EXPECT_THAT(refusal(text),
                HasSubstr("needs " + std::string(key).substr(0, std::string(key).find('=') + 1)));
  }
  for (const auto key : {"p=f16", "sum=9", "rescales=2", "rounds=2", "exp=1", "div=1", "unit=ieee"}) {
    std::string text =
        "op=attention x=f16 w=f16 p=f16 acc=f32 chain=8 sum=9 rescales=2 rounds=2 exp=1 div=1 unit=ieee";
    const std::string word = std::string(" ") + key;
    text.erase(text.find(word), word.size());
    EXPECT_THAT(refusal(text),
                HasSubstr("needs " + std::string(key).substr(0, std::string(key).find('=') + 1)));
  }
  EXPECT_THAT(refusal("op=swiglu exp=1"), HasSubstr("needs div="));
  EXPECT_THAT(refusal("op=rope trig=1"), HasSubstr("needs freq="));
}

}  // namespace
}  // namespace greta::reference
