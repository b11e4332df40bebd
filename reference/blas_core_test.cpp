#include "reference/blas_core.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace greta::reference {
namespace {

TEST(BlasCore, AnOldChoiceOnANewProcessorIsBettered) {
  EXPECT_EQ(better_core("Prescott", {.avx2 = true, .avx512 = true}), "SkylakeX");
  EXPECT_EQ(better_core("Core2", {.avx2 = true}), "Haswell");
}

TEST(BlasCore, WhatFitsStays) {
  EXPECT_EQ(better_core("Prescott", {}), "") << "the processor has nothing better";
  EXPECT_EQ(better_core("Cooperlake", {.avx2 = true, .avx512 = true}), "");
  EXPECT_EQ(better_core("Zen", {.avx2 = true}), "");
}

TEST(BlasCore, TheUsersOwnSettingWins) {
  const char* before = std::getenv("OPENBLAS_CORETYPE");
  const std::string kept = before ? before : "";
  ASSERT_EQ(setenv("OPENBLAS_CORETYPE", "Prescott", 1), 0);
  EXPECT_EQ(better_core(), "");
  before ? setenv("OPENBLAS_CORETYPE", kept.c_str(), 1) : unsetenv("OPENBLAS_CORETYPE");
}

}  // namespace
}  // namespace greta::reference
