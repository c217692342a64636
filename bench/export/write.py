"""Write a model as an ONNX file or as a program of torch.export, with its description inside."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.export.description import KEY, Description
from bench.export.errors import ExportError
from bench.export.graph import ExportedModel
from bench.next_steps import extra_command
from datasets_lib.atomic import atomic_path

OPSETS = range(18, 21)
BANK_BYTES = 256 * 10**6
"""Size from which one tensor of a model, such as a memory bank, deserves a warning."""

_ONNX_BYTES = 2**31 - 10**8
"""ONNX files are limited to 2 GB, and the graph takes some of that."""


def trace(model: ExportedModel, images: Tensor) -> Any:
    """Return the program of torch.export, for any number of images.

    Args:
        model: What to export.
        images: ``(B, h, w, 3)`` uint8, B > 1 and, for images of any size, unequal sides.

    Raises:
        ExportError: The model does something that a graph cannot represent.
    """
    sizes = range(3 if model.any_size else 1)
    shapes = dict.fromkeys(sizes, torch.export.Dim.DYNAMIC)
    try:
        with quiet(), torch.no_grad():
            # Models keep matrices that depend on sizes: while tracing they would keep fake ones.
            model(images)
            return torch.export.export(model, (images,), dynamic_shapes=((shapes),), strict=False)
    except Exception as error:  # torch's tracing errors have no common base class
        raise ExportError(f"torch.export cannot trace it: {reason(error)}") from error


def largest_tensor(model: ExportedModel) -> tuple[str, int]:
    """Return the name of a model's largest tensor and its bytes."""
    sizes = {name: t.numel() * t.element_size() for name, t in model.model.state_dict().items()}
    name = max(sizes, key=lambda each: sizes[each])
    return name, sizes[name]


def write_torch(program: Any, path: Path, description: Description) -> None:
    """Write a program of torch.export with its description as an extra file of the archive.

    Raises:
        OSError: The file cannot be written.
    """
    buffer = io.BytesIO()  # torch's writer ends the process where a disk is full
    with quiet():
        torch.export.save(program, buffer, extra_files={KEY: description.to_json()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_torch(path: Path) -> tuple[Any, str]:
    """Return the module and the description of a written program."""
    extra = {KEY: ""}
    with quiet():
        module = torch.export.load(path, extra_files=extra).module()
    return module, extra[KEY]


def to_onnx(program: Any, opset: int, outputs: int) -> Any:
    """Return a traced program as an ONNX model in memory.

    Args:
        program: What `trace` returned.
        opset: Version of ONNX's operators.
        outputs: Number of outputs: scores, and maps where the model has them.

    Raises:
        ExportError: Packages are missing, an operator has no counterpart, or it is too large.
    """
    weights = sum(t.numel() * t.element_size() for t in program.state_dict.values())
    if weights > _ONNX_BYTES:
        raise ExportError(
            f"its tensors take {weights / 1e9:.1f} GB, but ONNX files hold at most 2 GB. Use "
            "--format torch, or train it with a smaller memory bank."
        )
    try:
        with quiet(), torch.no_grad():
            return torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                input_names=["images"],
                output_names=["scores", "maps"][:outputs],
                verbose=False,
            )
    except ImportError as error:
        raise ExportError(
            f"ONNX needs {error.name}, which is missing: {extra_command('onnx')}."
        ) from error
    except Exception as error:  # converters raise any exception
        raise ExportError(f"it cannot be expressed in ONNX: {reason(error)}") from error


def write_onnx(program: Any, path: Path, description: Description) -> None:
    """Write an ONNX model with its description among its metadata.

    Raises:
        OSError: The file cannot be written.
    """
    program.model.metadata_props[KEY] = description.to_json()
    with quiet(), atomic_path(path) as temporary:
        # program.save() would put more than 1.5 GiB of weights into a second file.
        temporary.write_bytes(program.model_proto.SerializeToString())


def example(side_h: int, side_w: int, any_size: bool) -> Tensor:
    """Return images ``(2, h, w, 3)`` to trace with; for any size, no two dimensions are equal."""
    height, width = (side_h + 5, side_w + 11) if any_size else (side_h, side_w)
    generator = np.random.default_rng(0)
    return torch.from_numpy(generator.integers(0, 256, (2, height, width, 3), dtype=np.uint8))


def reason(error: BaseException) -> str:
    """Return the first line of an error and its causes that says what went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "No ONNX function" in line or "Could not guard" in line]
    return f"{type(error).__name__}: {(causes or lines or [''])[0][:300]}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence torch's output and warnings during an export."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    out = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(out),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
