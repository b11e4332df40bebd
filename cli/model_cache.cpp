#include "cli/model_cache.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "datasets/nearest.hpp"
#include "datasets/synthesise.hpp"

namespace greta::cli {

namespace fs = std::filesystem;

bool is_preset(const std::string& model) {
  const auto& presets = synthesis_presets();
  return std::find(presets.begin(), presets.end(), model) != presets.end();
}

void check_model_name(const std::string& model) {
  std::error_code ignored;
  const bool path =
      model.ends_with(".gguf") || model.find('/') != std::string::npos || fs::exists(model, ignored);
  if (is_preset(model) || path) return;
  fail_usage("{}; a file ends in .gguf or has a '/' in its path",
             unknown_name("preset", model, synthesis_presets()));
}

std::string cache_directory(const std::string& given) {
  if (!given.empty()) return given;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache && *cache == '/') return std::string(cache) + "/greta";
  const char* home = std::getenv("HOME");
  if (home && *home) return std::string(home) + "/.cache/greta";
  fail_usage("neither XDG_CACHE_HOME nor HOME is set; name a directory for models with --cache");
}

void make_writable(const std::string& directory, const std::string& flag) {
  std::error_code problem;
  fs::create_directories(directory, problem);
  if (!problem && !fs::is_directory(directory, problem))
    problem = std::make_error_code(std::errc::not_a_directory);
  if (!problem && ::access(directory.c_str(), W_OK | X_OK) != 0) problem = {errno, std::generic_category()};
  if (problem)
    fail_usage("cannot write to '{}': {}; choose another with {}", directory, problem.message(), flag);
}

void make_atomically(const std::string& path, const std::function<void(const std::string&)>& make) {
  const std::string temporary = fmt::format("{}.tmp.{}", path, ::getpid());
  std::error_code ignored;
  try {
    make(temporary);
    fs::rename(temporary, path);
  } catch (...) {
    fs::remove(temporary, ignored);
    throw;
  }
}

std::string cached_preset(const std::string& preset, const std::string& quant, uint64_t seed,
                          const std::string& directory,
                          const std::function<void(const std::string&)>& on_make) {
  SynthesisOptions options;
  options.preset = preset;
  options.quant = choice("--quant", quant, synthesis_quants());
  options.seed = seed;
  make_writable(directory, "--cache");
  const std::string path =
      fmt::format("{}/{}-{}-seed{}-v{}.gguf", directory, preset, quant, seed, kSynthesisVersion);
  if (fs::exists(path)) return path;
  on_make(path);
  make_atomically(path, [&](const std::string& temporary) { synthesise(options, temporary); });
  return path;
}

}  // namespace greta::cli
