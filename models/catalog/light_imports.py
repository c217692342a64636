"""Importing timm and torchvision without torch's compiler, which building a model never needs.

Importing the compiler (`torch._dynamo`, with sympy) takes as long as importing torch. torchvision
does so for one function that only `roi_align` calls; timm for marking what is not to be compiled.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER, _UTILITIES = "torch._dynamo", "torch._dynamo.utils"


@contextmanager
def without_compiler() -> Iterator[None]:
    """Defer the import of torch's compiler, within the block, until something is compiled.

    Modules imported in the block work as usual. No effect if the compiler is already imported.
    """
    if _COMPILER in sys.modules:
        yield
        return
    import torch.compiler

    disable = torch.compiler.disable
    stand_in = ModuleType(_UTILITIES)
    stand_in.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules[_UTILITIES], torch.compiler.disable = stand_in, _disable_when_called
    try:
        yield
    finally:
        torch.compiler.disable = disable
        if sys.modules.get(_UTILITIES) is stand_in:
            del sys.modules[_UTILITIES]


def _is_compile_supported(device_type: Any) -> Any:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


def _disable_when_called(
    function: Callable[..., Any] | None = None, recursive: bool = True, *, reason: str | None = None
) -> Callable[..., Any]:
    """Do what `torch.compiler.disable` does, but only when the function is called."""
    from torch._compile import _disable_dynamo

    return _disable_dynamo(function, recursive)
