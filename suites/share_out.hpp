// Independent tasks over several workers, with results in the tasks' own order.
#pragma once

#include <cstddef>
#include <functional>

namespace greta::suites {

// Each task once, on whichever worker is free, a thread a worker (one worker: this thread). finished(task) is
// called for each task that began, one call at a time, in the order of the tasks. After the first error (of
// work or of finished) no further task begins; those that run are waited for, and it is thrown.
void share_out(size_t workers, size_t tasks, const std::function<void(size_t worker, size_t task)>& work,
               const std::function<void(size_t task)>& finished);

}  // namespace greta::suites
