"""What a checkpoint says about its model: plain values, read without torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from datasets_lib.images.geometry import Fit

VERSION = 1
"""Version of the checkpoint's layout, incremented by incompatible changes."""

_MAX_SIDE = 1 << 17  # of a frame, such as a web of 40 tiles


class CheckpointError(ValueError):
    """A file is not a usable checkpoint; the message says what was found instead."""


@dataclass(frozen=True)
class Preprocessing:
    """How an image file becomes the model's input.

    Attributes:
        height: Height of the frame that images are resized to (bilinear, antialiased), in pixels.
        width: Its width.
        crop: Height and width of the center crop of the frame; None keeps all.
        fit: How images of another aspect ratio fit, as in `datasets_lib.images.geometry`.
        tiles: Rows and columns of tiles that the frame is cut into; None means one image.
        overlap: Rows or columns of pixels that neighboring tiles share.
        bits: Number of bits that the camera fills in files of 16 bits per channel.
        mean: Channel means that the model itself subtracts from images in [0, 1].
        std: Channel standard deviations that it divides by.
    """

    height: int
    width: int
    crop: tuple[int, ...] | None = None
    fit: Fit = "squash"
    tiles: tuple[int, ...] | None = None
    overlap: int = 0
    bits: int = 16
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        sides = (self.height, self.width, *(self.crop or ()))
        pairs = [len(pair) for pair in (self.crop, self.tiles) if pair is not None]
        if not all(0 < side <= _MAX_SIDE for side in sides) or set(pairs) - {2}:
            raise CheckpointError(f"a checkpoint for images of {sides} pixels")


@dataclass(frozen=True)
class Calibration:
    """What scores of one head and category mean.

    Attributes:
        scores: Ascending scores of held-out normal images, neither fitted nor tested.
        peaks: Ascending maxima of their maps; empty for a head without maps.
        thresholds: Thresholds by rule that saw no test label.
        test_thresholds: Thresholds by rule that were chosen on test labels.
        map_range: Lowest and highest value of the colors of maps: the median pixel of normal
            images, and twice as far from it as 95 % of their maxima. None without maps.
        map_range_of: Images that the range comes from.
    """

    scores: tuple[float, ...] = ()
    peaks: tuple[float, ...] = ()
    thresholds: dict[str, float] = field(default_factory=dict)
    test_thresholds: dict[str, float] = field(default_factory=dict)
    map_range: tuple[float, ...] | None = None
    map_range_of: str = ""


@dataclass(frozen=True)
class Metadata:
    """Description of a checkpoint.

    Attributes:
        model: Name in the catalog, which says how to build it.
        recipe: Name of the recipe it was trained with.
        task: ``anomaly`` or ``classification``.
        options: Keyword arguments that it was built with, as far as they are plain values.
        heads: Scoring heads, the ranking one first; empty for a classifier.
        preprocessing: How an image file becomes the model's input.
        dataset: Name of the dataset.
        category: Its category; ``all`` for a model of ``categories``, None where there are none.
        categories: Categories that one model was trained on.
        classes: Names of the classes, of a classifier.
        calibrations: By category (``""`` for a model of one) and head.
        score_version: Version of the model's scores, which these calibrations are of.
        weights: ``tag``, ``file``, ``sha256``, ``license`` with the ``license_page`` that states
            it, and ``url`` of the pretrained weights inside; empty for a model from scratch.
        protocol: Every constant that decided the training.
        seed: Seed of the training.
        metrics: Metrics on the test set by head.
        case: Id of the case.
        images: Number of images by split.
        data_sha256: Hash of the data.
        code: Commit and hash of the code.
        versions: Versions of the libraries, and the device it was trained on.
        created: Time in UTC, ISO 8601.
    """

    model: str
    recipe: str
    task: Literal["anomaly", "classification"]
    options: dict[str, Any]
    heads: tuple[str, ...]
    preprocessing: Preprocessing
    dataset: str
    category: str | None
    categories: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    calibrations: dict[str, dict[str, Calibration]] = field(default_factory=dict)
    score_version: int = 1
    weights: dict[str, str] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    case: str = ""
    images: dict[str, int] = field(default_factory=dict)
    data_sha256: str = ""
    code: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Metadata":
        """Return the metadata of a line of JSON.

        Raises:
            CheckpointError: A field is missing, unknown or of another type.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"a description that is not JSON ({error})") from None
        metadata = _typed(data, cls, "description")
        assert isinstance(metadata, Metadata)
        return metadata


def is_plain(value: Any) -> bool:
    """Return whether an option is a number, a string, None or a sequence of these."""
    if isinstance(value, list | tuple):
        return all(is_plain(each) for each in value)
    return value is None or isinstance(value, str | int | float | bool)


def _typed(value: Any, hint: Any, name: str) -> Any:
    """Return a value of JSON as its type hint says.

    Raises:
        CheckpointError: It is of another type.
    """
    if hint is Any:
        return value
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return _dataclass(value, hint, name)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal and value in inner:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(each, inner[0], name) for each in value)
    if origin is dict and isinstance(value, dict):
        return {key: _typed(each, inner[1], f"{name}.{key}") for key, each in value.items()}
    if origin is not None and type(None) in inner:  # an optional value
        optional = next(each for each in inner if each is not type(None))
        return None if value is None else _typed(value, optional, name)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (str, int, bool) and type(value) is hint:
        return value
    raise CheckpointError(f"a {type(value).__name__} as {name}")


def _dataclass(value: Any, kind: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        raise CheckpointError(f"a {type(value).__name__} as {name}")
    hints = get_type_hints(kind)
    if unknown := [key for key in value if key not in hints]:
        raise CheckpointError(f"an unknown field '{unknown[0]}' in its {name}")
    given = {key: _typed(each, hints[key], key) for key, each in value.items()}
    try:
        return kind(**given)
    except TypeError:
        missing = [each.name for each in fields(kind) if each.name not in given]
        raise CheckpointError(f"a {name} without {', '.join(missing)}") from None
