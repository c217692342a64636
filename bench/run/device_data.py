"""Data of the current group of cases, kept between cases so that they move once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.features.disk import FeatureDisk
from bench.run.features.store import FeatureStore, pixel_digest
from bench.run.job import Inputs, Job, LabeledInputs, ProgressCallback
from bench.run.labeled_split import LabeledSplit, load_split
from datasets_lib.batches.image_set import ImageSet, load
from datasets_lib.batches.tiles import Tiles
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.free_memory import free_bytes
from datasets_lib.images.geometry import Geometry
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.classification import Classification, Labeled
from datasets_lib.resolve import resolve_callable
from models.components.image_size import height_width

_SHARE_OF_FREE_MEMORY = 0.5


@dataclass(frozen=True)
class SplitData:
    """The splits of an anomaly case, on the device if they fit.

    Attributes:
        fit: Images to train on: normal ones, plus labeled defects for a supervised model.
        calibration: Held-out normal images, or None.
        test: Images to evaluate on.
        pixels: Sha256 of the images by split.
        frame_masks: Masks of the whole test images, on the host; None without masks, and where
            `test` shows whole images.
        tiles: How frames are cut into the images of the splits; None where these are frames.
        frames: Test frames that `test` holds the tiles of; None without tiles.
        held_out_names: Names of the held-out normal images, whole ones where there are tiles.
    """

    fit: ImageSet
    calibration: ImageSet | None
    test: ImageSet
    pixels: Mapping[str, str]
    frame_masks: Tensor | None = None
    tiles: Tiles | None = None
    frames: ImageSet | None = None
    held_out_names: tuple[str, ...] = ()

    @property
    def shown(self) -> ImageSet:
        """Return the test set as it is evaluated and drawn: frames, not tiles."""
        return self.test if self.frames is None else self.frames


@dataclass(frozen=True)
class LabeledData:
    """The splits of a classification case, on the device if they fit."""

    train: LabeledSplit
    test: LabeledSplit

    def placement(self, train_batch: int, test_batch: int) -> dict[str, str]:
        """Return where the images of each split are, in words for a record.

        Args:
            train_batch: Largest batch of the train split.
            test_batch: Largest batch of the test split.
        """
        return {"fit": self.train.placement(train_batch), "test": self.test.placement(test_batch)}


class DeviceData:
    """Keeps the data of one group of cases; cases come ordered by group, so one is enough."""

    def __init__(self) -> None:
        self._key: object = None
        self._data: SplitData | None = None
        self._features: FeatureStore | None = None
        self._labeled: LabeledData | None = None

    def load(self, job: Job, inputs: Inputs, progress: ProgressCallback) -> SplitData:
        """Return the job's data, read from the decode cache unless the last job had the same."""
        plan = job.protocol
        key = (
            *(inputs.data_hash, plan.image_size, plan.crop, job.settings.device),
            *(plan.calibration, plan.fit, plan.tiles, plan.overlap),
        )
        if self._data is None or self._key != key:
            self._clear()
            self._data = _load(job, inputs, progress)
            self._key = key
        return self._data

    def features(self, job: Job) -> FeatureStore:
        """Return the store of features of the group's data."""
        if self._features is None:
            disk = FeatureDisk(job.settings.cache_dir / "features", job.settings.cache_limit)
            self._features = FeatureStore(disk)
        return self._features

    def load_labeled(
        self, job: Job, inputs: LabeledInputs, progress: ProgressCallback
    ) -> LabeledData:
        """Return the data of a classification case.

        Raises:
            DatasetError: A file cannot be used.
        """
        key = (
            *(inputs.data_hash, job.protocol.image_size, job.settings.device),
            *(job.settings.workers, job.settings.host_memory),
        )
        if self._labeled is None or self._key != key:
            self._clear()
            self._labeled = _load_labeled(job, inputs, progress)
            self._key = key
        return self._labeled

    def _clear(self) -> None:
        self._data = self._labeled = None
        if self._features is not None:
            self._features.clear()


