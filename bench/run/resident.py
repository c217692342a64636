"""Image sets of the current group of cases, kept between cases so that data move once."""

from dataclasses import dataclass

import torch

from bench.run.job import Job
from datasets_lib.cache import DecodeCache
from datasets_lib.image_set import ImageSet, load

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

    def load(self, job: Job) -> GroupData:
        """The job's data, read from the decode cache unless the last job had the same."""
        key = (job.inputs.data_hash, job.protocol.image_size, job.device, job.protocol.calibration)
        if self._data is None or self._key != key:
            self._data = None
            self._data = _load(job)
            self._key = key
        return self._data


def _load(job: Job) -> GroupData:
    cache = DecodeCache(job.cache_dir)
    size, inputs = job.protocol.image_size, job.inputs
    fit = load(inputs.fit, size, cache, has_masks=False)
    test = load(inputs.test, size, cache, has_masks=inputs.has_masks)
    calibration = (
        load(inputs.calibration, size, cache, has_masks=False) if inputs.calibration else None
    )
    data = GroupData(fit, calibration, test)
    return _to_device(data, torch.device(job.device))


def _to_device(data: GroupData, device: torch.device) -> GroupData:
    if device.type != "cuda":
        return data
    parts = [part for part in (data.fit, data.calibration, data.test) if part is not None]
    wanted = sum(part.images.numel() for part in parts)
    free, _ = torch.cuda.mem_get_info(device)
    if wanted > _SHARE_OF_FREE_MEMORY * free:
        return data
    calibration = data.calibration.to(device) if data.calibration else None
    return GroupData(data.fit.to(device), calibration, data.test.to(device))
