#include <pybind11/pybind11.h>

#include "register.h"

PYBIND11_MODULE(_native, m) {
    m.doc() = "Kernels and plans of fusednet.";
    m.attr("__version__") = FUSEDNET_VERSION;
    fusednet::bindings::register_device_array(m);
    fusednet::bindings::register_info(m);
    fusednet::bindings::register_plan(m);
    fusednet::bindings::register_ops_activations(m);
    fusednet::bindings::register_ops_batchnorm(m);
    fusednet::bindings::register_ops_blocks(m);
    fusednet::bindings::register_ops_layers(m);
    fusednet::bindings::register_ops_losses(m);
    fusednet::bindings::register_ops_updates(m);
}
