#include "datasets/trace_tree.hpp"

#include <fmt/format.h>

namespace greta {
namespace {

void link(hid_t object, hid_t group, const std::string& name) {
  check_hdf5(H5Olink(object, group, name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
             "cannot link into the trace's tree");
}

}  // namespace

TraceTree::TraceTree(TraceFile& file)
    : file_(file), anchor_(H5Gopen2(file.id(), "/", H5P_DEFAULT), "cannot open the trace's root") {}

void TraceTree::add(std::span<const std::string> path, Hdf5Dataset dataset) {
  Node* node = &root_;
  node->changed = true;
  for (const auto& name : path.first(path.size() - 1)) {
    auto& child = node->groups[name];
    if (!child) child = std::make_unique<Node>();
    node = child.get();
    node->changed = true;
  }
  node->added.insert_or_assign(path.back(), std::move(dataset));
}

void TraceTree::renew(Node& node) {
  Hdf5Group group(H5Gcreate_anon(file_.id(), H5P_DEFAULT, H5P_DEFAULT), "cannot create a group in the trace");
  for (const auto& name : node.linked)
    if (!node.added.contains(name))
      check_hdf5(H5Lcreate_hard(node.group, name.c_str(), group, name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                 "cannot link a dataset of the trace");
  for (const auto& [name, dataset] : node.added) {
    link(dataset, group, name);
    node.linked.insert(name);
  }
  for (auto& [name, child] : node.groups) {
    if (child->changed) renew(*child);
    link(child->group, group, name);
  }
  node.added.clear();
  node.group = std::move(group);
  node.changed = false;
}

void TraceTree::publish(const std::function<void(hid_t root)>& attributes) {
  renew(root_);
  attributes(root_.group);
  link(root_.group, anchor_, fmt::format("published_{}", published_++));
  H5O_info_t info;
  check_hdf5(H5Oget_info1(root_.group, &info), "cannot find the trace's root");
  file_.publish(info.addr);
}

}  // namespace greta
