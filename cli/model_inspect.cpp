// greta model inspect: what a GGUF file holds.
#include <ostream>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "datasets/gguf.hpp"
#include "datasets/inspect.hpp"

namespace greta::cli {

int model_inspect(const CommandLine& line, Streams& streams) {
  const Options flags("greta model inspect FILE",
                      "Header, metadata, the network's configuration, every tensor, sizes by type.", 1, 1);
  const Given given = flags.parse(line.arguments);
  if (given.has("help"))
    streams.out << flags.help();
  else
    streams.out << inspect(GgufFile::open(given.positional().front()));
  return 0;
}

}  // namespace greta::cli
