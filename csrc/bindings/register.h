#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <vector>

#include "../base/schedules.h"
#include "../base/table.h"

namespace fusednet::bindings {

void register_device_array(pybind11::module_& m);
void register_info(pybind11::module_& m);
void register_plan(pybind11::module_& m);
void register_ops_activations(pybind11::module_& m);
void register_ops_batchnorm(pybind11::module_& m);
void register_ops_blocks(pybind11::module_& m);
void register_ops_layers(pybind11::module_& m);
void register_ops_losses(pybind11::module_& m);
void register_ops_updates(pybind11::module_& m);

// Raises ValueError where the environment asks for a number of threads that is none.
void check_environment();

// How many numbers a metric sums, and how many more for each output.
struct MetricSums {
    Index fixed, per_output;
};
MetricSums metric_sums(Metric row);

// The row's slots and hyper-parameters (learning rate first), in order.
std::vector<std::string> optimizer_slots(Optimizer row);
std::vector<std::string> optimizer_hyper(Optimizer row);
// What the row's slots hold before the first step; hyper as long as the row wants it.
std::vector<double> optimizer_first_values(Optimizer row, const std::vector<double>& hyper);

std::vector<std::string> schedule_params(Schedule row);
// The schedule of that name, for which the number of parameters is right.
Schedule checked_schedule(const char* op, const std::string& name, const std::vector<double>& params);

}  // namespace fusednet::bindings
