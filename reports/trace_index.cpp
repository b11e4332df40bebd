// trace-index.json: what stands in a pack for the trace that was left out.
#include <xxhash.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "datasets/error.hpp"
#include "datasets/trace.hpp"
#include "reports/pack.hpp"

namespace greta::reports {
namespace {

std::string hex(uint64_t hash) { return fmt::format("{:016x}", hash); }

std::string digest_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> block(1 << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0)
    XXH3_64bits_update(state.get(), block.data(), static_cast<size_t>(file.gcount()));
  if (file.bad() || !file.eof()) fail_input("cannot read '{}'", path);
  return hex(XXH3_64bits_digest(state.get()));
}

}  // namespace

std::string trace_index(const std::string& path) {
  using Json = nlohmann::ordered_json;
  const TraceReader trace(path);
  Json head = {{"schema", "greta/trace-index"},
               {"schema_version", 1},
               {"file", std::filesystem::path(path).filename().string()},
               {"bytes", std::filesystem::file_size(path)},
               {"xxh3", digest_of(path)},
               {"complete", trace.complete()},
               {"created", trace.identity().created},
               {"model_digest", trace.identity().model_digest}};
  std::string text = head.dump(1, ' ', false, Json::error_handler_t::replace);
  text.erase(text.rfind("\n}"));
  text += ",\n \"tensors\": [";
  const char* separator = "\n  ";
  for (const auto& key : trace.keys()) {         // a line each
    const TraceRecord record = trace.read(key);  // which holds its bytes against their digest
    const Json line = {{"path", key.path()},
                       {"shape", record.tensor->shape()},
                       {"axes", record.axes},
                       {"dtype", name_of(record.tensor->dtype())},
                       {"bytes", record.tensor->bytes()},
                       {"xxh3", hex(XXH3_64bits(record.tensor->data(), record.tensor->bytes()))},
                       {"window", record.window},
                       {"kernel", record.kernel},
                       {"contract", record.contract}};
    text += separator + line.dump(-1, ' ', false, Json::error_handler_t::replace);
    separator = ",\n  ";
  }
  return text + "\n ]\n}\n";
}

}  // namespace greta::reports
