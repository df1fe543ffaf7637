"""Where Keras's listings look for `clear_session`."""

from fusednet.utils import clear_session

__all__ = ["clear_session"]
