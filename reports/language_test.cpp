// The catalogue as it is in the program.
#include "reports/language.hpp"

#include <gtest/gtest.h>

#include "datasets/cause.hpp"
#include "datasets/error.hpp"

namespace greta::reports {
namespace {

TEST(Language, SpanishComesFromTheCatalogue) {
  EXPECT_EQ(tr(Language::spanish, "{} of {} elements, {} beyond the certain bound", 5, 24, 1),
            "5 de 24 elementos, 1 más allá de la cota cierta");
  EXPECT_EQ(tr(Language::english, "{} of {} weights", 5, 24), "5 of 24 weights");
}

TEST(Language, MessagesWithinMessagesAreSaidToo) {
  const Message scope = joined({say("{} only ({})", verbatim("decode0"), say("{} passes", "prefill")),
                                say("{} only ({})", say("layers {}", "0, 1"), say("{} pass", "2, 3"))},
                               "; ");
  EXPECT_EQ(in(Language::spanish, scope), "solo decode0 (prefill pasa); solo capas 0, 1 (2, 3 pasan)");
  EXPECT_EQ(in(Language::english, scope), "decode0 only (prefill passes); layers 0, 1 only (2, 3 pass)");
}

TEST(Language, WhatIsInNoCatalogueStaysEnglish) {
  const Message unknown = {"{} is said nowhere", {Message::Argument{int64_t{7}}}};
  EXPECT_EQ(in(Language::spanish, unknown), "7 is said nowhere");
  EXPECT_EQ(translate(Language::spanish, ""), "") << "not the catalogue's header";
  EXPECT_EQ(in(Language::spanish, Message{}), "");
}

TEST(Language, EveryCauseHasItsTexts) {
  for (const Cause& cause : causes())
    for (const auto text : {cause.what, cause.seen, cause.tells}) {
      const std::string said = in(Language::spanish, phrase(text));
      const bool formula = text.find(' ') == std::string_view::npos ||
                           said.find("silu") != std::string::npos || text.starts_with("x / ");
      EXPECT_TRUE(said != text || formula) << cause.text() << ": " << said;
    }
}

TEST(Language, CodesAreStrict) {
  for (const Language language : languages()) EXPECT_EQ(parse_language(code_of(language)), language);
  EXPECT_THROW(parse_language("sp"), Error);
}

}  // namespace
}  // namespace greta::reports
