"""The file of a checkpoint: written whole, read without running anything that is in it.

It is a torch archive with a dictionary of plain values and tensors, which loads with
``torch.load(path, weights_only=True)``:

* ``format``, ``version``: what it is;
* ``metadata``: a line of JSON, see `bench.checkpoint.metadata.Metadata`;
* ``model``: what the model's own ``checkpoint()`` returns;
* ``frozen``: tensors of the model's pretrained parts, by part;
* ``sha256``: digest of all of these.
"""

import hashlib
import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch import Tensor

from bench.atomic import save_tensors
from bench.checkpoint.metadata import VERSION, CheckpointError, Metadata
from bench.error_text import first_line
from models.components.base import AnomalyModel, Classifier
from models.components.frozen_backbone import add_tensor
from models.components.weights_file import described, other_kind, refused

FORMAT = "proving-ground checkpoint"

_KEYS = {"format", "version", "metadata", "model", "frozen", "sha256"}
_MAX_DEPTH = 4


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint.

    Attributes:
        metadata: Its description.
        model: Tensors that the model's ``load_checkpoint`` takes.
        frozen: Tensors of the pretrained parts, by part.
        sha256: Digest of the content.
    """

    metadata: Metadata
    model: dict[str, Any]
    frozen: dict[str, Any]
    sha256: str


def write_checkpoint(path: Path, model: AnomalyModel | Classifier, metadata: Metadata) -> Path:
    """Write a checkpoint of a trained model, whatever device it is on.

    Args:
        path: Path of the file, which appears once it is whole.
        model: The model.
        metadata: Its description, apart from the version of the model's scores.

    Raises:
        OSError: The file cannot be written.
    """
    parts = {name: getattr(model, name) for name in getattr(model, "frozen_parts", ())}
    frozen = {name: part.state_dict() for name, part in parts.items() if part is not None}
    metadata = replace(metadata, score_version=getattr(model, "score_version", 1))
    content = {
        "metadata": metadata.to_json(),
        "model": _on_host(model.checkpoint()),
        "frozen": _on_host(frozen),
    }
    head = {"format": FORMAT, "version": VERSION}
    return save_tensors({**head, **content, "sha256": _digest(content)}, path)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, something else, contains code, or has a
            newer version; the message says what was found.
    """
    try:
        return _read(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be used: wanted a file that --save-models wrote, found "
            f"{error}. Give another file, or run its case again with --save-models."
        ) from None
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: {error.strerror or error}. Check that it "
            "exists and that you have permission to read it."
        ) from None


def _read(path: Path) -> Checkpoint:
    _check_archive(path)
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # such as for an archive of another kind
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(refused(str(error)).removeprefix("found ")) from None
    except OSError:
        raise
    except Exception as error:  # damaged archives raise anything
        raise CheckpointError(f"a damaged file ({first_line(error)})") from None
    _check_keys(content)
    metadata = Metadata.from_json(content["metadata"])
    if content["sha256"] != _digest(content):
        raise CheckpointError("a damaged file, whose content does not match its sha256")
    return Checkpoint(metadata, content["model"], content["frozen"], content["sha256"])


def _check_archive(path: Path) -> None:
    """Check that a file is an archive as torch writes it: its parts as large as they claim."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start.startswith(b"PK"):
        kind = other_kind(start) or "a file of another kind, or part of one"
        raise CheckpointError(kind)
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
    except (BadZipFile, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"a truncated or damaged archive ({error})") from None
    if any(entry.compress_type != ZIP_STORED for entry in entries):
        raise CheckpointError("a compressed archive, which torch never writes")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise CheckpointError("an archive whose parts are larger than itself")


def _check_keys(content: object) -> None:
    if not isinstance(content, Mapping):
        raise CheckpointError(described(content))
    if content.get("format") != FORMAT:
        tensors = any(isinstance(value, Tensor) for value in content.values())
        bare = ", the bare tensors of a model without what is needed to use it" if tensors else ""
        raise CheckpointError(described(content) + bare)
    version = content.get("version")
    if not isinstance(version, int) or version != VERSION:
        raise CheckpointError(
            f"version {str(version)[:20]} of the format, but this program reads {VERSION}; "
            "update it"
        )
    kinds = {"metadata": str, "sha256": str, "model": dict, "frozen": dict}
    wrong = [name for name, kind in kinds.items() if not isinstance(content.get(name), kind)]
    if wrong or set(content) != _KEYS:
        raise CheckpointError(f"{described(content)}, of which {', '.join(wrong or _KEYS)} differ")


def _digest(content: Mapping[str, Any]) -> str:
    sha = hashlib.sha256(content["metadata"].encode())
    for section in ("model", "frozen"):
        for name, tensor in _flat(content[section], section):
            sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            add_tensor(sha, tensor)
    return sha.hexdigest()


def _flat(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dictionaries by name.

    Raises:
        CheckpointError: A value is something else, or a tensor claims more than is stored of it.
    """
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        for key, each in value.items():
            yield from _flat(each, f"{name}/{key}", depth + 1)
        return
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise CheckpointError(f"a {type(value).__name__} instead of a tensor at {name[:80]}")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise CheckpointError(f"a tensor {name[:80]} that is larger than its stored data")
    yield name, value


def _on_host(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return tensors on the CPU, none of which keeps a larger storage."""
    return {
        name: _on_host(value) if isinstance(value, Mapping) else _compact(value.detach().cpu())
        for name, value in state.items()
    }


def _compact(tensor: Tensor) -> Tensor:
    own = tensor.numel() * tensor.element_size()
    return tensor.clone() if tensor.untyped_storage().nbytes() > own else tensor
