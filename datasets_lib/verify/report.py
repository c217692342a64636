"""Reports of `datasets_lib.verify`, and the checks that all tasks share."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from datasets_lib.entry import Counts
from datasets_lib.verify.inspect_image import Inspected

Progress = Callable[[int, int], None]
"""Called with images done and images in all."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        kind: Description such as ``empty mask``; problems are counted by it.
        where: Affected file or files; empty for the whole set.
    """

    kind: str
    where: str = ""


@dataclass(frozen=True)
class Report:
    """Result for one category, or for a set without categories.

    Attributes:
        name: ``dataset.category`` or ``dataset``.
        counts: Images it holds; None if it could not be read.
        problems: What is wrong; empty if it verifies.
        notes: Remarks that are no problems, such as images of many sizes.
    """

    name: str
    counts: Counts | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


def excusing(report: Report, known: Mapping[str, int]) -> Report:
    """Return the report with known flaws as notes, if their number is exactly the known one.

    Args:
        report: Report of the set.
        known: Number of problems in the published set, by kind.
    """
    found = Counter(problem.kind for problem in report.problems)
    excused = {kind for kind, count in known.items() if found[kind] == count}
    problems = tuple(problem for problem in report.problems if problem.kind not in excused)
    notes = (f"{known[kind]} with {kind}, as published" for kind in sorted(excused))
    return replace(report, problems=problems, notes=(*report.notes, *notes))


@dataclass(frozen=True)
class Checked:
    """One image of a split.

    Attributes:
        split: ``train``, ``validation`` or ``test``.
        name: Name of the image.
        label: ``normal`` or ``defective``, or its class.
        image: Facts about it.
    """

    split: str
    name: str
    label: str
    image: Inspected


def count_problems(counts: Counts, expected: Counts | None) -> Iterable[Problem]:
    """Yield differences from the counts that the publisher states."""
    if expected is None:
        return
    for what in ("train", "validation", "test", "defective"):
        found, wanted = getattr(counts, what), getattr(expected, what)
        if found != wanted:
            yield Problem(f"{found:,} {what} images, the publisher says {wanted:,}")


def image_problems(checked: Sequence[Checked]) -> Iterable[Problem]:
    """Yield problems of single images, then leaks and contradictions between them."""
    for one in checked:
        if one.image.error:
            yield Problem("unreadable", f"{one.name}: {one.image.error}")
        elif one.image.empty_mask:
            yield Problem("empty mask of a defect", one.name)
    yield from _leaks(checked)
    yield from _contradictions(checked)


def image_notes(checked: Sequence[Checked]) -> Iterable[str]:
    """Yield sizes and kinds of the images, and the number of repeats."""
    images = [one.image for one in checked if not one.image.error]
    sizes = Counter(image.size for image in images)
    if len(sizes) > 1:
        (width, height), _ = sizes.most_common(1)[0]
        yield f"{len(sizes):,} image sizes, {width}×{height} most often"
    elif sizes:
        yield "{}×{}".format(*next(iter(sizes)))
    for what, count in (
        ("gray", sum(image.gray for image in images)),
        ("16-bit", sum(image.sixteen_bit for image in images)),
    ):
        if count:
            yield f"{'all' if count == len(images) else f'{count:,}'} {what}"
    pixels = Counter((one.split, one.image.pixels_sha256) for one in checked)
    repeated = sum(count - 1 for (_, digest), count in pixels.items() if digest)
    if repeated:
        yield f"{repeated:,} repeated within a split"


def _leaks(checked: Sequence[Checked]) -> Iterable[Problem]:
    """Yield test images that also occur in training or validation."""
    by_file: dict[str, Checked] = {}
    by_pixels: dict[str, Checked] = {}
    for one in checked:
        if one.split != "test":
            by_file.setdefault(one.image.file_sha256, one)
            by_pixels.setdefault(one.image.pixels_sha256, one)
    for known in (by_file, by_pixels):
        known.pop("", None)  # what could not be read, or is no file
    for one in checked:
        if one.split != "test":
            continue
        if other := by_file.get(one.image.file_sha256):
            yield _leak("the same file", other, one)
        elif other := by_pixels.get(one.image.pixels_sha256):
            yield _leak("the same pixels", other, one)


def _leak(what: str, fitted: Checked, tested: Checked) -> Problem:
    return Problem(f"{what} in {fitted.split} and test", f"{fitted.name} = {tested.name}")


def _contradictions(checked: Sequence[Checked]) -> Iterable[Problem]:
    """Yield test images whose pixels occur under two labels."""
    by_pixels: dict[str, dict[str, str]] = defaultdict(dict)
    for one in checked:
        if one.split == "test" and one.image.pixels_sha256:
            by_pixels[one.image.pixels_sha256].setdefault(one.label, one.name)
    for labels in by_pixels.values():
        if len(labels) > 1:
            where = " = ".join(f"{name} ({label})" for label, name in labels.items())
            yield Problem("the same pixels under two labels", where)
