"""An ensemble as one file that ``python -m bench predict`` takes.

An archive with ``ensemble.json``, the description and how members are put on one scale, and the
members' own checkpoints, ``members/0.pth`` and so on.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, is_zipfile

import numpy as np
import torch

from bench.checkpoint.file import read_checkpoint
from bench.checkpoint.map_range import map_range
from bench.checkpoint.metadata import Calibration, CheckpointError, Metadata
from bench.ensemble.choose import Choice
from bench.ensemble.members import Member, NoMemberError, read_arrays
from bench.ensemble.pixels import KeptMaps, load_maps
from bench.metrics.standardization import standardized
from bench.metrics.thresholds import calibrated_threshold
from bench.predict.predictor import Predictor, load_checkpoint
from bench.predict.stream import BatchScores
from bench.report.repeat import repeat_command
from datasets_lib.atomic import atomic_path
from datasets_lib.images.decode import UInt8

FORMAT = "proving-ground ensemble"
VERSION = 1
HEAD = "score"

_DESCRIPTION = "ensemble.json"
_MAX_MEMBERS = 20


@dataclass(frozen=True)
class MemberScale:
    """How a member's predictions are put on the scale of held-out normal images.

    Attributes:
        head: The member's head.
        center: Median of the raw scores of these images.
        spread: Their spread.
        map_center: Median of the pixels of their raw maps; None where the ensemble has no maps.
        map_spread: Their spread.
    """

    head: str
    center: float
    spread: float
    map_center: float | None = None
    map_spread: float | None = None


class EnsembleScorer:
    """A `bench.predict.stream.Scorer`: the mean of its members' standardized scores and maps.

    Attributes:
        metadata: Description of the ensemble.
    """

    def __init__(
        self, metadata: Metadata, members: Sequence[Predictor], scales: Sequence[MemberScale]
    ) -> None:
        self.metadata, self._members, self._scales = metadata, members, scales

    def score(self, pixels: UInt8) -> BatchScores:
        """Return the ensemble's predictions for images ``(B, H, W, 3)``."""
        scores, maps = [], []
        for member, scale in zip(self._members, self._scales, strict=True):
            found = member.score(pixels)
            scores.append((found.scores[scale.head] - scale.center) / scale.spread)
            if scale.map_center is not None and scale.map_spread:
                maps.append((found.maps[scale.head] - scale.map_center) / scale.map_spread)
        mean = np.stack(scores).mean(0, dtype=np.float64).astype(np.float32)
        if not maps:
            return BatchScores({HEAD: mean}, {})
        return BatchScores({HEAD: mean}, {HEAD: np.stack(maps).mean(0).astype(np.float32)})


def save_ensemble(choice: Choice, path: Path) -> Path:
    """Write the chosen members as one file.

    Raises:
        NoMemberError: A member has no saved model, or they take images of different shapes.
        CheckpointError: A saved model cannot be used.
        OSError: The file cannot be written.
    """
    members = choice.chosen.members
    files = [_checkpoint_of(member) for member in members]
    described = [read_checkpoint(file).metadata for file in files]
    if any(_shape(own) != _shape(described[0]) for own in described):
        names = ", ".join(f"{own.model} {own.preprocessing.height} px" for own in described)
        raise NoMemberError(
            f"the members take images of different shapes ({names}): run them with one --image-size"
        )
    maps = _maps_of(members)
    scales = [
        MemberScale(
            member.head,
            member.center,
            member.spread,
            own.center if own else None,
            own.spread if own else None,
        )
        for member, own in zip(members, maps or repeat(None), strict=maps is not None)
    ]
    metadata = replace(
        described[0],
        model="ensemble",
        recipe="mean",
        options={},
        heads=(HEAD,),
        calibrations={"": {HEAD: _calibration(choice, maps)}},
        protocol={},
        seed=None,
        metrics={HEAD: {"image_auroc": choice.chosen.report}},
        case=f"ensemble of {', '.join(own.case for own in described)}",
    )
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "metadata": metadata.to_json(),
            "scales": [asdict(scale) for scale in scales],
        }
    )
    with atomic_path(path) as temporary, ZipFile(temporary, "w", ZIP_STORED) as archive:
        archive.writestr(_DESCRIPTION, text)
        for place, file in enumerate(files):
            archive.write(file, f"members/{place}.pth")
    return path


