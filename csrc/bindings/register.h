#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "../base/table.h"

namespace fusednet::bindings {

void register_info(pybind11::module_& m);
void register_plan(pybind11::module_& m);
void register_ops_activations(pybind11::module_& m);
void register_ops_blocks(pybind11::module_& m);
void register_ops_layers(pybind11::module_& m);
void register_ops_losses(pybind11::module_& m);
void register_ops_updates(pybind11::module_& m);

// How many numbers a metric sums, and how many more for each output.
struct MetricSums {
    Index fixed, per_output;
};
MetricSums metric_sums(Metric row);

// The row's slots and hyper-parameters (learning rate first), in order.
std::vector<std::string> optimizer_slots(Optimizer row);
std::vector<std::string> optimizer_hyper(Optimizer row);

}  // namespace fusednet::bindings
