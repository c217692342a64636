"""Weights files as found in practice: formats by content, nested state dicts, other prefixes."""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path, PosixPath
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from torch import Tensor

# Averaged weights are what a publisher evaluates, so they come first, as in timm's
# load_state_dict, and those that were trained for the sake of others last.
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema", "teacher")
_STUDENT = "student"
_NESTS = (  # in order of preference
    *_AVERAGED,
    *("state_dict", "model_state_dict", "model", "net", "network", "module", "backbone"),
    *("encoder", "weights", "params", _STUDENT),
)
_MAX_DEPTH = 3

_KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"),
    (b"/annex/objects", "a git-annex pointer; fetch the file itself with git annex get"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ", "an xz archive; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file"),
    (b"%PDF", "a PDF document"),
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors by name, on the CPU, without running pickled code.

    The format is detected from the content, whatever the suffix. A state dict in a dictionary is
    unwrapped, see `state_dict_in`.

    Raises:
        ValueError: The file is damaged, is something else, contains code, or contains no tensors.
    """
    state = state_dict_in(_read(path))
    if isinstance(state, str):
        raise ValueError(
            f"The weights file {path} holds no tensors by name: wanted a state dict, bare or under "
            f"a name such as 'state_dict' or 'model', found {state}. Save the model's "
            "state_dict(), or get the publisher's file."
        )
    return state


def state_dict_in(content: object) -> dict[str, Tensor] | str:
    """Return the state dict in a file's content, or a description of what is there instead.

    A state dict may lie some dictionaries deep. Of several, the names of `_NESTS` decide.

    >>> state_dict_in({"epoch": 3, "net": {"conv1.weight": torch.zeros(2)}})
    {'conv1.weight': tensor([0., 0.])}
    """
    found = dict(_state_dicts(content, ()))
    if not found:
        return described(content)
    # Scalars are a record of training, whatever their nest is called.
    models = {names: own for names, own in found.items() if any(t.ndim for t in own.values())}
    found = models or found
    known = {(nest,) for nest in _NESTS}
    ranks = {names: (_role(names), names not in known, _places(names)) for names in found}
    best = min(ranks, key=ranks.__getitem__)
    if list(ranks.values()).count(ranks[best]) > 1:
        return f"several of them, {', '.join('.'.join(names) for names in found)}"
    return found[best]


def _role(names: Sequence[str]) -> int:
    """Return 0 for averaged weights, 2 for a student's and 1 for others, by the names of nests."""
    if _STUDENT in names:
        return 2
    return 1 if set(_AVERAGED).isdisjoint(names) else 0


def _places(names: Sequence[str]) -> tuple[int, ...]:
    return tuple(_NESTS.index(name) if name in _NESTS else len(_NESTS) for name in names)


def _state_dicts(
    content: object, names: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield the outermost mappings from names to tensors, each with the names of its nests."""
    if not isinstance(content, Mapping) or len(names) > _MAX_DEPTH:
        return
    # An optimizer's tensors belong to numbered parameters.
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    inner = [item for item in content.items() if isinstance(item[1], Mapping)]
    nested = [
        found
        for name, value in inner
        if isinstance(name, str) and not name.startswith("optim")
        for found in _state_dicts(value, (*names, name))
    ]
    # A counter such as "step" may be a tensor next to the nest.
    if sum(map(Tensor.numel, tensors.values())) > len(tensors) or not nested:
        if tensors:
            yield names, tensors
    else:
        yield from nested


def without_prefix(
    state: Mapping[str, Tensor], wanted: Callable[[Mapping[str, Tensor]], int]
) -> dict[str, Tensor]:
    """Return the tensors below the prefix that a wrapper put before a network's names.

    Wrappers such as DataParallel (``module.``), torch.compile (``_orig_mod.``) or a training
    framework (``backbone.``) rename every tensor. The prefix is the one under which most tensors
    have names that the network knows; without any, the tensors stay as they are.

    Args:
        state: Tensors by name.
        wanted: Returns how many of such tensors have a name of the network's.
    """
    best, most = dict(state), wanted(state)
    for prefix in _prefixes(state):
        inner = {
            name.removeprefix(prefix): tensor
            for name, tensor in state.items()
            if name.startswith(prefix)
        }
        if len(inner) > most and (count := wanted(inner)) > most:
            best, most = inner, count
    return best


def _prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """Return the prefixes of names: averaged weights' before others, a student's last."""
    prefixes: dict[tuple[str, ...], None] = {}
    for name in state:
        parts = name.split(".")
        for depth in range(1, min(len(parts), _MAX_DEPTH + 1)):
            prefixes[tuple(parts[:depth])] = None
    ranked = sorted(prefixes, key=lambda names: (_role(names), len(names), _places(names)))
    return [f"{'.'.join(names)}." for names in ranked]


def _read(path: Path) -> Any:
    import pickle

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        start = _start(path)
        if kind := other_kind(start):
            raise ValueError(
                f"The weights file {path} cannot be loaded: wanted a file of tensors alone, found "
                f"{kind}. Delete it and get it again from its publisher."
            )
        if _is_safetensors(start) or (path.suffix == ".safetensors" and not _is_torch(start)):
            return load_file(path)
        # Training scripts store their options next to the weights.
        allowed = torch.serialization.safe_globals([argparse.Namespace, PosixPath])
        # An open file: torch.load would go by the suffix of a path.
        with _opened(path) as file, allowed:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        detail = refused(str(error))
    except (RuntimeError, EOFError, SafetensorError, OSError, KeyError, BadZipFile) as error:
        detail = f"found a damaged, truncated or foreign one ({_first_line(error)})"
    raise ValueError(
        f"The weights file {path} cannot be loaded: wanted a file of tensors alone, {detail}. "
        "Delete it and get it again from its publisher."
    )


def _opened(path: Path) -> BinaryIO:
    """Open a file, or the weights file in an archive of one file, as some are published.

    A file written by torch is an archive too, but of several files.
    """
    if _start(path).startswith(b"PK") and is_zipfile(path):
        with ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) == 1:
                return BytesIO(archive.read(names[0]))
    return path.open("rb")


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(512)


def other_kind(start: bytes) -> str | None:
    """Return what a file is, if its first bytes are not those of tensors."""
    if not start:
        return "an empty file"
    for magic, kind in _KINDS:
        if start.startswith(magic):
            return kind
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "a web page, as a failed download or a login page leaves one"
    # Pickles of protocol 0 are text too; they begin with one of these.
    is_text = all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
    if is_text and not start.startswith((b"(", b"c", b"}", b"]")):
        line = start.decode("ascii").strip().partition("\n")[0][:60]
        return f"text that begins with {line!r}"
    return None


def _is_safetensors(start: bytes) -> bool:
    # Eight bytes of length, then a header in JSON.
    return start[8:10] == b'{"' and int.from_bytes(start[:8], "little") < 100_000_000


def _is_torch(start: bytes) -> bool:
    return start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))


def refused(message: str) -> str:
    """Return why a pickle was refused, without PyTorch's advice to load it anyway."""
    for marker in ("GLOBAL ", "Unsupported global: "):
        if marker in message:
            name = message.partition(marker)[2].split()[0].strip("`.,")
            return (
                f"found code, which is never run ({name}, as in a whole model that was pickled; "
                "its state_dict() alone can be loaded)"
            )
    return "found something else, or code, which is never run"


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return "a TorchScript archive" if "TorchScript" in line else line


def described(state: object) -> str:
    """Return what a file's content is, in words."""
    if isinstance(state, Mapping):
        return f"a dictionary with the keys {', '.join(map(str, list(state)[:5])) or 'none'}"
    return f"a {type(state).__name__}"
