#include "reference/contract.hpp"

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
  EXPECT_EQ(matmul.unit, "ieee");
  const auto rope = Contract::parse("op=rope freq=f32 trig=2");
  EXPECT_FALSE(rope.freq_f64);
  EXPECT_EQ(rope.trig_ulp, 2);
  const auto softmax = Contract::parse("  op=softmax  chain=9 exp=2 div=1 ");
  EXPECT_EQ(softmax.exp_ulp, 2);
  EXPECT_EQ(softmax.div_ulp, 1);
  EXPECT_EQ(Contract::parse("op=rmsnorm chain=12 sqrt=3").sqrt_ulp, 3);
  EXPECT_EQ(Contract::parse("op=copy").op, "copy");
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
  EXPECT_THAT(refusal("op=matmul x=f32 w=f32 acc=f32 chain=1 out=f32 unit=hopper"), HasSubstr("ieee"));
}

TEST(Contract, NamesTheMissingKey) {
  for (const auto key : {"x=f32", "w=f32", "acc=f32", "chain=3", "out=f32", "unit=ieee"}) {
    std::string text = "op=matmul x=f32 w=f32 acc=f32 chain=3 out=f32 unit=ieee";
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
