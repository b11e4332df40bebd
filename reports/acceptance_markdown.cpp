// acceptance.md and acceptance.es.md: the acceptance as a document that a person signs.
#include <fmt/format.h>

#include <algorithm>

#include "reports/acceptance_words.hpp"
#include "reports/summary.hpp"
#include "reports/table.hpp"

namespace greta::reports {
namespace {

using probes::Status;

constexpr size_t kRows = 300, kListed = 20;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("|<*_`\\").find(c) != std::string_view::npos) out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string code(std::string_view text) { return text.empty() ? "—" : fmt::format("`{}`", text); }

std::string row(const std::vector<std::string>& cells) {
  return fmt::format("| {} |\n", fmt::join(cells, " | "));
}

// The first `left` columns are words, the others numbers.
std::string header(const std::vector<std::string>& names, size_t left) {
  std::vector<std::string> rule;
  for (size_t i = 0; i < names.size(); ++i) rule.emplace_back(i < left ? "---" : "---:");
  return row(names) + row(rule);
}

class Document {
 public:
  Document(const Acceptance& it, Language language) : it_(it), language_(language) {}
  std::string text() const {
    return title() + summary() + sides() + controls() + bars() + figures() + changes() + conclusion() +
           next_step() + signatures();
  }

 private:
  std::string in(const Message& message) const { return reports::in(language_, message); }
  std::string heading(const Message& message) const { return "## " + in(message) + "\n\n"; }

  std::string title() const {
    return fmt::format("# {}: {}\n\n",
                       in(say("Acceptance of {}",
                              escaped(it_.after.run.title.empty() ? it_.after.given : it_.after.run.title))),
                       in(decision_word(it_.decision)));
  }

  std::string summary() const {
    std::string out = heading(say("Executive summary"));
    out += fmt::format("**{}**: {}.\n\n", in(decision_word(it_.decision)), in(decision_sentence(it_)));
    for (const auto& reason : it_.invalid) out += "- " + escaped(in(say("no verdict: {}", reason))) + "\n";
    return out + (it_.invalid.empty() ? "" : "\n");
  }

  std::string sides() const {
    std::string out = heading(say("What was held against what"));
    out += header({"", in(say("before")), in(say("after"))}, 3);
    const auto add = [&](const Message& name, const auto& of) {
      out += row({in(name), code(of(it_.before)), code(of(it_.after))});
    };
    using Side = const AcceptanceSide&;
    add(say("run"), [](Side s) { return s.given; });
    add(say("arm"), [&](Side s) { return s.arm.empty() ? in(say("all")) : s.arm; });
    add(say("settings"), [](Side s) {
      for (const auto& arm : s.run.arms)
        if (arm.name == s.arm) return arm.settings;
      return std::string();
    });
    add(say("suite"), [](Side s) { return s.run.suite_path; });
    add(say("model"), [](Side s) { return s.run.identity.model_path; });
    add(say("model digest (XXH3-64)"), [](Side s) { return s.run.identity.model_digest; });
    add(say("prompts (tokens)"), [](Side s) {
      std::vector<std::string> prompts;
      for (const auto& [prompt, tokens] : s.run.identity.prompt_tokens)
        prompts.push_back(fmt::format("{} ({})", prompt, tokens.size()));
      return fmt::format("{}", fmt::join(prompts, ", "));
    });
    add(say("device"), [](Side s) { return s.run.identity.device; });
    add(say("backend"), [](Side s) { return s.run.identity.backend; });
    add(say("reference"), [](Side s) { return s.run.reference; });
    add(verbatim("greta"), [](Side s) { return s.run.identity.greta_version; });
    add(say("build"), [](Side s) { return s.run.identity.build; });
    add(say("created"), [](Side s) { return s.run.identity.created; });
    add(say("command"), [](Side s) { return s.run.identity.command_line; });
    return out + "\n";
  }

  std::string controls() const {
    std::string out = heading(say("Controls"));
    for (const auto& line : it_.controls) out += "- " + escaped(in(line)) + "\n";
    for (const auto& line : it_.invalid)
      out += "- **" + in(say("does not hold")) + "**: " + escaped(in(line)) + "\n";
    return out + "\n";
  }

  std::string judged(const Judged& half) const {
    const std::string text = escaped(judged_text(half));
    return half.status == Status::pass ? text : "**" + text + "**";
  }

  std::string bars() const {
    if (it_.bars.empty()) return {};
    std::string out = heading(say("Every bar, before and after"));
    out +=
        in(say(
            "A bar is one stage of one probe: the worst bound ratio of its places, max |error| / bound (at "
            "most 1 passes), and their largest mean absolute error (MAE). `✗`: out of bound, `?`: no "
            "verdict.")) +
        "\n\n";
    out += header({in(say("probe")), in(say("stage")), in(say("places")), in(say("ratio before")),
                   in(say("ratio after")), in(say("MAE before")), in(say("MAE after")),
                   in(say("verdict before")), in(say("verdict after")), in(say("change"))},
                  2);
    for (const auto& bar : it_.bars)
      out += row({code(bar.probe), code(bar.stage), grouped(bar.places), judged(bar.before),
                  judged(bar.after), fmt::format("{:.3g}", bar.before.mae),
                  fmt::format("{:.3g}", bar.after.mae), upper_name(bar.before.status, language_),
                  upper_name(bar.after.status, language_), in(name_of(bar.change()))});
    return out + "\n";
  }

