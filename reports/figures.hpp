// Tables of what probes measured beside their verdicts (Finding::figures): a row a place and arm, so that
// arms stand beside each other, a column a figure.
#pragma once

#include <string>
#include <vector>

#include "reports/summary.hpp"

namespace greta::reports {

struct FigureTable {
  Message title;  // the probe, and the columns that are the same in all rows: "v_layout, layer 5"
  std::vector<Message> header;
  size_t names = 0;  // of the columns: those that say which place and arm; the others are figures
  struct Row {
    std::vector<std::string> cells;                // of a whole tensor the column `of` is empty
    probes::Status status = probes::Status::pass;  // the worst of the findings in it
  };
  std::vector<Row> rows;
  int64_t left_out = 0;  // rows that `most` had no room for
};

// One a probe (and mode) that has figures; of more than `most` rows (0: all) those of places where an arm
// does not pass come first, whole tensors before their parts.
std::vector<FigureTable> figure_tables(const RunResult& run, size_t most);

// Where two phases part: rows cases and arms, columns the mean error of each stage, the first stage that is
// out of bound, and the wrong side there. Empty when no probe has figures `mae` and `wrong_side`.
std::vector<FigureTable> divergence_tables(const RunResult& run, size_t most);

// What a report shows: where phases part, the stages beside each other and not below each other; else the
// figures of each probe.
std::vector<FigureTable> measured_tables(const RunResult& run, size_t most);

}  // namespace greta::reports