def _load(job: Job, inputs: Inputs, progress: ProgressCallback) -> SplitData:
    cache, plan = DecodeCache(job.settings.cache_dir, job.settings.bits), job.protocol
    frame, tiles = plan.frame, tiles_of(plan)

    def read(samples: tuple[Sample, ...], size: Geometry, *, has_masks: bool) -> ImageSet:
        def count(done: int, total: int) -> None:
            progress("data", {"step": done, "steps": total})

        return load(samples, size, cache, has_masks, count)

    def seen(images: ImageSet) -> ImageSet:
        """Return images as the model sees them."""
        if tiles is not None:
            return tiles.image_set(images)
        return images if plan.crop is None else images.cropped(*height_width(plan.crop))

    # Labeled defects have masks, see `label_problem`, even where some test image lacks one.
    fit = seen(read(inputs.fit, frame, has_masks=inputs.supervised))
    frames = read(inputs.test, frame, has_masks=any(inputs.has_masks.values()))
    test = seen(frames)
    calibration: ImageSet | None = None
    held_out_names: tuple[str, ...] = ()
    if inputs.calibration:
        held_out = read(inputs.calibration, frame, has_masks=False)
        calibration, held_out_names = seen(held_out), held_out.names
    splits = {"fit": fit, "calibration": calibration, "test": test}
    pixels = {name: pixel_digest(split.images) for name, split in splits.items() if split}
    frame_masks = frames.masks if plan.crop is not None else None
    if frames.masks is not None and frame.fit != "squash":
        frame_masks = _whole_masks(frames, inputs.test, partial(read, has_masks=True), frame)
    data = SplitData(
        *(fit, calibration, test, pixels, frame_masks, tiles),
        frames=frames if tiles else None,
        held_out_names=held_out_names,
    )
    return _to_device(data, torch.device(job.settings.device))


def tiles_of(plan: Protocol) -> Tiles | None:
    """Return the tiles that a protocol cuts frames into, or None."""
    if plan.tiles is None:
        return None
    return Tiles(*plan.tiles, plan.overlap, *height_width(plan.image_size))


def _whole_masks(
    frames: ImageSet,
    samples: Sequence[Sample],
    read: Callable[[tuple[Sample, ...], Geometry], ImageSet],
    frame: Geometry,
) -> Tensor:
    """Return the masks ``(N, H, W)`` of whole images, squashed to the size of the frames."""
    assert frames.masks is not None
    whole = torch.zeros_like(frames.masks)
    rows = [row for row, sample in enumerate(samples) if sample.masks]
    masks = read(tuple(samples[row] for row in rows), replace(frame, fit="squash")).masks
    if rows and masks is not None:
        whole[rows] = masks
    return whole


def _load_labeled(job: Job, inputs: LabeledInputs, progress: ProgressCallback) -> LabeledData:
    read: Callable[[Path], Classification] = resolve_callable(inputs.reader)
    cache = DecodeCache(job.settings.cache_dir, job.settings.bits)
    device = torch.device(job.settings.device)

    def count(done: int, total: int) -> None:
        progress("data", {"step": done, "steps": total})

    dataset = read(inputs.root)
    _check_classes(dataset, inputs.root)
    size, _ = height_width(job.protocol.image_size)  # square: see `shape_problem`

    def load_one(split: Labeled, other: Labeled) -> LabeledSplit:
        limit = job.settings.host_memory
        if limit is not None:  # it covers the whole set: subtract the other split
            limit -= len(other) * 3 * size**2
        return load_split(
            split, size, cache, device, count, workers=job.settings.workers, limit_bytes=limit
        )

    return LabeledData(
        train=load_one(dataset.train, dataset.test), test=load_one(dataset.test, dataset.train)
    )


def _check_classes(dataset: Classification, root: Path) -> None:
    """Check that every class of the test split has training images.

    Raises:
        DatasetError: A class has test images but none to train on.
    """
    never_seen = sorted(set(map(int, dataset.test.labels)) - set(map(int, dataset.train.labels)))
    if never_seen:
        raise DatasetError(
            f"{len(never_seen)} of the {len(dataset.classes)} classes of {dataset.name} at {root} "
            f"have test images but no training images, such as '{dataset.classes[never_seen[0]]}': "
            "wanted at least one of each. Add training images, or leave its test images out."
        )


def _to_device(data: SplitData, device: torch.device) -> SplitData:
    """Move data to the device if they fit; else its images stay, and batches of them are moved.

    They are not pinned: torch would round their size up to a power of two and keep the memory, so
    each batch is pinned when it moves.
    """
    if device.type != "cuda":
        return data
    parts = [data.fit, data.test, *filter(None, (data.calibration,))]
    wanted = sum(part.images.numel() for part in parts)
    free = free_bytes(device)

    def move(part: ImageSet) -> ImageSet:
        if wanted > _SHARE_OF_FREE_MEMORY * free:
            return part
        return part.to(device)

    frames = data.frames
    if frames is not None:  # their images stay, their tiles move
        masks = None if frames.masks is None else frames.masks.to(device)
        frames = replace(frames, labels=frames.labels.to(device), masks=masks)
    return replace(
        data,
        fit=move(data.fit),
        frames=frames,
        calibration=move(data.calibration) if data.calibration else None,
        test=move(data.test),
    )
