// RUN.tgz: a run's directory with everything but the big tensors, to send to somebody or to keep beside a
// release.
#pragma once

#include <string>
#include <vector>

namespace greta::reports {

// Packs every file under `directory`, but trace.h5, which is left where it is: trace-index.json says instead
// what it holds (path, shape, type, kernel, contract and XXH3 of each tensor; size and XXH3 of the file).
// The same run gives the same bytes: entries sorted, owner and mode fixed, the time of each that of the run
// (its verdicts.json). `path` is there whole or not at all.
// Errors: (bad_input) no directory, no readable verdicts.json, a damaged trace; something that is no plain
// file or folder, which is not left out in silence; (invalid) the disk refuses.
void write_pack(const std::string& directory, const std::string& path);

// Beside the directory: "runs/b3_25" -> "runs/b3_25.tgz".
std::string pack_path(const std::string& directory);

// trace-index.json of the trace at `path`.
std::string trace_index(const std::string& path);

}  // namespace greta::reports