def is_ensemble(path: Path) -> bool:
    """Return whether a file is an archive with the description of an ensemble."""
    try:
        if not is_zipfile(path):
            return False
        with ZipFile(path) as archive:
            return _DESCRIPTION in archive.namelist()
    except (OSError, BadZipFile, ValueError):
        return False


def has_maps(path: Path) -> bool:
    """Return whether pictures of an ensemble's maps can be drawn; the file is a whole one."""
    with ZipFile(path) as archive:
        metadata, _ = _described(archive.read(_DESCRIPTION))
    return any(own[HEAD].map_range is not None for own in metadata.calibrations.values())


def load_ensemble(path: Path, device: str = "cpu") -> EnsembleScorer:
    """Load what `save_ensemble` wrote; nothing in it is run.

    Raises:
        CheckpointError: The file is damaged, of a newer version, or a member cannot be used or be
            copied to the temporary folder.
        DeviceError: There is no such device.
    """
    try:
        with ZipFile(path) as archive:
            metadata, scales = _described(archive.read(_DESCRIPTION))
            members = [
                _member(archive.read(f"members/{place}.pth"), device)
                for place in range(len(scales))
            ]
    except CheckpointError as error:
        raise CheckpointError(f"The ensemble {path} cannot be used: {error}") from None
    except (BadZipFile, KeyError, ValueError, TypeError, RecursionError, OSError) as error:
        raise CheckpointError(
            f"The ensemble {path} cannot be used: wanted a file of python -m bench ensemble "
            f"--save, found a damaged one ({error}). Save it again."
        ) from None
    return EnsembleScorer(metadata, members, scales)


def _member(content: bytes, device: str) -> Predictor:
    """Load a member by way of a temporary file: checkpoints are read from files alone."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "member.pth")
            file.write_bytes(content)
            return load_checkpoint(file, device)
    except OSError as error:
        place = tempfile.tempdir or "of this machine"
        raise CheckpointError(
            f"its members could not be copied to the temporary folder {place} "
            f"({error.strerror or error}). Free some space there, or name another with TMPDIR."
        ) from None


def _described(text: bytes) -> tuple[Metadata, list[MemberScale]]:
    content = json.loads(text)
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        raise CheckpointError(
            f"found version {content.get('version')!r} of {content.get('format')!r}, but this "
            f"program reads {VERSION} of '{FORMAT}'; update it."
        )
    scales = [MemberScale(**each) for each in content["scales"]]
    numbers = [(each.center, each.spread) for each in scales]
    if not 0 < len(scales) <= _MAX_MEMBERS or not all(
        math.isfinite(center) and 0 < spread < math.inf for center, spread in numbers
    ):
        raise CheckpointError("found scales that are not positive numbers.")
    return Metadata.from_json(content["metadata"]), scales


def _checkpoint_of(member: Member) -> Path:
    saved = member.record.artifacts.get("model")
    path = member.run.folder / saved if saved else None
    if path is None or not path.is_file():
        raise NoMemberError(
            f"{member.name} has no saved model: run it again with "
            f"{repeat_command(member.record, '--save-models')}"
        )
    return path


def _shape(own: Metadata) -> object:
    return replace(own.preprocessing, mean=(), std=())


def _maps_of(members: Sequence[Member]) -> list[KeptMaps] | None:
    """Return the members' maps; None where one keeps none."""
    try:
        return [load_maps(member) for member in members]
    except NoMemberError:
        return None


def _calibration(choice: Choice, maps: list[KeptMaps] | None) -> Calibration:
    """Return what the ensemble's scores mean, from the images that all members held out."""
    parts, names = [], []
    for member in choice.chosen.members:
        arrays = read_arrays(member.run, "scores")
        raw = torch.from_numpy(arrays[f"calibration.{member.head}"])
        parts.append(standardized(raw, member.center, member.spread))
        names.append(tuple(arrays["calibration_names"].tolist()))
    if len(set(names)) > 1:
        raise NoMemberError("the members held out different images: run them on the same data")
    combined = torch.stack(parts).mean(0)
    own = Calibration(
        scores=tuple(combined.sort().values.tolist()),
        thresholds={"calibrated_p95": calibrated_threshold(combined)},
    )
    normal = ~choice.panel.members[0].labels
    if maps is None or len({each.maps.shape for each in maps}) > 1 or not bool(normal.any()):
        return own
    values = torch.stack([each.maps[normal] for each in maps]).mean(0)
    return replace(own, map_range=map_range(values), map_range_of="normal test images")
