"""The command that runs a case again as it was recorded."""

import shlex
from collections.abc import Iterator

from bench.case import ALL
from bench.protocol import PROFILES, resolve
from bench.record import Record
from models.catalog import MODELS


def repeat_command(record: Record) -> str:
    """Return a command for a POSIX shell, without the folders of data and weights.

    >>> from bench.case import Case
    >>> from bench.record import Key
    >>> case = Case("padim_resnet18", "baseline", "surface", "woven", "default", True, 1, shots=4)
    >>> record = Record(Key(case.id, "smoke", "", "", ""), case, "ok", "ok")
    >>> print(repeat_command(record))  # doctest: +NORMALIZE_WHITESPACE
    pytest bench -k padim_resnet18-surface.woven-default-pretrained-4shot-s1 --profile smoke
    --seeds 2 --shots 4 --rerun
    """
    words = ["pytest", "bench", "-k", record.key.id, "--profile", record.key.profile]
    return shlex.join([*words, *_options(record), "--rerun"])


def _options(record: Record) -> Iterator[str]:
    """Yield the options without which a session would omit the case or run a different one."""
    case = record.case
    if case.replicate:
        yield from ("--seeds", str(case.replicate + 1))
    if case.recipe != "baseline":
        yield from ("--recipes", case.recipe)
    if case.augmentation != "default":
        yield from ("--augmentations", case.augmentation)
    if case.shots:
        yield from ("--shots", str(case.shots))
    if case.category == ALL:
        yield "--multi-class"
    if record.protocol and record.key.profile in PROFILES:
        yield from _of_protocol(record)
    if record.asked.get("pictures") is False:
        yield "--no-pictures"
    if record.asked.get("measurements") is False:
        yield "--no-measurements"
    if record.asked.get("exact") is False:
        yield from ("--pixel-metrics", "histogram")


def _of_protocol(record: Record) -> Iterator[str]:
    """Yield the options that replaced the profile's budget, size and precision."""
    protocol = record.protocol
    seen = protocol.get("images_seen")
    entry = MODELS.get(record.case.model)
    if seen and (entry is None or seen != PROFILES[record.key.profile].images_seen(entry)):
        yield from ("--images-seen", str(seen))
    if _has_own_size(record):
        yield from ("--image-size", str(protocol["image_size"]))
    if protocol.get("recipe", {}).get("optimizer") != "none" and protocol.get("precision"):
        yield from ("--precision", str(protocol["precision"]))


def _has_own_size(record: Record) -> bool:
    """Return whether a detector saw images at another size than its profile's."""
    entry, profile = MODELS.get(record.case.model), PROFILES[record.key.profile]
    size = record.protocol.get("image_size")
    if entry is None or entry.task != "anomaly" or record.case.recipe not in entry.recipes:
        return False
    return size is not None and size != resolve(entry, record.case.recipe, profile).image_size
