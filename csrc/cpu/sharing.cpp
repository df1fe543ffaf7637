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
constexpr int64_t long_step = 5'000'000;
// Trials are at least so many steps apart, and twice as many each time that nothing has changed, at most so many
// nanoseconds: fewer while steps are not shared, since a core that was taken comes back.
constexpr int first_interval = 32;
constexpr int64_t longest_shared = 500'000'000, longest_alone = 50'000'000;
constexpr int new_size = 4;  // steps of another size of the same kind, one after the other, that start anew

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
    const int kind = rows < 1 ? 0 : int(std::bit_width(uint64_t(rows))) - 1;
    current_ = kinds_ + std::min(kind, int(std::size(kinds_)) - 1);
    return current_->begin(rows);
}

void Sharing::end(int64_t ns, bool helped) noexcept {
    current_->end(ns, helped);
}

bool Sharing::Kind::begin(Index rows) noexcept {
    strangers_ = rows == rows_ ? 0 : strangers_ + 1;
    if (rows_ < 0 || strangers_ >= new_size) {
        rows_ = rows;
        restart();
    }
    // the last rows of an epoch go by what was found for the others, if they are of their kind
    return pays_ != (trying_ && strangers_ == 0);
}

void Sharing::Kind::end(int64_t ns, bool helped) noexcept {
    if (strangers_ > 0) return;
    if (ns > long_step) return restart();
    if (pays_ != trying_ && !helped) return;
    // the first step of a trial moves the data to where it is used
    least_ = left_ >= trial_steps ? ns : std::min(ns, least_);
    if (--left_ == 0) decide();
}

void Sharing::Kind::restart() noexcept {
    strangers_ = 0;
    pays_ = true;
    trying_ = false;
    left_ = interval_ = first_interval;
}

void Sharing::Kind::decide() noexcept {
    trying_ = !trying_;
    if (trying_) {
        usual_ = least_;
        left_ = trial_steps + 1;
        return;
    }
    const int64_t shared = pays_ ? usual_ : least_, single = pays_ ? least_ : usual_;
    const bool pays = shared < single - single / least_gain;
    interval_ = pays == pays_ ? 2 * interval_ : first_interval;
    pays_ = pays;
    const int64_t longest = (pays ? longest_shared : longest_alone) / std::max<int64_t>(pays ? shared : single, 1);
    left_ = interval_ = int(std::clamp<int64_t>(longest, first_interval, interval_));
}

}  // namespace fusednet
