"""What an exported file says about itself; read without torch."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from bench.checkpoint.metadata import CheckpointError, Metadata

KEY = "proving_ground"
"""Key of the description in a file's metadata."""

TOLERANCE = 1e-4
"""Maximum difference between an export and its checkpoint, see `ExportCheck`."""


@dataclass(frozen=True)
class ExportCheck:
    """How an export was compared with its checkpoint, on real images.

    A difference is the largest over all scores, relative to the largest score, or over all map
    pixels, relative to the largest of them.

    Attributes:
        images: Number of images.
        batch_sizes: Sizes of the batches that they were run in.
        difference: Largest difference for images resized beforehand.
        own_size_images: Number of images that the graph itself resized.
        own_size_difference: Largest difference for these from the checkpoint, on pixels that Pillow
            resized along rows first, as the graph does; None where there are none.
        pillow_difference: The same on pixels that Pillow resized at once, as in training: newer
            versions go along columns first where that is faster, and some pixels differ by 1.
        score_magnitude: Largest score of the checkpoint, absolute.
        runtime: What ran the export, with its version.
    """

    images: int
    batch_sizes: tuple[int, ...]
    difference: float
    own_size_images: int
    own_size_difference: float | None
    pillow_difference: float | None
    score_magnitude: float
    runtime: str


@dataclass(frozen=True)
class Description:
    """Description of an exported file.

    Attributes:
        checkpoint: What the checkpoint says about its model, with the exported head alone.
        checkpoint_sha256: Digest of the checkpoint's content.
        format: ``onnx`` or ``torch``.
        any_size: Whether images of any size are taken, ``(B, h, w, 3)`` uint8 RGB; otherwise only
            those of the checkpoint's frame.
        opset: Version of ONNX's operators; None for ``torch``.
        made_by: Versions of what wrote the file.
        check: How it compares with the checkpoint.
    """

    checkpoint: Metadata
    checkpoint_sha256: str
    format: str
    any_size: bool
    opset: int | None
    made_by: str
    check: ExportCheck | None = None

    def to_json(self, indent: int | None = None) -> str:
        """Return JSON, on one line unless indented."""
        values: dict[str, Any] = asdict(self) | {
            "checkpoint": json.loads(self.checkpoint.to_json())
        }
        return json.dumps(values, indent=indent, allow_nan=False, ensure_ascii=False)


def read_description(text: str) -> Description:
    """Return the description that `Description.to_json` wrote.

    Raises:
        CheckpointError: The text is not such a description.
    """
    try:
        values = json.loads(text)
        checkpoint = Metadata.from_json(json.dumps(values["checkpoint"]))
        check = None if values["check"] is None else ExportCheck(**values["check"])
        return Description(**values | {"checkpoint": checkpoint, "check": check})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"a description of another kind ({error})") from None
