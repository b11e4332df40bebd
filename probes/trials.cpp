#include "probes/trials.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>

#include "probes/attempt.hpp"
#include "probes/evidence.hpp"

namespace greta::probes {
namespace {

constexpr size_t kPairsKept = 5;  // of the pairs that are excluded, in the report
constexpr int64_t kMostSeen = 8;  // tensors looked at when nobody is left to be tried

// One cause, or a pair, on its way through the tensors.
struct Suspect {
  std::vector<const Cause*> causes;
  enum { alive, excluded, not_applicable } state = alive;
  double ratio = 0;
  std::string place;
  Message note;
  int64_t fitted = 0;
  bool idle_at_first = false;

  void take(const Attempt& at, const std::string& name) {
    switch (at.outcome) {
      case Outcome::fits:
        if (fitted++ == 0 || at.ratio > ratio) {
          ratio = at.ratio;
          place = name;
        }
        return;
      case Outcome::misfits:
        state = excluded;
        break;
      case Outcome::idle:
        state = fitted > 0 ? excluded : not_applicable;
        note = fitted > 0 ? say("fits elsewhere, but cannot have broken {}: {}", name, at.why)
                          : say("{}: {}", name, at.why);
        break;
      case Outcome::unjudged:
        state = not_applicable;
        note = at.why;
        break;
    }
    ratio = at.ratio;
    place = name;
  }

  Trial trial() const {
    Trial out{.ratio = ratio, .place = place, .applies = state != not_applicable, .note = note};
    for (const Cause* cause : causes) out.causes.push_back(cause->text());
    return out;
  }
};

class Searcher {
 public:
  Searcher(std::span<const Failing> tensors, Causes causes, const SearchHooks& hooks)
      : tensors_(tensors), causes_(causes), hooks_(hooks), seen_(tensors.size(), Seen::not_yet) {}

  Search run() {
    std::vector<Suspect> singles;
    for (const Cause* cause : causes_) singles.push_back({.causes = {cause}});
    through(singles, kMostSeen);
    file(singles, singles.size());
    if (out_.fitting.empty()) {
      auto pairs = pairs_of(singles);
      out_.pairs = static_cast<int64_t>(pairs.size());
      through(pairs, 0);
      std::erase_if(pairs, [](const Suspect& pair) { return pair.state == Suspect::not_applicable; });
      file(pairs, kPairsKept);
    }
    std::stable_sort(out_.excluded.begin(), out_.excluded.end(), nearer);
    return std::move(out_);
  }

 private:
  static bool nearer(const Trial& a, const Trial& b) { return a.ratio < b.ratio; }

  // All suspects through all tensors, tensor by tensor, so that each is read once; with nobody left, on to
  // `at_least` of them.
  void through(std::vector<Suspect>& suspects, int64_t at_least) {
    const auto anybody = [&] {
      return std::any_of(suspects.begin(), suspects.end(),
                         [](const Suspect& s) { return s.state == Suspect::alive; });
    };
    bool first = true;
    for (size_t i = 0; i < tensors_.size() && (anybody() || out_.tried < at_least); ++i) {
      Subject subject;
      if (!open(i, subject)) continue;
      for (Suspect& suspect : suspects) {
        if (suspect.state != Suspect::alive) continue;
        if (hooks_.check_interrupt) hooks_.check_interrupt();
        const Attempt at = attempt_set(subject, suspect.causes);
        suspect.idle_at_first |= first && at.outcome == Outcome::idle;
        suspect.take(at, subject.name);
      }
      first = false;
    }
  }

  // Sees for itself, once, that the tensor is out of bound.
  bool open(size_t i, Subject& subject) {
    if (seen_[i] == Seen::not_there) return false;
    try {
      subject = tensors_[i].open();
      if (seen_[i] == Seen::out_of_bound) return true;
      const reference::Bounded right = subject.right();
      if (held_against(subject, right).pass())
        throw Missing(say("the evidence does not show the failure that the finding tells of"));
      if (hooks_.seen) hooks_.seen(subject, right);
      seen_[i] = Seen::out_of_bound;
      ++out_.tried;
      return true;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      out_.not_tried.push_back(say("{}: {}", tensors_[i].key, message_of(error)));
      seen_[i] = Seen::not_there;
      return false;
    }
  }

  static std::vector<Suspect> pairs_of(const std::vector<Suspect>& singles) {
    std::vector<Suspect> pairs;
    const auto usable = [](const Suspect& s) {
      return s.state != Suspect::not_applicable && !s.idle_at_first;
    };
    for (size_t a = 0; a < singles.size(); ++a)
      for (size_t b = a + 1; b < singles.size(); ++b)
        if (usable(singles[a]) && usable(singles[b]))
          pairs.push_back({.causes = {singles[a].causes.front(), singles[b].causes.front()}});
    return pairs;
  }

  void file(const std::vector<Suspect>& suspects, size_t most_excluded) {
    std::vector<Trial> excluded;
    for (const Suspect& suspect : suspects) {
      if (suspect.state == Suspect::excluded)
        excluded.push_back(suspect.trial());
      else if (suspect.state == Suspect::alive && suspect.fitted > 0)
        out_.fitting.push_back(suspect.trial());
      else if (suspect.state == Suspect::not_applicable)
        out_.not_applicable.push_back(suspect.trial());
    }
    std::stable_sort(excluded.begin(), excluded.end(), nearer);
    if (excluded.size() > most_excluded) excluded.resize(most_excluded);
    std::move(excluded.begin(), excluded.end(), std::back_inserter(out_.excluded));
  }

  std::span<const Failing> tensors_;
  Causes causes_;
  const SearchHooks& hooks_;
  Search out_;
  enum class Seen { not_yet, out_of_bound, not_there };
  std::vector<Seen> seen_;  // a row a tensor
};

}  // namespace

Answer Search::answer() const {
  if (fitting.empty()) return Answer::unexplained;
  return fitting.size() == 1 ? Answer::explained : Answer::indistinguishable;
}

Search search(std::span<const Failing> tensors, Causes causes, const SearchHooks& hooks) {
  return Searcher(tensors, causes, hooks).run();
}

}  // namespace greta::probes
