#include "sharing.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <iterator>

#include "pool.h"

namespace fusednet {
namespace {

// The least of so many steps counts, in a trial and before it; a step shared has to be faster by one part in
// least_gain; long steps are always shared.
constexpr int trial_steps = 4, least_gain = 20;
constexpr double long_step = 5e6;
// Trials are at least first_interval steps apart, and twice as many each time that nothing has changed, at most so many
// nanoseconds: fewer while steps are not shared, since a core that was taken comes back.
constexpr double longest_shared = 500e6, longest_alone = 50e6;
// Unless the least of so many steps is so many times that of as many before: something has changed.
constexpr int watched_steps = 16;
constexpr double changed = 1.2;

int64_t now() noexcept {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Sharing::Step::Step(Sharing& sharing, Index rows) noexcept : sharing_(get_num_threads() > 1 ? &sharing : nullptr) {
    if (!sharing_) return;
    share_tasks(sharing.begin(rows));
    began_ = now();
}

Sharing::Step::~Step() {
    if (!sharing_) return;
    sharing_->end(now() - began_, had_help());
    share_tasks(true);
}

bool Sharing::begin(Index rows) noexcept {
    rows_ = std::max<Index>(rows, 1);
    current_ = kinds_ + std::min(int(std::bit_width(uint64_t(rows_))) - 1, int(std::size(kinds_)) - 1);
    return current_->begin();
}

void Sharing::end(int64_t ns, bool helped) noexcept {
    current_->end(rows_, ns, helped);
}

void Sharing::Kind::end(Index rows, int64_t ns, bool helped) noexcept {
    if (begin() && !helped) return;
    const double of_row = double(ns) / double(rows);
    if (!trying_) watch(of_row);
    // the first step of a trial moves the data to where it is used
    least_ = left_ >= trial_steps ? of_row : std::min(of_row, least_);
    if (--left_ == 0) decide(rows);
}

void Sharing::Kind::restart() noexcept {
    pays_ = true;
    trying_ = false;
    left_ = interval_ = first_interval;
    watched_ = 0;
    expected_ = 0;
}

// A host may move the cores of a virtual machine apart, or together.
void Sharing::Kind::watch(double of_row) noexcept {
    watched_least_ = watched_ == 0 ? of_row : std::min(of_row, watched_least_);
    if (++watched_ < watched_steps) return;
    watched_ = 0;
    if (expected_ > 0 && (watched_least_ > changed * expected_ || expected_ > changed * watched_least_)) {
        left_ = std::min(left_, trial_steps);
        interval_ = first_interval;
    }
    expected_ = watched_least_;
}

void Sharing::Kind::decide(Index rows) noexcept {
    if (!trying_) {
        if (least_ * double(rows) > long_step) return restart();
        usual_ = least_;
        trying_ = true;
        left_ = trial_steps + 1;
        return;
    }
    const double shared = pays_ ? usual_ : least_, single = pays_ ? least_ : usual_;
    const bool pays = shared < single - single / least_gain;
    interval_ = pays == pays_ ? std::min(2 * interval_, 1 << 24) : first_interval;
    if (pays != pays_) watched_ = 0, expected_ = 0;
    pays_ = pays;
    trying_ = false;
    const double longest = (pays ? longest_shared / shared : longest_alone / single) / double(rows);
    if (interval_ > longest) interval_ = std::max(int(longest), first_interval);
    left_ = interval_;
}

}  // namespace fusednet
