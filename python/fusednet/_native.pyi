"""Types of the compiled module. `fusednet.ops` and `fusednet.models` are its public faces."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__version__: str

Array = NDArray[Any]
Config = Mapping[str, Any]

def activation_rows() -> list[dict[str, Any]]: ...
def loss_rows() -> list[dict[str, Any]]: ...
def metric_rows() -> list[dict[str, Any]]: ...
def constraint_rows() -> list[dict[str, Any]]: ...
def noise_rows() -> list[dict[str, Any]]: ...
def schedule_rows() -> list[dict[str, Any]]: ...
def optimizer_rows() -> list[dict[str, Any]]: ...
def isa_info() -> dict[str, Any]: ...
def get_num_threads() -> int: ...
def streamed_bytes() -> int: ...
def set_num_threads(count: int) -> None: ...
def cgroup_cpus(groups: str, root: str) -> int: ...

@final
class Sharing:
    def __init__(self) -> None: ...
    def begin(self, rows: int) -> bool: ...
    def end(self, ns: int, helped: bool) -> None: ...

def cuda_info() -> dict[str, Any]: ...
def set_package_folders(folders: list[str]) -> None: ...
def device_names() -> list[str]: ...
def why_no_device(name: str) -> str: ...
def random_uniform(seed: int, stream: int, count: int) -> NDArray[np.float64]: ...
def random_normal(seed: int, stream: int, count: int) -> NDArray[np.float64]: ...
def permutation(seed: int, stream: int, count: int) -> NDArray[np.int64]: ...
def first_nonfinite_row(x: Array) -> int: ...

@final
class DeviceArray:
    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def device(self) -> str: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def itemsize(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def c_contiguous(self) -> bool: ...
    @property
    def writeable(self) -> bool: ...
    @property
    def T(self) -> DeviceArray: ...
    def numpy(self) -> Array: ...
    def reshape(self, *shape: Any) -> DeviceArray: ...
    def __getitem__(self, rows: slice) -> DeviceArray: ...
    def __len__(self) -> int: ...
    def __array__(self, *args: Any, **kwargs: Any) -> Array: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...

def device_array(values: Array, device: str) -> DeviceArray: ...
def device_empty(shape: Sequence[int], dtype: np.dtype[Any], like: DeviceArray) -> DeviceArray: ...
def keep_device_memory(device: str, bytes: int) -> None: ...
def trim_devices() -> None: ...
def idle_device_queues() -> int: ...
def kept_device_memory(device: str) -> int: ...
def as_device_array(where: str, value: object) -> DeviceArray | None: ...

@final
class Plan:
    def __init__(self, config: Config) -> None: ...
    @property
    def dtype(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def features(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def step(self) -> int: ...
    @step.setter
    def step(self, value: int) -> None: ...
    @property
    def passes(self) -> int: ...
    @passes.setter
    def passes(self, value: int) -> None: ...
    @property
    def pending(self) -> int: ...
    @pending.setter
    def pending(self, value: int) -> None: ...
    @property
    def device(self) -> str: ...
    @property
    def programmed(self) -> int: ...
    @property
    def kernels(self) -> int: ...
    @property
    def interrupted_update(self) -> bool: ...
    @property
    def learning_rate(self) -> float: ...
    @learning_rate.setter
    def learning_rate(self, value: float) -> None: ...
    def describe(self) -> str: ...
    def __str__(self) -> str: ...
    def tensors(self) -> list[dict[str, Any]]: ...
    def get(self, name: str) -> Array: ...
    def set(self, name: str, value: Array) -> None: ...
    def gradient(self, name: str) -> Array: ...
    def set_gradient(self, name: str, value: Array) -> None: ...
    def train(
        self,
        x: Array,
        y: Array,
        order: NDArray[np.int64] | None,
        begin: int,
        end: int,
        batch: int,
        budget_ms: float,
        weights: Array | None = None,
    ) -> dict[str, Any]: ...
    def train_epochs(
        self,
        x: Array,
        y: Array,
        seed: int | None,
        stream: int,
        epochs: int,
        batch: int,
        weights: Array | None,
        results: dict[str, Any],
    ) -> None: ...
    def recalibrate(self, x: Array, begin: int, end: int) -> dict[str, Any]: ...
    def hold(self, x: Array, y: Array, weights: Array | None = ...) -> None: ...
    def release(self) -> None: ...
    def compute_gradients(
        self, x: Array, y: Array, input_gradient: Array | None, weights: Array | None = None
    ) -> dict[str, Any]: ...
    def apply_gradients(self) -> dict[str, Any]: ...
    def evaluate(
        self,
        x: Array,
        y: Array,
        begin: int,
        end: int,
        budget_ms: float,
        training: bool,
        weights: Array | None = None,
    ) -> dict[str, Any]: ...
    def predict(self, x: Array, out: Array, begin: int, end: int, budget_ms: float) -> int: ...
    def differences(
        self,
        x: Array,
        y: Array,
        name: str | None,
        indices: NDArray[np.int64],
        step: float,
        budget_ms: float,
        weights: Array | None = None,
    ) -> Array: ...
    def kinks(self, x: Array, y: Array, weights: Array | None = None) -> list[tuple[str, int]]: ...

def gemm(
    a: Array,
    b: Array,
    out: Array,
    bias: Array | None = None,
    accumulate: bool = False,
    activation: str | None = None,
    params: Sequence[float] = (),
    isa: str | None = None,
    slope: Array | None = None,
    precision: str = "highest",
) -> None: ...
def ready_activation_forward(row: int, params: Sequence[float], x: object, out: object, slope: object, /) -> bool: ...
def ready_activation_backward(row: int, params: Sequence[float], dy: object, saved: object, out: object, /) -> bool: ...
def ready_batchnorm_forward(
    row: int,
    params: Sequence[float],
    x: object,
    mean: object,
    variance: object,
    gamma: object,
    beta: object,
    out: object,
    epsilon: float,
    /,
) -> bool: ...
def ready_gemm(a: object, b: object, bias: object, out: object, /) -> bool: ...
def ready_batchnorm_backward(
    row: int,
    params: Sequence[float],
    dy: object,
    x: object,
    y: object,
    mean: object,
    variance: object,
    gamma: object,
    beta: object,
    out: object,
    dgamma: object,
    dbeta: object,
    epsilon: float,
    /,
) -> bool: ...
def ready_optimizer_update(
    row: int,
    w: object,
    g: object,
    slots: Sequence[object],
    step: int,
    hyper: Sequence[float],
    scale: float,
    clip_value: float | None,
    decay: float,
    /,
) -> bool: ...
def activation_forward(
    x: Array,
    out: Array,
    activation: str,
    params: Sequence[float] = (),
    isa: str | None = None,
    slope: Array | None = None,
) -> None: ...
def activation_backward(
    dy: Array,
    saved: Array,
    out: Array,
    activation: str,
    params: Sequence[float] = (),
    isa: str | None = None,
    slope: Array | None = None,
    dslope: Array | None = None,
) -> None: ...
def batchnorm_statistics(x: Array, mean: Array, variance: Array, isa: str | None = None) -> None: ...
def batchnorm_forward(
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None,
    beta: Array | None,
    out: Array,
    epsilon: float = 1e-3,
    activation: str = "linear",
    params: Sequence[float] = (),
    isa: str | None = None,
    slope: Array | None = None,
    own: bool = False,
) -> None: ...
def batchnorm_backward(
    dy: Array,
    x: Array,
    y: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None,
    beta: Array | None,
    out: Array,
    dgamma: Array | None,
    dbeta: Array | None,
    epsilon: float = 1e-3,
    activation: str = "linear",
    params: Sequence[float] = (),
    training: bool = True,
    isa: str | None = None,
    slope: Array | None = None,
    dslope: Array | None = None,
) -> None: ...
def moving_average(moving: Array, value: Array, momentum: float, isa: str | None = None) -> None: ...
def column_sums(x: Array, out: Array, isa: str | None = None) -> None: ...
def loss(
    name: str,
    x: Array,
    target: Array,
    y: Array | None = None,
    dx: Array | None = None,
    scale: float = 1.0,
    params: Sequence[float] = (),
    weights: Array | None = None,
    isa: str | None = None,
) -> float: ...
def metric(
    name: str,
    x: Array,
    target: Array,
    sums: NDArray[np.float64],
    params: Sequence[float] = (),
    isa: str | None = None,
) -> None: ...
def smooth_targets(
    targets: Array,
    smoothing: float,
    binary: bool = False,
    labels: NDArray[np.int32] | None = None,
    isa: str | None = None,
) -> None: ...
def optimizer_scalars(optimizer: str, step: int, hyper: Sequence[float]) -> list[float]: ...
def optimizer_first_values(optimizer: str, hyper: Sequence[float]) -> list[float]: ...
def optimizer_update(
    optimizer: str,
    w: Array,
    g: Array,
    slots: Sequence[Array],
    step: int,
    hyper: Sequence[float],
    scale: float = 1.0,
    clip_value: float | None = None,
    isa: str | None = None,
    decay: float = 0.0,
    average: Array | None = None,
    average_momentum: float = 0.0,
) -> None: ...
def constrain(name: str, w: Array, params: Sequence[float] = (), isa: str | None = None) -> None: ...
def penalty(w: Array, l1: float, l2: float, isa: str | None = None) -> float: ...
def penalty_gradient(w: Array, g: Array, l1: float, l2: float, isa: str | None = None) -> float: ...
def accumulate(sum: Array, g: Array, scale: float, isa: str | None = None) -> float: ...
def schedule_value(name: str, params: Sequence[float], step: float) -> float: ...
def squared_norm(x: Array, isa: str | None = None) -> float: ...
def gather(src: Array, order: NDArray[np.int64] | None, out: Array, isa: str | None = None) -> None: ...
def noise_forward(
    x: Array,
    out: Array,
    noise: str,
    params: Sequence[float],
    seed: int,
    stream: int,
    first_row: int,
    first_col: int,
    width: int,
    isa: str | None = None,
) -> None: ...
def noise_backward(
    dy: Array,
    out: Array,
    noise: str,
    params: Sequence[float],
    seed: int,
    stream: int,
    first_row: int,
    first_col: int,
    width: int,
    isa: str | None = None,
) -> None: ...
def uniform(
    out: Array,
    low: float,
    high: float,
    seed: int,
    stream: int,
    first_row: int,
    first_col: int,
    width: int,
    isa: str | None = None,
) -> None: ...
def layernorm_forward(
    x: Array,
    gamma: Array | None,
    beta: Array | None,
    out: Array,
    mean: Array,
    inverse: Array,
    epsilon: float = 1e-3,
    isa: str | None = None,
) -> None: ...
def layernorm_backward(
    dy: Array, x: Array, gamma: Array | None, mean: Array, inverse: Array, out: Array, isa: str | None = None
) -> None: ...
def layernorm_gradients(
    dy: Array,
    x: Array,
    mean: Array,
    inverse: Array,
    dgamma: Array | None,
    dbeta: Array | None,
    isa: str | None = None,
) -> None: ...
def maxout_forward(x: Array, out: Array, isa: str | None = None) -> None: ...
def maxout_backward(dy: Array, x: Array, y: Array, out: Array, isa: str | None = None) -> None: ...
def pool_forward(
    x: Array,
    rows: NDArray[np.int32],
    cols: NDArray[np.int32],
    out: Array,
    argmax: NDArray[np.int32] | None,
    height: int,
    width: int,
    channels: int,
    isa: str | None = None,
) -> None: ...
def pool_backward(dy: Array, argmax: NDArray[np.int32], out: Array, isa: str | None = None) -> None: ...
def fractional_pool_regions(
    size: int, out_size: int, overlapping: bool, pseudo_random: bool, seed: int | None, stream: int
) -> NDArray[np.int32]: ...
def scaled_add(a: Array | None, b: Array, scale: Array | None, out: Array, isa: str | None = None) -> None: ...
