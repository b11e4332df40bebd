#include "datasets/trace_inspect.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/error.hpp"
#include "datasets/trace_testing.hpp"

namespace greta {
namespace {

using namespace trace_testing;
using testing::HasSubstr;
using testing::Not;

TEST(TraceInspect, SaysWhatIsThere) {
  const TemporaryFolder folder;
  {
    TraceWriter writer(folder.file("t.h5"), identity());
    for (const int layer : {0, 1, 2, 5})
      for (const char* stage : {"q", "attn_norm"})
        writer.submit(
            record({"p0_short", "auto", "prefill", layer, stage}, index_coded(DType::f32, {3, 5, 7})));
    auto windowed = record({"p0_short", "auto", "decode0", -1, "logits"}, index_coded(DType::f16, {1, 512}));
    windowed.window = "row 0";
    writer.submit(windowed);
    writer.submit(record({"weights", "", "", -1, "output.weight"}, index_coded(DType::f32, {4})));
  }
  const TraceReader trace(folder.file("t.h5"));
  const std::string all = inspect_trace(trace);
  EXPECT_THAT(all, HasSubstr("this trace is incomplete"));
  EXPECT_THAT(all, HasSubstr("digest 0123456789abcdef"));
  EXPECT_THAT(all, HasSubstr("p0_short: 3 tokens (1 2 3)"));
  EXPECT_THAT(all, HasSubstr("tensors    10, 4.3 KiB"));
  EXPECT_THAT(all, HasSubstr("layers 0-2,5"));
  EXPECT_THAT(all, HasSubstr("prefill  8 tensors, 3.3 KiB"));
  EXPECT_THAT(all, HasSubstr("window row 0"));
  EXPECT_THAT(all, HasSubstr("kernel   qkv valu gemm"));
  EXPECT_THAT(all, HasSubstr("contract op=matmul"));
  EXPECT_LT(all.find("attn_norm"), all.find("      q ")) << "in the order of the forward pass";

  const std::string one = inspect_trace(trace, "layer_05/q");
  EXPECT_THAT(one, HasSubstr("tensors    1, 420 B"));
  EXPECT_THAT(one, HasSubstr("layer_05/q"));
  EXPECT_THAT(one, Not(HasSubstr("attn_norm")));
  EXPECT_THROW(inspect_trace(trace, "sofmax"), Error);
}

}  // namespace
}  // namespace greta
