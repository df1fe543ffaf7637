// What Python has of a plan: its arrays by name, and the checks before each call.
#pragma once

#include <pybind11/stl.h>

#include <array>
#include <memory>

#include "../plan/plan.h"
#include "arrays.h"
#include "device_array.h"
#include "register.h"
#include "specs.h"

namespace fusednet::bindings {

class PyPlan {
public:
    explicit PyPlan(const py::dict& config) {
        check_environment();
        PlanSpec spec = plan_spec(config);
        if (!spec.float64 && spec.device == "cpu") used_table();
        plan_ = make_plan(std::move(spec));
    }

    PlanBase& plan() const { return *plan_; }
    const PlanSpec& spec() const { return plan_->spec(); }
    py::dtype dtype() const { return spec().float64 ? py::dtype::of<double>() : py::dtype::of<float>(); }

    std::vector<Index> shape_of(const std::string& name) const {
        for (const TensorInfo& info : plan_->tensors()) {
            if (info.name == name) return info.shape;
            for (const std::string& slot : info.slots)
                if (slot == name) return info.shape;
        }
        std::string known;
        for (const TensorInfo& info : plan_->tensors()) known += (known.empty() ? "" : ", ") + info.name;
        throw py::key_error("[Plan] expects one of " + known + ", got '" + name + "'");
    }

    py::array get(const std::string& name, bool gradient) const {
        py::array out(dtype(), shape_of(name));
        void* data = out.mutable_data();
        const auto read = [&] {
            const py::gil_scoped_release release;
            return plan_->read(name, gradient, data);
        };
        if (!read())
            throw py::key_error("[Plan] '" + name + "' has no gradient: it is not trainable or no loss is given");
        return out;
    }

    void set(const std::string& name, const py::array& value, bool gradient) {
        const std::vector<Index> shape = shape_of(name);
        if (!value.dtype().equal(dtype()))
            Argument{"Plan", name.c_str()}.bad_dtype(std::string(py::str(dtype())), value);
        if (std::vector<Index>(value.shape(), value.shape() + value.ndim()) != shape)
            Argument{"Plan", name.c_str()}.bad_shape(std::string(py::str(py::tuple(py::cast(shape)))), value);
        const py::array packed = py::array::ensure(value, py::array::c_style);
        const void* data = packed.data();
        const auto write = [&] {
            const py::gil_scoped_release release;
            return plan_->write(name, gradient, data);
        };
        if (!write())
            throw py::key_error("[Plan] '" + name + "' has no gradient: it is not trainable or no loss is given");
    }

    // Samples of the host, or of the device where the plan is.
    Rows samples_of(const char* op, const char* name, const Operand& a, Index rows, Index cols) const {
        if (a.device && spec().device != a.device->name)
            throw py::type_error(Argument{op, name}.where() + "an array of the host or of the plan's device '" +
                                 spec().device + "', got one " + place_text(a.device));
        Rows found = samples(op, name, a, rows, cols);
        found.there = a.device != nullptr;
        return found;
    }

    // The targets of rows begin to end of the order; labels of other rows are not looked at.
    Targets targets(const char* op, const Operand& x, const Operand& y, const py::object& weights, const int64_t* order,
                    Index begin, Index end) const {
        need_loss(op);
        const Index rows = x.shape(0);
        Targets targets;
        targets.weights = vector<double>(op, "weights", weights, rows, false);
        if (!spec().loss.labels) {
            targets.values = samples_of(op, "y", y, rows, plan_->outputs());
            if (y.device != x.device)
                throw py::type_error(Argument{op, "y"}.where() + "an array " + place_text(x.device) +
                                     " as x is, got one " + place_text(y.device));
            return targets;
        }
        const Argument argument{op, "y"};
        if (y.device)
            throw py::type_error(argument.where() + "labels of the host, got an array " + place_text(y.device));
        if (!has_type<int32_t>(y)) argument.bad_dtype("int32 labels", y);
        if (y.ndim() != 1 || y.shape(0) != rows) argument.bad_shape("(" + std::to_string(rows) + ",)", y);
        check_layout(argument, y, false);
        targets.labels = static_cast<const int32_t*>(y.data());
        for (Index i = begin; i < end; ++i) {
            const Index row = order ? Index(order[i]) : i;
            if (targets.labels[row] < 0 || targets.labels[row] >= plan_->outputs())
                argument.bad_value("labels from 0 to " + std::to_string(plan_->outputs() - 1),
                                   std::to_string(targets.labels[row]) + " in row " + std::to_string(row));
        }
        return targets;
    }

    const int64_t* order(const char* op, const py::object& order, Index begin, Index end, Index rows) const {
        if (order.is_none()) {
            check_range(op, begin, end, rows);
            return nullptr;
        }
        const auto a = py::cast<py::array>(order);
        const Argument argument{op, "order"};
        if (!has_type<int64_t>(a)) argument.bad_dtype("int64", a);
        if (a.ndim() != 1) argument.bad_shape("(n,)", a);
        check_layout(argument, a, false);
        check_range(op, begin, end, a.shape(0));
        const auto* values = static_cast<const int64_t*>(a.data());
        for (Index i = begin; i < end; ++i)
            if (values[i] < 0 || values[i] >= rows)
                argument.bad_value("rows from 0 to " + std::to_string(rows - 1), std::to_string(values[i]));
        return values;
    }

    void check_range(const char* op, Index begin, Index end, Index count) const {
        if (begin < 0 || begin > end || end > count)
            Argument{op, "begin, end"}.bad_value("0 <= begin <= end <= " + std::to_string(count),
                                                 std::to_string(begin) + ", " + std::to_string(end));
    }
    void check_batch(const char* op, Index rows) const {
        if (rows < 1 || rows > spec().batch)
            Argument{op, "batch"}.bad_value("1 to " + std::to_string(spec().batch) + " rows", std::to_string(rows));
    }
    void need_loss(const char* op) const {
        if (!spec().has_loss) throw py::value_error("[" + std::string(op) + "] expects a plan with a loss");
    }
    void need_gradients(const char* op) const {
        if (!spec().gradients) throw py::value_error("[" + std::string(op) + "] expects a plan that stores gradients");
    }
    void need_optimizer(const char* op) const {
        if (!spec().has_optimizer) throw py::value_error("[" + std::string(op) + "] expects a plan with an optimizer");
    }

    std::array<py::object, 3> held;  // the arrays that the plan may read until `release`

private:
    std::unique_ptr<PlanBase> plan_;
};

}  // namespace fusednet::bindings
