"""Each compiled kernel on NumPy arrays, for tests, benchmarks, teaching and people who write their own loop.

Arrays are float32 or float64, one type in a call; matrices are (n, c): n samples of c features. Outputs go to `out`
where it is given (its columns contiguous), else to a new array. Inputs whose columns are not contiguous are copied
first.

Arrays may lie on a device: `fusednet.DeviceArray`, or those of CuPy, PyTorch or JAX, which are taken without a copy.
All of a call have to; its work is done there, what it makes lies there, and numbers (norms, losses, the sums of
metrics) are fetched. Labels and indices may come from either side, since they are looked at on the host. The call waits
for the device. What is not side by side in its memory is an error, not a copy.

`isa` forces one of the float32 tables ("baseline", "avx2", "avx512", ...); without it the widest is used.

Beside the functions written here, each activation and each noise of the catalogue has `<name>_forward` and
`<name>_backward`, and each optimizer `<name>_update`; `help(fusednet.ops.elu_forward)` shows formula and parameters.

    >>> import numpy as np
    >>> from fusednet import ops
    >>> ops.elu_forward(np.array([-1.0, 0.5]), alpha=2.0).round(4).tolist()
    [-1.2642, 0.5]
"""

from typing import TYPE_CHECKING, Any

from fusednet.ops import _catalogue
from fusednet.ops._activations import (
    activation_backward,
    activation_forward,
    saves_output,
)
from fusednet.ops._batchnorm import (
    batchnorm_backward,
    batchnorm_forward,
    batchnorm_inference,
    batchnorm_statistics,
    moving_average,
)
from fusednet.ops._blocks import layer_norm_backward, layer_norm_forward, scaled_add
from fusednet.ops._layers import (
    column_sums,
    dense_backward,
    dense_forward,
    gather,
    gemm,
)
from fusednet.ops._losses import accuracy, loss, metric
from fusednet.ops._noise import noise_backward, noise_forward, uniform
from fusednet.ops._pools import (
    fractional_pool_regions,
    max_pool_backward,
    max_pool_forward,
    maxout_backward,
    maxout_forward,
)
from fusednet.ops._updates import (
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    constrain,
    global_norm,
    optimizer_slots,
    optimizer_update,
    penalty,
    squared_norm,
)

globals().update(_catalogue.FUNCTIONS)

__all__ = [
    "accuracy",
    "activation_backward",
    "activation_forward",
    "batchnorm_backward",
    "batchnorm_forward",
    "batchnorm_inference",
    "batchnorm_statistics",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "column_sums",
    "constrain",
    "dense_backward",
    "dense_forward",
    "fractional_pool_regions",
    "gather",
    "gemm",
    "global_norm",
    "layer_norm_backward",
    "layer_norm_forward",
    "loss",
    "max_pool_backward",
    "max_pool_forward",
    "maxout_backward",
    "maxout_forward",
    "metric",
    "moving_average",
    "noise_backward",
    "noise_forward",
    "optimizer_slots",
    "optimizer_update",
    "penalty",
    "saves_output",
    "scaled_add",
    "squared_norm",
    "uniform",
]
__all__.extend(_catalogue.FUNCTIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
