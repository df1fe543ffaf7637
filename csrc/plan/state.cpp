// The network's state by name, and what the plan looks like.
#include <cstdio>
#include <cstring>
#include <optional>

#include "plan.h"

namespace fusednet {

template <class T>
std::vector<TensorInfo> Plan<T>::tensors() const {
    std::vector<TensorInfo> list;
    for (const auto& t : tensors_) {
        TensorInfo info{t->name, t->layer, t->role, {}, t->trainable, {}};
        if (!t->vector) info.shape.push_back(t->rows);
        info.shape.push_back(t->cols);
        if (t->trainable && spec_.has_optimizer) {
            for (const std::string& slot : spec_.optimizer.slot_names) info.slots.push_back(t->name + "/" + slot);
            if (t->average.data) info.slots.push_back(t->name + "/average");
            if (t->accumulator.data) info.slots.push_back(t->name + "/accumulator");
        }
        list.push_back(std::move(info));
    }
    return list;
}

// The array of that name; *tensor receives the tensor it belongs to. Data is null where there is none.
template <class T>
View<T> Plan<T>::find(const std::string& name, bool gradient, const Tensor<T>** tensor) const {
    for (const auto& t : tensors_) {
        *tensor = t.get();
        if (name == t->name) return gradient ? t->gradient : t->value;
        if (!gradient && t->average.data && name == t->name + "/average") return t->average;
        if (!gradient && t->accumulator.data && name == t->name + "/accumulator") return t->accumulator;
        for (int s = 0; !gradient && t->trainable && spec_.has_optimizer && s < spec_.optimizer.slots; ++s)
            if (name == t->name + "/" + spec_.optimizer.slot_names[size_t(s)]) return {t->slot[s], t->value.ld};
    }
    return {};
}

template <class T>
bool Plan<T>::read(const std::string& name, bool gradient, void* out) {
    std::optional<Turn> turn;
    if (interrupted_update_ || table_.device) turn.emplace(use());
    const Tensor<T>* tensor = nullptr;
    const View<T> view = find(name, gradient, &tensor);
    if (!view.data) return false;
    fetch_rows(readonly(view), tensor->cols, tensor->rows, static_cast<char*>(out), tensor->cols * Index(sizeof(T)));
    check_device();
    return true;
}

template <class T>
bool Plan<T>::write(const std::string& name, bool gradient, const void* values) {
    std::optional<Turn> turn;
    if (interrupted_update_ || table_.device) turn.emplace(use());
    const Tensor<T>* tensor = nullptr;
    const View<T> view = find(name, gradient, &tensor);
    if (!view.data) return false;
    put_rows(view, tensor->cols, tensor->rows, static_cast<const T*>(values));
    check_device();
    return true;
}

std::string product_text(const Table<float>& table, Precision precision) {
    if (precision == Precision::highest) return "float32";
    const bool high = precision == Precision::high;
    const std::string name = std::string("'") + precision_names[int(precision)] + "'";
    if (table.device && !table.device->library())
        return "float32 (" + name + " asked; no library for large products is in use)";
    if (table.device)
        return "where they are large, " + std::string(high ? "three of TF32 (" : "bfloat16 (") + name + ")";
    if (table.reduced[int(precision)]) return std::string(high ? "three of bfloat16 (" : "bfloat16 (") + name + ")";
    const std::string why = high && table.reduced[int(Precision::medium)]
                                ? "three products of bfloat16 pay with AMX only"
                                : std::string("the ") + table.name + " kernels have none of bfloat16";
    return "float32 (" + name + " asked; " + why + ")";
}

template <class T>
std::string Plan<T>::describe() const {
    std::string text;
    char line[256];
    const auto print = [&](auto... args) {
        std::snprintf(line, sizeof line, args...);
        text += line;
    };
    print("plan: %s, kernels %s, batch %td, %td -> %td\n", spec_.float64 ? "float64" : "float32", table_.name,
          spec_.batch, spec_.features, output_.cols);
    if constexpr (sizeof(T) == sizeof(float))
        text += "products: " + product_text(table_, spec_.precision) + "\n";
    else
        text += "products: float64\n";
    print("%-10s %5s %6s  %-9s %6s  %s\n", "pass", "stage", "tasks", "split", "MFLOP", "steps, without a wait between");
    int number = 0;
    const auto list = [&](const char* pass, const Stages& stages) {
        for (const Stage<T>& stage : stages) {
            double work = 0;
            std::string labels;
            for (const auto& step : stage.steps) {
                work += step->work(spec_.batch);
                labels += (labels.empty() ? "" : "; ") + step->label + " (" + std::to_string(step->cols) + ")";
            }
            const auto& first = *stage.steps.front();
            print("%-10s %5d %6td  %-9s %6.2f  ", pass, ++number, first.tasks(spec_.batch),
                  first.split == Split::rows ? "rows" : "columns", work / 1e6);
            text += labels + "\n";
        }
    };
    list("forward", forward_);
    list("loss", loss_);
    list("backward", backward_);
    if (spec_.has_optimizer)
        print("%-10s %5d %6zu  %-9s %6s  clip, optimizer and moving averages\n", "update", ++number, chunks_.size(),
              "chunks", "");
    list("predict", head_);
    const auto mib = [](size_t bytes) { return double(bytes) / (1024.0 * 1024.0); };
    if (table_.device && spec_.has_optimizer) {
        const double small = capturable() ? small_step(spec_.batch) : 0.0;
        const OnChip chip = on_chip(small);
        text += small > 0 ? "steps: many in one launch" : "steps: a launch for each kernel";
        if (chip.memory)
            print(", %.1f KiB of activations%s on the chip", 1024.0 * mib(chip.bytes),
                  chip.gradients ? " and gradients" : "");
        text += "\n";
    }
    print("arena: %.2f MiB = parameters %.2f + gradients %.2f + slots %.2f + activations %.2f + scratch %.2f\n",
          mib(arena_.bytes()), mib(arena_.bytes(Use::parameters)), mib(arena_.bytes(Use::gradients)),
          mib(arena_.bytes(Use::slots)), mib(arena_.bytes(Use::activations)), mib(arena_.bytes(Use::scratch)));
    return text;
}

template class Plan<float>;
template class Plan<double>;

}  // namespace fusednet
