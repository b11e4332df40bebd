// The merging loop that byte-level BPE and SentencePiece's BPE share: the cheapest neighbouring pair first,
// the leftmost among equals, until no pair merges. O(n log n).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <tuple>
#include <vector>

namespace greta {

// A stretch of the text; id -1 when it is no token.
struct Symbol {
  size_t begin;
  size_t length;
  int32_t id;
};
struct Merge {
  double cost;
  int32_t id;
};

// `find(left, right)` gives the Merge of two neighbours, or nothing.
template <typename Find>
std::vector<Symbol> merge_symbols(const std::vector<Symbol>& symbols, const Find& find) {
  struct Node {
    Symbol symbol;  // length 0: merged into its left neighbour
    ptrdiff_t previous, next;
  };
  struct Candidate {
    double cost;
    ptrdiff_t left, right;
    size_t length;
    int32_t id;
    bool operator<(const Candidate& other) const {
      return std::tie(cost, left) > std::tie(other.cost, other.left);
    }
  };
  const auto count = static_cast<ptrdiff_t>(symbols.size());
  std::vector<Node> nodes;
  nodes.reserve(symbols.size());
  for (ptrdiff_t i = 0; i < count; ++i) nodes.push_back({symbols[i], i - 1, i + 1});

  std::priority_queue<Candidate> queue;
  const auto consider = [&](ptrdiff_t left, ptrdiff_t right) {
    if (left < 0 || right >= count) return;
    const Symbol &a = nodes[left].symbol, &b = nodes[right].symbol;
    if (const std::optional<Merge> merge = find(a, b)) {
      queue.push({merge->cost, left, right, a.length + b.length, merge->id});
    }
  };
  for (ptrdiff_t i = 0; i + 1 < count; ++i) consider(i, i + 1);

  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Node &left = nodes[best.left], &right = nodes[best.right];
    const bool gone = left.symbol.length == 0 || right.symbol.length == 0;
    if (gone || left.symbol.length + right.symbol.length != best.length) continue;  // merged since
    left.symbol.length = best.length;
    left.symbol.id = best.id;
    right.symbol.length = 0;
    left.next = right.next;
    if (right.next < count) nodes[right.next].previous = best.left;
    consider(left.previous, best.left);
    consider(best.left, left.next);
  }

  std::vector<Symbol> merged;
  for (ptrdiff_t i = 0; i < count; i = nodes[i].next) merged.push_back(nodes[i].symbol);
  return merged;
}

}  // namespace greta
