"""Export a checkpoint: write it, run what was written on real images, and keep it if it agrees."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bench.checkpoint.file import read_checkpoint
from bench.checkpoint.metadata import Preprocessing
from bench.export.check import RunExport, compare
from bench.export.description import Description
from bench.export.errors import ExportError
from bench.export.graph import ExportedModel
from bench.export.onnx_file import load_onnx, of_head
from bench.export.packages import made_by
from bench.export.write import (
    BANK_BYTES,
    example,
    largest_tensor,
    read_torch,
    to_onnx,
    trace,
    write_onnx,
    write_torch,
)
from bench.predict.predictor import Predictor, load_checkpoint
from datasets_lib.atomic import atomic_path
from datasets_lib.images.decode import UInt8
from models.components.base import AnomalyModel

Format = Literal["onnx", "torch"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}


def export_checkpoint(
    path: Path,
    out: Path,
    files: Sequence[Path],
    *,
    form: Format = "onnx",
    opset: int = 18,
    head: str | None = None,
    any_size: bool = True,
    warn: Callable[[str], None] = lambda text: None,
) -> Description:
    """Export a checkpoint to a file and a JSON description next to it.

    Args:
        path: The checkpoint.
        out: File to write; its description is `description_file` of it.
        files: Real images to compare on, at least 16.
        form: ``onnx`` or ``torch``.
        opset: Version of ONNX's operators.
        head: Scoring head; None for the one that ranks.
        any_size: Whether the graph takes images of any size and resizes them.
        warn: Called with a message about anything unusual.

    Returns:
        The description, with the comparison.

    Raises:
        CheckpointError: The checkpoint cannot be used.
        DatasetError: An image cannot be read.
        ExportError: The model cannot be exported, or its export differs; nothing is kept.
    """
    packages = made_by(form)
    predictor = load_checkpoint(path)
    model = exported_model(predictor, head, any_size)
    name, size = largest_tensor(model)
    if size > BANK_BYTES:
        warn(f"{name} takes {size / 1e6:.0f} MB in the file, and in memory wherever it is loaded.")
    own = predictor.metadata.preprocessing
    images = example(own.height, own.width, any_size)
    with torch.no_grad():
        outputs = len(model(images))
    program = trace(model, images)
    if form == "onnx":
        program = to_onnx(program, opset, outputs)
    description = Description(
        checkpoint=of_head(predictor.metadata, model.head),
        checkpoint_sha256=read_checkpoint(path).sha256,
        format=form,
        any_size=any_size,
        opset=opset if form == "onnx" else None,
        made_by=packages,
    )
    write = write_onnx if form == "onnx" else write_torch
    with atomic_path(out) as temporary:  # kept only if it agrees
        draft = temporary.with_name(temporary.name + SUFFIXES[form])
        try:
            write(program, draft, description)
            run, runtime = runner(draft, form)
            check = compare(run, predictor, model.head, files, any_size, runtime)
            description = replace(description, check=check)
            write(program, temporary, description)
        finally:
            draft.unlink(missing_ok=True)
    with atomic_path(description_file(out)) as temporary:
        temporary.write_text(description.to_json(indent=1) + "\n", encoding="utf-8")
    return description


def description_file(out: Path) -> Path:
    """Return the file of an export's description, one for each format.

    >>> description_file(Path("model.onnx")).name
    'model.onnx.json'
    """
    return out.with_name(f"{out.name}.json")


def exported_model(predictor: Predictor, head: str | None, any_size: bool) -> ExportedModel:
    """Return the network to export.

    Raises:
        ExportError: It is a classifier, or its images are not made by one resizing and a crop; or
            there is no such head.
    """
    metadata, own = predictor.metadata, predictor.metadata.preprocessing
    if not isinstance(predictor.model, AnomalyModel):
        raise ExportError(
            f"{metadata.model} is a classifier: only anomaly models are exported. Export its "
            "network with torch.onnx.export."
        )
    _check_preprocessing(own, any_size)
    if head is not None and head not in metadata.heads:
        raise ExportError(
            f"The checkpoint has no head '{head}': wanted one of {', '.join(metadata.heads)}."
        )
    return ExportedModel(predictor.model, own, head or metadata.heads[0], any_size).eval()


def runner(path: Path, form: Format) -> tuple[RunExport, str]:
    """Return what runs a written file, and its name and version."""
    if form == "onnx":
        import onnxruntime

        scorer = load_onnx(path)
        head = scorer.metadata.heads[0]

        def run_onnx(images: UInt8) -> list[Any]:
            found = scorer.run(images)
            return [found.scores[head], *found.maps.values()]

        return run_onnx, f"onnxruntime {onnxruntime.__version__}"
    module, _ = read_torch(path)

    def run_torch(images: UInt8) -> list[Any]:
        with torch.no_grad():
            outputs = module(torch.from_numpy(np.ascontiguousarray(images)))
        return [each.numpy() for each in outputs]

    return run_torch, f"torch {torch.__version__}"


def _check_preprocessing(own: Preprocessing, any_size: bool) -> None:
    if own.tiles:
        raise ExportError(
            f"Its images are cut into {own.tiles[0]} × {own.tiles[1]} tiles, whose maps the graph "
            "would have to merge: wanted a model of whole images. Train it without --tiles, or "
            "use the checkpoint itself."
        )
    if any_size and own.fit != "squash":
        raise ExportError(
            f"Its images are fitted by '{own.fit}', which the graph does not do: export with "
            "--frames and fit them beforehand, as python -m bench predict does."
        )
