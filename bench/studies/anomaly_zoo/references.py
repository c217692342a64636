"""Published values of the zoo's configurations, from one model per category.

``results/reference/anomaly_published.csv`` holds the values, ``anomaly_publications.csv`` what
those of one publication share. Its ``model`` names our configuration that was published there,
where there is one: the same backbone and method; its image size may differ and is given with the
source. Its ``caution`` says why a value is not comparable with ours; such a value is shown, but
has no acceptance band. A publication is split where this holds for some of its metrics or datasets.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

from bench.aggregate.reference import Reference, read_rows
from models.catalog import MODELS

DATASETS = {"mvtec_ad": "mvtec", "visa": "visa", "btad": "btad", "mpdd": "mpdd"}
"""Our ids of datasets, by the file's names."""

METRICS = {
    "image_auroc": "image_auroc",
    "image_ap": "image_ap",
    "image_f1max": "f1_best",
    "pixel_auroc": "pixel_auroc",
    "pixel_ap": "pixel_ap",
    "aupro": "aupro_30",
}
"""Our names of metrics, by the file's; F1-max chooses its threshold on test labels."""


def published(variants: Iterable[str]) -> list[Reference]:
    """Return the published values of the variants in a table."""
    variants = set(variants)
    return zoo_references(row for row in published_rows() if row["model"] in variants)


@cache
def published_rows() -> list[dict[str, str]]:
    """Return every published value with the facts of its publication, by heading."""
    about = {row["publication"]: row for row in read_rows("anomaly_publications.csv")}
    return [about[row["publication"]] | row for row in read_rows("anomaly_published.csv")]


def zoo_references(rows: Iterable[Mapping[str, str]]) -> list[Reference]:
    """Return published values by model, source and category, in the order of the rows.

    Args:
        rows: Rows as `published_rows` returns them.
    """
    values: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    sizes: dict[tuple[str, str, str, str], str] = {}
    cautions: dict[tuple[str, str, str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row["dataset"] not in DATASETS or row["metric"] not in METRICS:
            continue
        about = f"{row['config']}; {row['backbone']}, {row['image_size']} px"
        source = f"{row['source']} ({about}; {row['url_or_id']})"
        place = row["model"], source, DATASETS[row["dataset"]], row["category"]
        metric = METRICS[row["metric"]]
        values[place][metric] = float(row["value"])
        sizes[place] = row["image_size"]
        if row["caution"]:
            cautions[place][metric] = row["caution"]
    return [_reference(place, own, cautions[place], sizes[place]) for place, own in values.items()]


def _reference(
    place: tuple[str, str, str, str],
    values: dict[str, float],
    cautions: dict[str, str],
    image_size: str,
) -> Reference:
    entry = MODELS[place[0].partition(".")[0]]
    init = "pretrained" if entry.weights else "scratch"
    head = entry.heads[0]
    return Reference(*place, head, values, init, cautions=cautions, image_size=image_size)
