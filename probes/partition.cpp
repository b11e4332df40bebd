#include "probes/partition.hpp"

#include <algorithm>
#include <map>
#include <new>
#include <optional>

#include "probes/attempt.hpp"

namespace greta::probes {
namespace {

using Set = std::vector<const Cause*>;  // one cause, or a pair
using Group = std::vector<size_t>;

class Partition {
 public:
  Partition(std::span<const Failing> tensors, Causes causes, const SearchHooks& hooks)
      : tensors_(tensors), causes_(causes), hooks_(hooks), fits_(tensors.size()) {}

  std::vector<Group> run() {
    // What acts anywhere; then, as a set may have come up late, where each of them acts.
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const auto subject = open(i);
      if (!subject || !(fits_known(i, *subject) || discover(i, *subject))) return {};
    }
    for (size_t before = 0; before < known_.size();) {
      before = known_.size();
      for (size_t i = 0; i < tensors_.size(); ++i) {
        if (fits_[i].size() == known_.size()) continue;
        const auto subject = open(i);
        if (!subject) return {};
        fits_known(i, *subject);
      }
    }
    keep_minimal();
    return cover();
  }

 private:
  std::optional<Subject> open(size_t i) const {
    try {
      return tensors_[i].open();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception&) {  // Missing: then not every place can be explained
      return std::nullopt;
    }
  }

  PairAttempt try_set(const Subject& subject, const Set& set) const {
    if (hooks_.check_interrupt) hooks_.check_interrupt();
    return attempt_set(subject, set);
  }

  // A pair of which one half has nothing to vary here is not what acts here: its other half is, which is
  // known by itself or becomes so.
  size_t known(const Set& set) {
    const auto at = std::find(known_.begin(), known_.end(), set);
    if (at != known_.end()) return static_cast<size_t>(at - known_.begin());
    known_.push_back(set);
    return known_.size() - 1;
  }

  bool fits_known(size_t i, const Subject& subject) {
    for (size_t k = 0; k < known_.size(); ++k) {
      if (fits_[i].contains(k)) continue;
      const PairAttempt at = try_set(subject, known_[k]);
      fits_[i][k] = at.outcome == Outcome::fits && at.acting == known_[k];
      if (at.outcome == Outcome::fits && !fits_[i][k]) fits_[i][known(at.acting)] = true;
    }
    return any_fits(i);
  }

  bool any_fits(size_t i) const {
    return std::any_of(fits_[i].begin(), fits_[i].end(), [](const auto& fit) { return fit.second; });
  }

  bool discover(size_t i, const Subject& subject) {
    std::vector<const Cause*> usable;  // in pairs
    for (const Cause* cause : causes_) {
      const PairAttempt at = try_set(subject, {cause});
      if (at.outcome == Outcome::fits) fits_[i][known({cause})] = true;
      if (at.outcome == Outcome::misfits) usable.push_back(cause);
    }
    if (any_fits(i)) return true;
    for (size_t a = 0; a < usable.size(); ++a)
      for (size_t b = a + 1; b < usable.size(); ++b)
        if (const Set pair{usable[a], usable[b]}; try_set(subject, pair).outcome == Outcome::fits)
          fits_[i][known(pair)] = true;
    return any_fits(i);
  }

  // Where one cause will do, no pair counts.
  void keep_minimal() {
    for (auto& fits : fits_) {
      const bool single = std::any_of(fits.begin(), fits.end(), [&](const auto& fit) {
        return fit.second && known_[fit.first].size() == 1;
      });
      for (auto& [k, fit] : fits) fit = fit && (!single || known_[k].size() == 1);
    }
  }

  std::vector<Group> cover() const {
    std::vector<Group> groups;
    std::vector<bool> taken(tensors_.size(), false);
    while (std::find(taken.begin(), taken.end(), false) != taken.end()) {
      Group best;
      for (size_t k = 0; k < known_.size(); ++k) {
        Group group;
        for (size_t i = 0; i < tensors_.size(); ++i)
          if (const auto fit = fits_[i].find(k); !taken[i] && fit != fits_[i].end() && fit->second)
            group.push_back(i);
        if (group.size() > best.size()) best = std::move(group);
      }
      if (best.empty()) return {};
      for (const size_t i : best) taken[i] = true;
      groups.push_back(std::move(best));
    }
    if (groups.size() < 2) return {};
    std::sort(groups.begin(), groups.end());
    return groups;
  }

  std::span<const Failing> tensors_;
  Causes causes_;
  const SearchHooks& hooks_;
  std::vector<Set> known_;
  std::vector<std::map<size_t, bool>> fits_;  // a row a tensor: known set -> whether it fits
};

}  // namespace

std::vector<std::vector<size_t>> partition(std::span<const Failing> tensors, Causes causes,
                                           const SearchHooks& hooks) {
  return Partition(tensors, causes, hooks).run();
}

}  // namespace greta::probes
