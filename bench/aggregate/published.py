"""Our values against published ones: difference, acceptance band, and whether we are within it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.aggregate.conditions import changes_of, has_procedural_textures, share_of_paper
from bench.aggregate.language import say
from bench.aggregate.markdown import percent
from bench.aggregate.reference import MEAN, Reference
from bench.aggregate.rows import Row
from bench.metrics.catalog import METRICS
from bench.record import CROP_SUFFIX
from bench.recorded_protocol import recorded_shape
from models.catalog import MODELS

BANDS: Mapping[bool, Mapping[str, float]] = {
    True: {"image_auroc": 0.010, "pixel_auroc": 0.005},
    False: {"image_auroc": 0.015, "pixel_auroc": 0.010},
}
"""Largest difference from a published value, by whether the model is fitted in one pass. It applies
to the mean over all categories; a single category only warns, because seeds vary widely there."""

_WARNS_ONLY = "smoke"


@dataclass(frozen=True)
class Against:
    """One of our values against one published value.

    Attributes:
        ours: Our mean over seeds; None where we have no comparable run.
        caution: Why the two are not comparable; empty where they are.
        band: Largest difference that counts as the same result; None where there is none.
    """

    reference: Reference
    metric: str
    published: float
    ours: float | None
    caution: str = ""
    band: float | None = None

    @property
    def difference(self) -> float | None:
        """Return ours minus published; None where they are not comparable."""
        return None if self.ours is None or self.caution else self.ours - self.published

    @property
    def verdict(self) -> Literal["within", "above", "below", ""]:
        """Return where the difference lies with respect to the band; empty without one."""
        if self.difference is None or self.band is None:
            return ""
        if abs(self.difference) <= self.band + 1e-12:
            return "within"
        return "above" if self.difference > 0 else "below"


def against_published(
    rows: Iterable[Row], references: Iterable[Reference], profile: str
) -> Iterator[Against]:
    """Yield every published value, with ours where a whole run of the same configuration has one.

    A run whose recipe a user changed is another configuration.

    Random weights in place of pretrained ones and smoke runs are never compared. Where both sides
    see a center crop, our pixel metrics are those within it: a publication leaves out the pixels
    around it, which our maps of whole images have.

    Args:
        rows: Rows of one table.
        references: Published values of the same data.
        profile: Profile of the rows.
    """
    whole = {
        (row.label, row.case.init): row
        for row in rows
        if row.budget_share == 1
        and profile != _WARNS_ONLY
        and not any(map(changes_of, row.records))
    }
    for reference in references:
        row = whole.get((reference.model, reference.init))
        another = _setup_difference(row, reference.image_size) if row else ""
        entry = MODELS.get(reference.model.partition(".")[0])
        one_pass = entry is not None and all(
            recipe.optimizer == "none" for recipe in entry.recipes.values()
        )
        for name, value in reference.metrics.items():
            within_crop = not another and _is_within_crop(reference, name)
            head = reference.head + CROP_SUFFIX if within_crop else reference.head
            own = row.metric(head, name) if row else None
            stated = reference.cautions.get(name, "")
            caution = say(stated) or (another if own else "")
            band = BANDS[one_pass].get(name) if reference.category == MEAN and not caution else None
            yield Against(reference, name, value, own.mean if own else None, caution, band)


def _is_within_crop(reference: Reference, metric: str) -> bool:
    """Return whether a published value covers only the pixels of a center crop.

    Scores of images are of all images on both sides, also of those whose defect was cut away.
    """
    return reference.image_size.endswith(" crop") and METRICS[metric].level == "pixel"


def _setup_difference(row: Row, published: str) -> str:
    """Return a note on how our setup differs from the published one; empty if it does not."""
    if any(map(has_procedural_textures, row.records)):
        return say("ours is trained with procedural textures")
    return _size_difference(row, published) or _budget_difference(row)


def _budget_difference(row: Row) -> str:
    """Return a note if our training is shorter than the paper's; empty otherwise."""
    shares = [share for record in row.records if (share := share_of_paper(record)) is not None]
    if min(shares, default=1.0) >= 1:
        return ""
    return say("ours has {share} of the paper's training budget", share=percent(min(shares)))


def _size_difference(row: Row, published: str) -> str:
    """Return a note if our images differ in size from the published ones; empty otherwise."""
    shapes = {_size_of(record.protocol) for record in row.records}
    if not published or shapes == {published}:
        return ""
    return say(
        "its images are {theirs} px, ours {ours}", theirs=published, ours=", ".join(sorted(shapes))
    )


def _size_of(protocol: Mapping[str, Any]) -> str:
    """Return the size of a run's images as `Reference.image_size` gives it.

    Padded, cropped or tiled images have no such size: their shape is given in words.
    """
    if protocol.get("fit", "squash") != "squash" or protocol.get("tiles"):
        return recorded_shape(protocol)[1]
    size, crop = protocol.get("image_size"), protocol.get("crop")
    return f"{size}->{crop} crop" if crop else f"{size}"
