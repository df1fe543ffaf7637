// Whether the steps of a plan end sooner with the workers' help. What threads pass each other through their caches can
// cost more than they save: a step of 27 us took 28 with a second thread, and 83 where a virtual machine had its two
// cores far apart (Zen 4, GCC 12, November 2026). So both are tried, now and then.
#pragma once

#include "../base/table.h"

namespace fusednet {

class Sharing {
public:
    // One step of so many rows; until its end this thread's tasks are shared, or not.
    class Step {
    public:
        Step(Sharing& sharing, Index rows) noexcept;
        ~Step();
        Step(const Step&) = delete;
        Step& operator=(const Step&) = delete;

    private:
        Sharing* sharing_;  // null: one thread is all there is
        int64_t began_ = 0;
    };

    // Whether a step of so many rows is to be shared.
    bool begin(Index rows) noexcept;
    // That step took so long. Not helped: no worker was counted on for some of it, or one was late. What it took says
    // nothing of sharing then, and the pool sees to it that it costs little.
    void end(int64_t ns, bool helped) noexcept;

private:
    // Steps of like sizes: what is found for one of them holds for all. Times are those of a row.
    class Kind {
    public:
        bool begin() const noexcept { return pays_ != trying_; }
        void end(Index rows, int64_t ns, bool helped) noexcept;

    private:
        void restart() noexcept;
        void watch(double of_row) noexcept;
        void decide(Index rows) noexcept;

        static constexpr int first_interval = 32;

        bool pays_ = true;               // what was found
        bool trying_ = false;            // the other way, now
        int left_ = first_interval;      // steps until that changes
        int interval_ = first_interval;  // between two trials
        double least_ = 0, usual_ = 0;   // ns
        int watched_ = 0;                // steps the usual way since the last look at them
        double watched_least_ = 0, expected_ = 0;
    };

    Kind kinds_[24];  // 1 row, 2 or 3, 4 to 7, ...
    Kind* current_ = kinds_;
    Index rows_ = 1;
};

}  // namespace fusednet
