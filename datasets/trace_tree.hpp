// The trace's groups as a persistent tree: a published group is never changed. publish() makes new groups for
// what gained members, links the rest, and switches the file's root to the result (see trace_file_driver).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "datasets/trace_file_driver.hpp"

namespace greta {

class TraceTree {
 public:
  explicit TraceTree(TraceFile& file);
  // Holds an anonymous dataset, visible as /a/b/c after the next publish(). A dataset of that name is
  // replaced.
  void add(std::span<const std::string> path, Hdf5Dataset dataset);
  // `attributes` writes those of the new root group.
  void publish(const std::function<void(hid_t root)>& attributes);

 private:
  struct Node {
    std::map<std::string, std::unique_ptr<Node>> groups;
    std::map<std::string, Hdf5Dataset> added;
    std::set<std::string> linked;  // datasets of `group`
    Hdf5Group group;               // as published; none before
    bool changed = true;
  };
  void renew(Node& node);

  TraceFile& file_;
  Hdf5Group anchor_;  // the library's own root, which no reader sees: links keep every published root alive
  Node root_;
  int published_ = 0;
};

}  // namespace greta
