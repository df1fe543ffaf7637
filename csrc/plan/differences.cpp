// Derivatives without a backward pass, to hold the backward pass against.
#include <chrono>
#include <cmath>
#include <limits>

#include "plan.h"

namespace fusednet {

// slope = (L(v + h) - L(v - h)) / 2h of the reduced loss and bend = (L(v + h) - 2 L(v) + L(v - h)) / h, the difference
// of the slopes on both sides. The element is left at v.
template <class T>
auto Plan<T>::difference(const Batch& batch, T* element, double value, double h, double at_value, Interrupt& interrupt)
    -> Difference {
    const auto set = [&](T* place, double number) {
        const T rounded = T(number);
        put(place, &rounded, 1);
    };
    double loss[2];
    for (int side = 0; side < 2; ++side) {
        set(element, side == 0 ? value + h : value - h);
        // the input is in place already: the gather would undo the change of one of its elements
        for (size_t s = 1; s < forward_.size(); ++s) run_stage(forward_[s], batch, interrupt);
        run(loss_, batch, interrupt);
        loss[side] = reduced_loss(batch);
    }
    set(element, value);
    return {(loss[0] - loss[1]) / (2.0 * h), std::fabs(loss[0] - 2.0 * at_value + loss[1]) / h};
}

// Two-sided differences at h and 2h, extrapolated (Richardson 1911), for falling h until two estimates agree: a
// truncation error falls with h, and a kink of a piecewise function is left outside. An estimate's error is how far it
// is from the one before it, and at least the rounding of the losses. Where the element sits on the
// kink itself, the bend does not fall with h: there is no derivative, and NaN says so.
template <class T>
Index Plan<T>::differences(const Rows& x, const Targets& y, Index rows, const std::string* tensor,
                           const int64_t* indices, Index count, double step, double budget_ms, double* out,
                           Interrupt& interrupt) {
    const Turn turn = use();
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double, std::milli>(budget_ms);
    const Staged staged = table_.device ? stage(x, y, 0, rows) : Staged{x, y};
    Batch batch = batch_at(staged.x, staged.y, nullptr, 0, rows);
    batch.training = true;
    const Tensor<T>* owner = nullptr;
    const View<T> view = tensor ? find(*tensor, false, &owner) : input_.data;
    const Index cols = tensor ? owner->cols : input_.cols;
    run(forward_, batch, interrupt);
    run(loss_, batch, interrupt);
    const double loss = reduced_loss(batch);
    const double size = std::fmax(1.0, std::fabs(loss));
    constexpr int levels = 4;
    Index done = 0;
    for (; done < count && (done == 0 || std::chrono::steady_clock::now() < end); ++done) {
        T* const element = view.row(indices[done] / cols) + indices[done] % cols;
        const double value = double(fetched(static_cast<const T*>(element)));
        check_device();
        double best = 0, error = INFINITY, before = 0, bend = 0;
        double h = step * std::fmax(1.0, std::fabs(value));
        bool bent = false;
        try {
            for (int level = 0; level < levels; ++level, h *= 0.1) {
                const Difference near = difference(batch, element, value, h, loss, interrupt);
                const Difference far = difference(batch, element, value, 2.0 * h, loss, interrupt);
                const double estimate = (4.0 * near.slope - far.slope) / 3.0;
                const double change = std::fabs(estimate - before);
                const double least = std::fmax(change, std::numeric_limits<double>::epsilon() * size / h);
                if (level > 0 && !(least >= error)) {
                    error = least;
                    // within rounding of each other, the wider step is the less noisy one
                    best = change <= 5e-12 * size ? before : estimate;
                }
                bent = level > 0 && near.bend > 0.5 * bend && near.bend > 1e-7 * size;
                before = estimate;
                bend = near.bend;
                if (!bent && level > 0 && change <= std::fmax(1e-9 * std::fabs(estimate), 1e-11 * size)) break;
            }
            check_device();
        } catch (...) {  // somewhere between two values
            const T held = T(value);
            put(element, &held, 1);
            check_device();
            throw;
        }
        if (interrupt.look()) break;
        if (bent) best = NAN;
        out[2 * done] = best;
        out[2 * done + 1] = error;
    }
    check_device();  // where there was no element
    return done;
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
