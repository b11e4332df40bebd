// greta trace export: a trace in a format that other programs read.
#include <fmt/format.h>

#include <filesystem>
#include <ostream>

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "datasets/error.hpp"
#include "reports/table.hpp"
#include "reports/trace_jsonl.hpp"

namespace greta::cli {
namespace {

namespace fs = std::filesystem;

Options options() {
  Options options(
      "greta trace export RUN [--format jsonl] [-o FILE]",
      "The trace of a run (its directory, or a trace.h5) as text, a line a tensor, in the vocabulary "
      "of the engine's original\nstage traces: phase, point, layer, hash, min, max, mean, sample.",
      1, 1);
  options.flag("format", "jsonl", "of the export (default jsonl)")
      .flag("out,o", "FILE", "where to (default: trace.jsonl beside the trace; - is the standard output)")
      .flag("force,f", "", "overwrite FILE");
  return options;
}

std::string trace_of(const std::string& run) {
  if (!fs::is_directory(run)) return run;
  const fs::path trace = fs::path(run) / "trace.h5";
  if (!fs::exists(trace)) fail_input("{} has no trace.h5; run it without --no-trace", run);
  return trace;
}

}  // namespace

int trace_export(const CommandLine& line, Streams& streams) {
  const Options flags = options();
  const Given given = flags.parse(line.arguments);
  if (given.has("help")) {
    streams.out << flags.help();
    return 0;
  }
  given.one_of("format", {"jsonl"}, "jsonl");
  const fs::path path = trace_of(given.positional().front());
  const std::string out = given.text("out", fs::path(path).replace_extension(".jsonl"));
  if (out != "-" && fs::exists(out) && !given.has("force"))
    fail_usage("'{}' exists; overwrite it with --force", out);
  const TraceReader trace(path);
  if (out == "-") {
    reports::trace_jsonl(trace, [&](std::string_view text) { streams.out << text; });
    return 0;
  }
  const int64_t tensors = reports::write_trace_jsonl(trace, out);
  streams.out << fmt::format("wrote  {}: {} tensors{}\n", out, reports::grouped(tensors),
                             trace.complete() ? "" : " of a trace that is incomplete");
  return 0;
}

}  // namespace greta::cli
