"""Decode the images of a set completely and compare them.

Pixels are compared as models see them, in 8-bit RGB: two files of different bytes may hold the same
image. A damaged file is a problem of the report and never ends the search.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from datasets_lib.images.bit_depth import bits_advice, suspected_bits
from datasets_lib.images.decode import FORMATS, brightest_value, read_file, to_rgb
from datasets_lib.images.sixteen_bit import sixteen_bit_layout
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.verify.duplicates import thumbnail_of
from datasets_lib.verify.files import file_faults, mask_faults

Progress = Callable[[int, int], None]
"""Called with images done and images in total."""


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
class Inspected:
    """Facts about one image.

    Attributes:
        file_sha256: Hash of the file; empty if it cannot be read.
        pixels_sha256: Hash of size and 8-bit RGB pixels; empty if it cannot be decoded.
        size: Width and height in pixels.
        gray: Whether the file holds one color channel.
        sixteen_bit: Whether a channel of the file has 16 bits.
        brightest: Highest value of a 16-bit file; 0 for others.
        faults: What is wrong with its file or its masks, as kinds of problems.
        error: Why it or a mask of it cannot be used; empty if they can.
        thumbnail: Small gray version, (32, 32) of 0 to 255; empty if it cannot be decoded.
    """

    file_sha256: str = ""
    pixels_sha256: str = ""
    size: tuple[int, int] = (0, 0)
    gray: bool = False
    sixteen_bit: bool = False
    brightest: int = 0
    faults: tuple[str, ...] = ()
    error: str = ""
    thumbnail: bytes = b""


def inspect(sample: Sample, bits: int = 16) -> Inspected:
    """Decode an image and its masks; errors become part of the result.

    Args:
        sample: Files to decode.
        bits: Number of bits that a camera fills in 16-bit files.
    """
    try:
        data = read_file(sample.image)
    except DatasetError as error:
        return Inspected(error=str(error))
    file_sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = to_rgb(data, sample.image, bits)
    except DatasetError as error:
        return Inspected(file_sha256, error=str(error))
    gray, sixteen_bit, faults = _stored(data)
    try:
        faults += mask_faults(sample, image.size)
        error_text = ""
    except DatasetError as error:
        error_text = str(error)
    return Inspected(
        file_sha256,
        # The size is part of the hash: 2×3 and 3×2 pixels may have equal bytes.
        hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest(),
        image.size,
        gray,
        sixteen_bit,
        (brightest_value(data, sample.image) or 0) if sixteen_bit else 0,
        faults,
        error_text,
        thumbnail_of(image),
    )


def _stored(data: bytes) -> tuple[bool, bool, tuple[str, ...]]:
    """Return from a header whether a file is gray, whether it has 16 bits, and what is wrong."""
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        gray = image.mode in {"1", "L", "LA"} or image.mode.startswith(("I", "F"))
        sixteen_bit = image.mode.startswith("I;16") or sixteen_bit_layout(image) is not None
        return gray, sixteen_bit, file_faults(image)


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


def check_files(
    splits: Mapping[str, Sequence[Sample]], progress: Progress | None = None, bits: int = 16
) -> list[Checked]:
    """Decode the files of all splits in threads and return the results in order."""
    jobs = [(split, sample) for split, samples in splits.items() for sample in samples]
    checked = []
    # Pillow and hashlib release the GIL.
    with ThreadPoolExecutor() as pool:
        images = pool.map(lambda job: inspect(job[1], bits), jobs)
        try:
            for (split, sample), image in zip(jobs, images, strict=True):
                label = "normal" if sample.defect is None else "defective"
                checked.append(Checked(split, sample.name, label, image))
                if progress:
                    progress(len(checked), len(jobs))
        except BaseException:  # interrupted: do not decode the rest first
            pool.shutdown(cancel_futures=True)
            raise
    return checked


def image_problems(checked: Sequence[Checked], bits: int = 16) -> Iterable[Problem]:
    """Yield problems of single images, then of the set: leaks and contradictions between images."""
    for item in checked:
        if item.image.error:
            yield Problem("unreadable", f"{item.name}: {item.image.error}")
        for fault in item.image.faults:
            yield Problem(fault, item.name)
    yield from _unfilled_bits(checked, bits)
    yield from _leaks(checked)
    yield from _contradictions(checked)


def _unfilled_bits(checked: Sequence[Checked], bits: int) -> Iterable[Problem]:
    """Yield whether 16-bit files hold the values of a camera with fewer bits."""
    brightest = max((item.image.brightest for item in checked), default=0)
    suspected = suspected_bits(brightest)
    if bits == 16 and suspected and all(i.image.sixteen_bit for i in checked if not i.image.error):
        yield Problem(bits_advice(suspected), f"the brightest value is {brightest:,} of 65,535")


def image_notes(checked: Sequence[Checked]) -> Iterable[str]:
    """Yield the sizes and bit depths of the images, and the number of repeats."""
    images = [item.image for item in checked if not item.image.error]
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
    pixels = Counter((item.split, item.image.pixels_sha256) for item in checked)
    repeated = sum(count - 1 for (_, digest), count in pixels.items() if digest)
    if repeated:
        yield f"{repeated:,} repeated within a split"


def _leaks(checked: Sequence[Checked]) -> Iterable[Problem]:
    """Yield test images that also occur in training or validation."""
    by_file: dict[str, Checked] = {}
    by_pixels: dict[str, Checked] = {}
    for item in checked:
        if item.split != "test":
            by_file.setdefault(item.image.file_sha256, item)
            by_pixels.setdefault(item.image.pixels_sha256, item)
    for lookup in (by_file, by_pixels):
        lookup.pop("", None)  # the hash of unreadable files and of pixels without a file
    for item in checked:
        if item.split != "test":
            continue
        if other := by_file.get(item.image.file_sha256):
            yield _leak("the same file", other, item)
        elif other := by_pixels.get(item.image.pixels_sha256):
            yield _leak("the same pixels", other, item)


def _leak(what: str, fitted: Checked, tested: Checked) -> Problem:
    return Problem(f"{what} in {fitted.split} and test", f"{fitted.name} = {tested.name}")


def _contradictions(checked: Sequence[Checked]) -> Iterable[Problem]:
    """Yield test images whose pixels occur under two labels."""
    by_pixels: dict[str, dict[str, str]] = defaultdict(dict)
    for item in checked:
        if item.split == "test" and item.image.pixels_sha256:
            by_pixels[item.image.pixels_sha256].setdefault(item.label, item.name)
    for labels in by_pixels.values():
        if len(labels) > 1:
            where = " = ".join(f"{name} ({label})" for label, name in labels.items())
            yield Problem("the same pixels under two labels", where)
