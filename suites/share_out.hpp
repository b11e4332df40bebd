// Independent tasks over several workers, with results in the tasks' own order.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace greta::suites {

// Each task once, on whichever worker is free, a thread a worker (one worker: this thread). A task has a
// group; since a group costs a worker something to begin, it stays with its own while that has tasks, then
// takes one that nobody is at, and helps another last. finished(task) is called for each task that began, one
// call at a time, in the order of the tasks; the other workers go on meanwhile. After the first error (of
// work or of finished) no further task begins; those that run are waited for, and it is thrown.
void share_out(size_t workers, const std::vector<size_t>& group_of_task,
               const std::function<void(size_t worker, size_t task)>& work,
               const std::function<void(size_t task)>& finished);

}  // namespace greta::suites
