"""Makes the pool of threads known to threadpoolctl, whichever of the two packages is imported first."""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from fusednet import _native

_NAME = "threadpoolctl"


def register(module: ModuleType) -> None:
    """Give a loaded threadpoolctl (3.2 or newer) the means to read and limit the number of threads."""
    if not hasattr(module, "register"):
        return

    class FusednetController(module.LibController):  # type: ignore[misc, name-defined]
        user_api = internal_api = "fusednet"
        filename_prefixes = ("_native.",)
        check_symbols = ("fusednet_get_num_threads", "fusednet_set_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.fusednet_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.fusednet_set_num_threads(num_threads)

        def get_version(self) -> str:
            return _native.__version__

    module.register(FusednetController)


class _Finder:
    """Registers when threadpoolctl is imported: importing it here would cost those who do not use it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                register(module)

            spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def watch() -> None:
    """Register now if threadpoolctl is loaded, or else when it will be."""
    if _NAME in sys.modules:
        register(sys.modules[_NAME])
    else:
        sys.meta_path.insert(0, _Finder())
