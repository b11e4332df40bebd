// Where a run's model comes from: a file of the user's, or a preset that is synthesised once and kept.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace greta::cli {

// Raise it when synthesise() changes a byte, or cached models will be the old ones (model_cache_test.cpp
// holds the digest of one).
inline constexpr int kSynthesisVersion = 1;

bool is_preset(const std::string& model);
// A preset's name, or anything that looks like a path (ends in .gguf, has a '/', exists). Error (usage)
// otherwise, with the nearest preset.
void check_model_name(const std::string& model);

// `given`, else $XDG_CACHE_HOME/greta, else ~/.cache/greta. Error (usage) when none of them is there.
std::string cache_directory(const std::string& given);

// The preset's file, made first when it is not there. Complete or absent: it is made under another name and
// renamed. `on_make` is called with the path before a model is made. Errors: synthesise()'s; (usage) when the
// directory cannot be written.
std::string cached_preset(const std::string& preset, const std::string& quant, uint64_t seed,
                          const std::string& directory,
                          const std::function<void(const std::string&)>& on_make);

// Calls `make` with a temporary path beside `path` and renames what it made to `path`; nothing stays behind
// when it throws.
void make_atomically(const std::string& path, const std::function<void(const std::string&)>& make);

// Creates the directory when it is not there. Error (usage) with `flag` and the system's reason when it
// cannot be written.
void make_writable(const std::string& directory, const std::string& flag);

}  // namespace greta::cli