  std::string figures() const {
    std::string out;
    for (const auto& table : it_.figures) {
      out += "### " + in(say("What {} measured", escaped(table.probe))) + "\n\n";
      const bool by_stage = std::any_of(table.rows.begin(), table.rows.end(),
                                        [](const FigurePair& r) { return !r.stage.empty(); });
      std::vector<std::string> names = {in(say("prompt")), in(say("phase")), in(say("layer"))};
      if (by_stage) names.push_back(in(say("stage")));
      names.insert(names.end(), {in(say("part")), ""});
      const size_t left = names.size();
      for (const auto& name : table.names) names.push_back(escaped(name));
      out += header(names, left);
      const size_t shown = std::min(table.rows.size(), kRows);
      for (size_t i = 0; i < shown; ++i) {
        const auto& r = table.rows[i];
        for (const auto half : {&FigurePair::before, &FigurePair::after}) {
          std::vector<std::string> cells = {escaped(r.prompt), escaped(r.phase), layer_text(r.layer)};
          if (by_stage) cells.push_back(escaped(r.stage));
          cells.insert(cells.end(),
                       {escaped(r.of), in(half == &FigurePair::before ? say("before") : say("after"))});
          for (const auto& figure : r.*half) cells.push_back(escaped(figure_text(figure)));
          out += row(cells);
        }
      }
      if (table.rows.size() > shown)
        out += "\n" + in(say("and {} more, in acceptance.json", table.rows.size() - shown)) + "\n";
      out += "\n";
    }
    return out;
  }

  std::string listed(const std::vector<ChangedPlace>& places) const {
    std::string out;
    for (size_t i = 0; i < std::min(places.size(), kListed); ++i)
      out += fmt::format("- {}: {} → {}\n", code(places[i].key), judged(places[i].before),
                         judged(places[i].after));
    if (places.size() > kListed)
      out += "- " + in(say("and {} more, in acceptance.json", places.size() - kListed)) + "\n";
    return out;
  }

  // A bar that passes on both sides may still be nearer to its bound than it was: said, not judged.
  std::string nearer() const {
    std::string out;
    for (const auto& bar : it_.bars)
      if (bar.change() == Change::larger && bar.after.status == Status::pass)
        out += fmt::format("- {} {}: {} → {}\n", code(bar.probe), code(bar.stage), judged(bar.before),
                           judged(bar.after));
    return out;
  }

  std::string changes() const {
    if (it_.bars.empty()) return {};
    std::string out = heading(say("What got better"));
    out += it_.fixed.empty() ? in(say("Nothing: no comparison failed before and passes after.")) + "\n"
                             : in(say("{} comparisons failed before and pass after:",
                                      grouped(static_cast<int64_t>(it_.fixed.size())))) +
                                   "\n\n" + listed(it_.fixed);
    out += "\n" + heading(say("What got worse"));
    if (it_.broken.empty())
      out += in(say("No comparison passed before and fails after.")) + "\n";
    else
      out += in(say("{} comparisons passed before and do not after:",
                    grouped(static_cast<int64_t>(it_.broken.size())))) +
             "\n\n" + listed(it_.broken);
    if (const auto near = nearer(); !near.empty())
      out += "\n" + in(say("Within their bounds, and nearer to them than before:")) + "\n\n" + near;
    if (!it_.still_failing.empty())
      out += "\n" +
             in(say("{} comparisons pass neither before nor after:",
                    grouped(static_cast<int64_t>(it_.still_failing.size())))) +
             "\n\n" + listed(it_.still_failing);
    return out + "\n";
  }

  std::string conclusion() const {
    std::string out = heading(say("Conclusion"));
    switch (it_.decision) {
      case Decision::accepted:
        out += in(say("Measured: after the fix each of {} comparisons is within the bound that the declared "
                      "arithmetic sets it, on this model, these prompts and this device.",
                      grouped(it_.places))) +
               " " +
               in(say("The evidence excludes that the fix broke a stage that passed before, in the places "
                      "that were "
                      "compared. It does not exclude faults in other models, prompts, positions or devices, "
                      "nor any "
                      "that stay below the bounds."));
        break;
      case Decision::refused:
        out +=
            in(say("Measured: {} of {} comparisons do not pass after.",
                   grouped(static_cast<int64_t>(it_.broken.size() + it_.still_failing.size())),
                   grouped(it_.places))) +
            " " +
            in(say(
                "The fix is not accepted. The evidence does not say that it did nothing: what got better is "
                "listed above."));
        break;
      case Decision::none:
        out += in(say("There is no verdict, neither for nor against the fix: see the executive summary."));
    }
    return out + "\n\n";
  }

  std::string next_step() const {
    std::string out = heading(say("Next step"));
    out += in(it_.decision == Decision::accepted ? say("Sign below. To reproduce both sides:")
              : it_.decision == Decision::refused
                  ? say("Look at the first comparison that does not pass, and run "
                        "both sides again after the next change:")
                  : say("Make the two sides comparable, and run them again:"));
    out += "\n\n```sh\n";
    for (const auto* side : {&it_.before, &it_.after})
      out += (side->run.rerun.empty() ? side->run.identity.command_line : side->run.rerun) + "\n";
    return out + "```\n\n";
  }

  std::string signatures() const {
    std::string out = heading(say("Signatures"));
    out += header({"", in(say("name")), in(say("date")), in(say("signature"))}, 4);
    const std::string room(24, '_');
    for (const Message& who : {say("carried out by"), say("reviewed by"), say("accepted by")})
      out += row({in(who), escaped(room), escaped(room), escaped(room)});
    return out;
  }

  const Acceptance& it_;
  Language language_;
};

}  // namespace

std::string acceptance_markdown(const Acceptance& it, Language language) {
  return Document(it, language).text();
}

}  // namespace greta::reports
