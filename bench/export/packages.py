"""Packages that exports need; imports none of them."""

from importlib.metadata import PackageNotFoundError, version

from bench.export.errors import ExportError
from bench.next_steps import extra_command

_PACKAGES = {"torch": ("torch",), "onnx": ("torch", "onnxscript", "onnx")}
_RUNTIMES = {"torch": (), "onnx": ("onnxruntime",)}


def made_by(form: str) -> str:
    """Return the packages that write an export, with their versions.

    Args:
        form: ``onnx`` or ``torch``.

    Raises:
        ExportError: One of them, or the runtime that exports are checked in, is not installed.
    """
    try:
        for name in _RUNTIMES[form]:
            version(name)
        return ", ".join(f"{name} {version(name)}" for name in _PACKAGES[form])
    except PackageNotFoundError as error:
        raise ExportError(
            f"ONNX needs the package {error.name}, which is missing. Install it with "
            f"{extra_command('onnx')}"
        ) from None
