// greta trace inspect: what a trace holds.
#include <ostream>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "datasets/trace.hpp"
#include "datasets/trace_inspect.hpp"

namespace greta::cli {

int trace_inspect(const CommandLine& line, Streams& streams) {
  Options flags(
      "greta trace inspect FILE [--filter TEXT]",
      "Who ran what, whether the trace is complete, and its tensors: shapes, axes, kernels and contracts.", 1,
      1);
  flags.flag("filter", "TEXT",
             "only tensors whose path contains TEXT, a line each: decode0/layer_03/softmax");
  const Given given = flags.parse(line.arguments);
  if (given.has("help"))
    streams.out << flags.help();
  else
    streams.out << inspect_trace(TraceReader(given.positional().front()), given.text("filter"));
  return 0;
}

}  // namespace greta::cli
