#include "suites/share_out.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <numeric>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

namespace greta::suites {
namespace {

std::vector<size_t> first(size_t count) {
  std::vector<size_t> out(count);
  std::iota(out.begin(), out.end(), size_t{0});
  return out;
}

TEST(ShareOut, ReportsEveryTaskOnceInItsOrder) {
  const auto seed = std::random_device()();
  SCOPED_TRACE(seed);
  for (const size_t workers : {1u, 2u, 5u}) {
    std::vector<std::atomic<int>> runs(40);
    std::vector<size_t> reported;
    share_out(
        workers, runs.size(),
        [&](size_t, size_t task) {
          std::mt19937 random(seed + static_cast<unsigned>(task));
          std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
          ++runs[task];
        },
        [&](size_t task) { reported.push_back(task); });
    for (const auto& count : runs) EXPECT_EQ(count, 1);
    EXPECT_EQ(reported, first(runs.size()));
  }
}

TEST(ShareOut, WorkersWorkAtTheSameTimeEachOnATaskOfItsOwn) {
  std::latch both(2);  // a single worker would wait here for ever
  std::vector<size_t> worker_of(2);
  share_out(
      2, 2,
      [&](size_t worker, size_t task) {
        worker_of[task] = worker;
        both.arrive_and_wait();
      },
      [](size_t) {});
  EXPECT_NE(worker_of[0], worker_of[1]);
}

TEST(ShareOut, AReportKeepsNobodyFromTheNextTask) {
  std::latch last_began(1);  // a worker that had to wait for the report would never get there
  std::vector<size_t> reported;
  share_out(
      2, 3,
      [&](size_t, size_t task) {
        if (task == 2) last_began.count_down();
      },
      [&](size_t task) {
        if (task == 0) last_began.wait();
        reported.push_back(task);
      });
  EXPECT_EQ(reported, first(3));
}

TEST(ShareOut, OneWorkerIsTheCallersThread) {
  const auto here = std::this_thread::get_id();
  share_out(
      1, 3, [&](size_t, size_t) { EXPECT_EQ(std::this_thread::get_id(), here); }, [](size_t) {});
}

TEST(ShareOut, AnErrorEndsItAndWhatBeganIsReported) {
  for (const size_t workers : {1u, 3u}) {
    std::vector<size_t> reported;
    std::atomic<size_t> begun = 0;
    EXPECT_THROW(share_out(
                     workers, 100,
                     [&](size_t, size_t task) {
                       ++begun;
                       if (task == 4) throw std::runtime_error("the fourth");
                       std::this_thread::sleep_for(std::chrono::milliseconds(1));
                     },
                     [&](size_t task) { reported.push_back(task); }),
                 std::runtime_error);
    EXPECT_EQ(reported, first(begun));
    EXPECT_GE(begun, 5u);
    EXPECT_LT(begun, 100u);
  }
}

TEST(ShareOut, AnErrorOfTheReportEndsItToo) {
  size_t begun = 0;
  EXPECT_THROW(share_out(
                   1, 10, [&](size_t, size_t) { ++begun; },
                   [](size_t task) {
                     if (task == 2) throw std::runtime_error("no space");
                   }),
               std::runtime_error);
  EXPECT_EQ(begun, 3u);
}

}  // namespace
}  // namespace greta::suites
