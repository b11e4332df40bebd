#include "datasets/hdf5_handle.hpp"

#include <fmt/format.h>

#include "datasets/error.hpp"

namespace greta {
namespace {

struct Chain {
  std::string outermost, innermost;
};

herr_t collect(unsigned depth, const H5E_error2_t* entry, void* data) {
  auto& chain = *static_cast<Chain*>(data);
  const std::string text = entry->desc ? entry->desc : "";
  if (depth == 0) chain.outermost = fmt::format("{}: {}", entry->func_name ? entry->func_name : "HDF5", text);
  chain.innermost = text;
  return 0;
}

}  // namespace

std::unique_lock<std::recursive_mutex> lock_hdf5() {
  static std::recursive_mutex mutex;
  static const bool silenced = [] {
    H5open();
    return H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr) >= 0;
  }();
  (void)silenced;
  return std::unique_lock(mutex);
}

std::string hdf5_error_text() {
  Chain chain;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &chain);
  H5Eclear2(H5E_DEFAULT);
  if (chain.outermost.empty()) return "HDF5 gave no reason";
  if (chain.outermost.ends_with(chain.innermost)) return chain.outermost;
  return fmt::format("{}: {}", chain.outermost, chain.innermost);
}

void fail_hdf5(const std::string& what) { fail_input("{}: {}", what, hdf5_error_text()); }

}  // namespace greta
