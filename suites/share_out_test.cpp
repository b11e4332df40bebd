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
    std::vector<size_t> reported, groups(runs.size());
    for (size_t i = 0; i < groups.size(); ++i) groups[i] = i / 7;
    share_out(
        workers, groups,
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
      2, {0, 0},
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
      2, {0, 0, 0},
      [&](size_t, size_t task) {
        if (task == 2) last_began.count_down();
      },
      [&](size_t task) {
        if (task == 0) last_began.wait();
        reported.push_back(task);
      });
  EXPECT_EQ(reported, first(3));
}

TEST(ShareOut, AWorkerStaysWithItsGroupAndHelpsLast) {
  const std::vector<size_t> groups = {0, 0, 0, 1, 1, 1, 1, 1, 1};
  std::latch both_began(2), fifth_began(1), first_group_done(1);
  std::vector<size_t> worker_of(groups.size());
  std::vector<size_t> reported;
  share_out(
      2, groups,
      [&](size_t worker, size_t task) {
        worker_of[task] = worker;
        if (task == 0 || task == 3) both_began.arrive_and_wait();
        if (task == 2) fifth_began.wait(), first_group_done.count_down();
        if (task == 4) fifth_began.count_down(), first_group_done.wait();
        if (task == 5) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      },
      [&](size_t task) { reported.push_back(task); });
  EXPECT_NE(worker_of[0], worker_of[3]);
  for (const size_t task : {1u, 2u}) EXPECT_EQ(worker_of[task], worker_of[0]);
  EXPECT_EQ(worker_of[4], worker_of[3]);
  // While one is at task 5 the other, whose group has ended, does what is left, or the other way round.
  EXPECT_TRUE(worker_of[6] == worker_of[0] || worker_of[5] == worker_of[0]);
  EXPECT_EQ(reported, first(groups.size()));
}

TEST(ShareOut, AfterAnErrorWhatBeganBehindAGapIsReported) {
  std::latch both_began(2);
  std::vector<size_t> reported;
  EXPECT_THROW(share_out(
                   2, {0, 0, 1, 1},
                   [&](size_t, size_t task) {
                     both_began.arrive_and_wait();
                     if (task == 0) throw std::runtime_error("the first");
                     std::this_thread::sleep_for(std::chrono::milliseconds(50));
                   },
                   [&](size_t task) { reported.push_back(task); }),
               std::runtime_error);
  EXPECT_EQ(reported, (std::vector<size_t>{0, 2}));
}

TEST(ShareOut, OneWorkerIsTheCallersThread) {
  const auto here = std::this_thread::get_id();
  share_out(
      1, {0, 0, 0}, [&](size_t, size_t) { EXPECT_EQ(std::this_thread::get_id(), here); }, [](size_t) {});
}

TEST(ShareOut, AnErrorEndsItAndWhatBeganIsReported) {
  for (const size_t workers : {1u, 3u}) {
    std::vector<size_t> reported;
    std::atomic<size_t> begun = 0;
    EXPECT_THROW(share_out(
                     workers, std::vector<size_t>(100),
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
                   1, std::vector<size_t>(10), [&](size_t, size_t) { ++begun; },
                   [](size_t task) {
                     if (task == 2) throw std::runtime_error("no space");
                   }),
               std::runtime_error);
  EXPECT_EQ(begun, 3u);
}

}  // namespace
}  // namespace greta::suites
