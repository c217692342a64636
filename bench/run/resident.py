"""Image sets of the current group of cases, kept between cases so that data move once."""

from dataclasses import dataclass, replace

import torch

from bench.run.job import Job, Report
from datasets_lib.cache import DecodeCache
from datasets_lib.image_set import ImageSet, load
from datasets_lib.layout import Sample

_SHARE_OF_FREE_MEMORY = 0.5


@dataclass(frozen=True)
class GroupData:
    """The three splits of a case's data, on the device where they fit."""

    fit: ImageSet
    calibration: ImageSet | None
    test: ImageSet


class Resident:
    """Holds the data of one group: cases come ordered by group, so one is enough."""

    def __init__(self) -> None:
        self._key: object = None
        self._data: GroupData | None = None

    def load(self, job: Job, report: Report) -> GroupData:
        """The job's data, read from the decode cache unless the last job had the same."""
        key = (job.inputs.data_hash, job.protocol.image_size, job.device, job.protocol.calibration)
        if self._data is None or self._key != key:
            self._data = None
            self._data = _load(job, report)
            self._key = key
        return self._data


def _load(job: Job, report: Report) -> GroupData:
    cache = DecodeCache(job.cache_dir)
    inputs = job.inputs

    def read(samples: tuple[Sample, ...], *, has_masks: bool) -> ImageSet:
        def progress(done: int, total: int) -> None:
            report("data", {"step": done, "steps": total})

        return load(samples, job.protocol.image_size, cache, has_masks, progress)

    fit = read(inputs.fit, has_masks=False)
    test = read(inputs.test, has_masks=inputs.has_masks)
    calibration = read(inputs.calibration, has_masks=False) if inputs.calibration else None
    data = GroupData(fit, calibration, test)
    return _to_device(data, torch.device(job.device))


def _to_device(data: GroupData, device: torch.device) -> GroupData:
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

    return GroupData(
        fit=move(data.fit),
        calibration=move(data.calibration) if data.calibration else None,
        test=move(data.test),
    )
