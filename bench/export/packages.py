"""Packages that exports need; imports none of them."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from bench.export.errors import ExportError
from bench.next_steps import extra_command

_PACKAGES = {"torch": ("torch",), "onnx": ("torch", "onnxscript", "onnx")}

_RUNTIME = "onnxruntime"
"""Module that runs ONNX files; distributions of several names, such as onnxruntime-gpu, hold it."""


def made_by(form: str) -> str:
    """Return the packages that write an export, with their versions.

    Args:
        form: ``onnx`` or ``torch``.

    Raises:
        ExportError: One of them, or the runtime that exports are checked in, is not installed.
    """
    if form == "onnx" and find_spec(_RUNTIME) is None:
        raise _missing(_RUNTIME)
    try:
        return ", ".join(f"{name} {version(name)}" for name in _PACKAGES[form])
    except PackageNotFoundError as error:
        raise _missing(error.name) from None


def _missing(name: str) -> ExportError:
    return ExportError(
        f"ONNX needs the package {name}, which is missing. Install it with {extra_command('onnx')}"
    )
