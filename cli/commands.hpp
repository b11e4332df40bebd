// The subcommands, each in a file of its own name.
#pragma once

#include "cli/command.hpp"

namespace greta::cli {

int run_suite(const CommandLine&, Streams&);
int explain(const CommandLine&, Streams&);
int report(const CommandLine&, Streams&);
int list(const CommandLine&, Streams&);
int model_make(const CommandLine&, Streams&);
int model_inspect(const CommandLine&, Streams&);
int trace_inspect(const CommandLine&, Streams&);
int trace_export(const CommandLine&, Streams&);
int accept(const CommandLine&, Streams&);
int compare(const CommandLine&, Streams&);
int selftest(const CommandLine&, Streams&);
int reference(const CommandLine&, Streams&);
int bench(const CommandLine&, Streams&);
int doctor(const CommandLine&, Streams&);

}  // namespace greta::cli
