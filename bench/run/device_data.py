"""Image sets of the current group of cases, kept between cases so that data move once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench.run.features.disk import FeatureDisk
from bench.run.features.store import FeatureStore, pixel_digest
from bench.run.job import Inputs, Job, LabeledInputs, ProgressCallback
from bench.run.labeled_split import LabeledSplit, load_split
from datasets_lib.batches.image_set import ImageSet, load
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.classification import Classification, Labeled
from datasets_lib.resolve import resolve_callable

_SHARE_OF_FREE_MEMORY = 0.5


@dataclass(frozen=True)
class SplitData:
    """The three splits of a case's data, on the device where they fit.

    Attributes:
        pixels: Sha256 of the images, by split.
    """

    fit: ImageSet
    calibration: ImageSet | None
    test: ImageSet
    pixels: Mapping[str, str]


@dataclass(frozen=True)
class LabeledData:
    """The two splits of a classification case, on the device where they fit."""

    train: LabeledSplit
    test: LabeledSplit

    def held(self, train_batch: int, test_batch: int) -> dict[str, str]:
        """How the images of each split are held, in words for a record.

        Args:
            train_batch: Images in the largest batch taken of the train split.
            test_batch: The same of the test split.
        """
        return {"fit": self.train.held(train_batch), "test": self.test.held(test_batch)}


class DeviceData:
    """Holds the data of one group: cases come ordered by group, so one is enough."""

    def __init__(self) -> None:
        self._key: object = None
        self._data: SplitData | None = None
        self._features: FeatureStore | None = None
        self._labeled: LabeledData | None = None

    def load(self, job: Job, inputs: Inputs, report: ProgressCallback) -> SplitData:
        """The job's data, read from the decode cache unless the last job had the same."""
        plan = job.protocol
        key = inputs.data_hash, plan.image_size, plan.crop, job.device, plan.calibration
        if self._data is None or self._key != key:
            self._data = self._labeled = None
            if self._features is not None:
                self._features.clear()
            self._data = _load(job, inputs, report)
            self._key = key
        return self._data

    def features(self, job: Job) -> FeatureStore:
        """Features of the group's data, those of earlier sessions on disk."""
        if self._features is None:
            disk = FeatureDisk(job.cache_dir / "features", job.cache_limit)
            self._features = FeatureStore(disk)
        return self._features

    def load_labeled(
        self, job: Job, inputs: LabeledInputs, report: ProgressCallback
    ) -> LabeledData:
        """The same for a classification case.

        Raises:
            DatasetError: A file cannot be used.
        """
        key = (
            *(inputs.data_hash, job.protocol.image_size, job.device),
            *(job.workers, job.host_memory),
        )
        if self._labeled is None or self._key != key:
            self._data = self._labeled = None
            self._labeled = _load_labeled(job, inputs, report)
            self._key = key
        return self._labeled


def _load(job: Job, inputs: Inputs, report: ProgressCallback) -> SplitData:
    cache = DecodeCache(job.cache_dir)

    def read(samples: tuple[Sample, ...], *, has_masks: bool) -> ImageSet:
        def progress(done: int, total: int) -> None:
            report("data", {"step": done, "steps": total})

        images = load(samples, job.protocol.image_size, cache, has_masks, progress)
        return images if job.protocol.crop is None else images.cropped(job.protocol.crop)

    fit = read(inputs.fit, has_masks=False)
    test = read(inputs.test, has_masks=inputs.has_masks)
    calibration = read(inputs.calibration, has_masks=False) if inputs.calibration else None
    splits = {"fit": fit, "calibration": calibration, "test": test}
    pixels = {name: pixel_digest(split.images) for name, split in splits.items() if split}
    data = SplitData(fit, calibration, test, pixels)
    return _to_device(data, torch.device(job.device))


def _load_labeled(job: Job, inputs: LabeledInputs, report: ProgressCallback) -> LabeledData:
    read: Callable[[Path], Classification] = resolve_callable(inputs.reader)
    cache, device = DecodeCache(job.cache_dir), torch.device(job.device)

    def progress(done: int, total: int) -> None:
        report("data", {"step": done, "steps": total})

    found = read(inputs.root)
    _check_classes(found, inputs.root)
    size = job.protocol.image_size

    def split(own: Labeled, other: Labeled) -> LabeledSplit:
        # The limit is for the whole set: what one split may take is what the other one leaves.
        limit = None if job.host_memory is None else job.host_memory - len(other) * 3 * size**2
        return load_split(
            own, size, cache, device, progress, workers=job.workers, limit_bytes=limit
        )

    return LabeledData(train=split(found.train, found.test), test=split(found.test, found.train))


def _check_classes(found: Classification, root: Path) -> None:
    """No class may be judged that could not be learned.

    Raises:
        DatasetError: A class has test images but none to train on.
    """
    never_seen = sorted(set(map(int, found.test.labels)) - set(map(int, found.train.labels)))
    if never_seen:
        raise DatasetError(
            f"{len(never_seen)} of the {len(found.classes)} classes of {found.name} at {root} have "
            f"test images but none to train on, the first is '{found.classes[never_seen[0]]}': "
            "wanted at least one of each. Add training images, or leave its test images out."
        )


def _to_device(data: SplitData, device: torch.device) -> SplitData:
    """The data on the device where they fit, else in pinned memory, from which batches stream."""
    if device.type != "cuda":
        return data
    parts = [part for part in (data.fit, data.calibration, data.test) if part is not None]
    wanted = sum(part.images.numel() for part in parts)
    free, _ = torch.cuda.mem_get_info(device)

    def move(part: ImageSet) -> ImageSet:
        if wanted > _SHARE_OF_FREE_MEMORY * free:
            return replace(part, images=part.images.pin_memory())
        return part.to(device)

    return replace(
        data,
        fit=move(data.fit),
        calibration=move(data.calibration) if data.calibration else None,
        test=move(data.test),
    )
