"""Published values of the zoo's configurations, from one model per category.

A value stands next to ours where its backbone, method and metric are those of one of our
configurations; one of another thing leaves its cell empty, and the reason is said. Its image size
may differ from ours; it is given with the source and the settings.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bench.aggregate.reference import Reference, read_rows
from models.catalog import MODELS

DATASETS = {"mvtec_ad": "mvtec", "visa": "visa", "btad": "btad"}
"""Our ids of datasets, by the files' names."""

METRICS = {
    "image_auroc": "image_auroc",
    "image_ap": "image_ap",
    "image_f1max": "f1_best",
    "pixel_auroc": "pixel_auroc",
    "pixel_ap": "pixel_ap",
    "aupro": "aupro_30",
}
"""Our names of metrics, by the files'; F1-max chooses its threshold on test labels."""


class Published(NamedTuple):
    """A configuration that values were published for."""

    source: str
    config: str
    backbone: str
    image_size: str


_README = "anomalib README"
_HISTORY = "anomalib README (history)"
_WIDE = "wide_resnet50_2"
_CROP = "256->224 crop"

_CFLOW = "CFLOW-AD paper Table 3"
_PADIM_AGAIN = "xiahaifeng1995 PaDiM re-implementation"
_PATCHCORE_CODE = "patchcore-inspection results.csv"
_UFLOW = "U-Flow paper tables"
_FASTFLOW_AGAIN = "gathierry FastFlow re-implementation"
_EFFICIENTAD_AGAIN = "nelson1425/EfficientAD results"


def _fastflow(backbone: str, size: str) -> tuple[Published, ...]:
    return (
        Published(_FASTFLOW_AGAIN, "reimplementation; last epoch (500)", backbone, size),
        Published(_README, "500 epochs patience 3; README 2022-06", backbone, size),
    )


def _efficientad(size: str) -> tuple[Published, ...]:
    listed = "EfficientAD paper values as listed by nelson1425 README"
    return (
        Published(listed, "paper", size, "256"),
        Published(_README, "bs1; 70k steps; README 2023-07", size, "256"),
        Published(_EFFICIENTAD_AGAIN, "reimplementation; 70k steps", size, "256"),
        Published(_EFFICIENTAD_AGAIN, "reimplementation; AU-PRO by MVTec evaluator", size, "256"),
        Published("nelson1425/EfficientAD README", "reimplementation", size, "256"),
    )


# PatchCore's README rows were made with the method of our recipe `anomalib`.
COMPARABLE: Mapping[str, tuple[Published, ...]] = {
    "padim": (
        Published(_CFLOW, "paper value quoted in CFLOW-AD Table 3", _WIDE, _CROP),
        Published(
            _CFLOW,
            "paper value quoted in CFLOW-AD Table 3 (leather omitted: sources disagree)",
            _WIDE,
            _CROP,
        ),
        Published(_README, "layers1-3; README 2021-12", _WIDE, "256"),
        Published(_PADIM_AGAIN, "reimplementation", _WIDE, _CROP),
    ),
    "padim_resnet18": (
        Published(_README, "layers1-3; README 2021-12", "resnet18", "256"),
        Published(_PADIM_AGAIN, "reimplementation", "resnet18", _CROP),
    ),
    "patchcore": (
        Published("PatchCore paper arXiv 2106.08265", "coreset 10%", _WIDE, _CROP),
        Published(_PATCHCORE_CODE, "IM224_WR50_L2-3_P01_D1024-1024_PS-3_AN-1", _WIDE, "224"),
    ),
    "patchcore.anomalib": (
        Published(_README, "layers2-3; coreset 0.1; README 2022-01", _WIDE, "224"),
    ),
    "patchcore_resnet18.anomalib": (
        Published(_README, "layers2-3; coreset 0.1; README 2022-01", "resnet18", "224"),
    ),
    "patchcore_320": (
        Published(_PATCHCORE_CODE, "IM320_WR50_L2-3_P001_D1024-1024_PS-3_AN-1", _WIDE, "320"),
    ),
    "dfkde_resnet18": (Published(_README, "README 2021-12", "resnet18", "256"),),
    "dfm": (Published(_HISTORY, "layer3; pooling 2; seed 42", "resnet50", "256"),),
    "dfm_resnet18": (Published(_README, "README 2022-11", "resnet18", "256"),),
    "cfa": (Published(_README, "bs4; 30 epochs patience 5; README 2023-01", _WIDE, "224"),),
    "cfa_resnet18": (
        Published(_README, "bs4; 30 epochs patience 5; README 2023-01", "resnet18", "224"),
    ),
    "stfpm_resnet18": (
        Published("STFPM paper (quoted by re-implementation README)", "paper", "resnet18", "256"),
        Published(_README, "layers1-3; 100 epochs patience 3; README 2021-12", "resnet18", "256"),
        Published(_HISTORY, "100 epochs patience 10; seed 42", "resnet18", "256"),
        Published("xiahaifeng1995 STPM re-implementation", "reimplementation", "resnet18", "256"),
    ),
    "fre": (Published(_README, "README 2024-05; 220 epochs", "resnet50", "256"),),
    "fre_wide_resnet50_2": (Published(_README, "README 2024-05; 220 epochs", _WIDE, "256"),),
    "efficientad_small": (
        *_efficientad("pdn_small"),
        Published(_HISTORY, "bs1; 200 epochs/70k steps; seed 42", "pdn_small", "256"),
    ),
    "efficientad_medium": _efficientad("pdn_medium"),
    "cflow": (
        Published(_CFLOW, "paper", _WIDE, "best of 128/256/512 per class"),
        Published(_README, "layers2-4; bs16; 50 epochs patience 2; README 2022-01", _WIDE, "256"),
    ),
    "cflow_resnet18": (Published(_CFLOW, "paper", "resnet18", "best of 128/256/512 per class"),),
    "fastflow": _fastflow(_WIDE, "256"),
    "fastflow_resnet18": _fastflow("resnet18", "256"),
    "fastflow_deit": (
        *_fastflow("deit_base_distilled_patch16_384", "384"),
        Published(
            _HISTORY,
            "flow_steps 20; hidden 0.16; patience 10; seed 42",
            "deit_base_distilled_patch16_384",
            "384",
        ),
    ),
    "fastflow_cait": (_fastflow("cait_m48_448", "448")[1],),
    "csflow": (Published(_README, "README 2022-12", "efficientnet_b5", "256"),),
    "csflow_768": (Published(_README, "README 2022-12", "efficientnet_b5", "768"),),
    "uflow_mcait": (
        Published(_UFLOW, "paper", "mcait", "448"),
        Published(_UFLOW, "U-Flow paper, BTAD", "mcait", "448"),
    ),
    "rd_wide_resnet50_2": (
        Published("RD4AD paper", "paper; 200 epochs", _WIDE, "256"),
        Published(_README, "layers1-3; 200 epochs; bs16; README 2022-06", _WIDE, "256"),
    ),
}
"""Published configurations that match ours, by variant; the sources' own values first."""

_INFLATED = "anomalib up to 2.2 gives it too high (its issue 3718)"
_PER_IMAGE = "its code averages one AUPRO per defective image, ours is one over the test set"
_POOLED = "it pools features by 2, ours by 4"

OTHER_THINGS: Mapping[tuple[str, str], Mapping[str, str]] = {
    (_README, ""): {"aupro_30": _INFLATED},
    (_HISTORY, ""): {"aupro_30": _INFLATED},
    (_HISTORY, "layer3; pooling 2; seed 42"): dict.fromkeys(METRICS.values(), _POOLED),
    ("RD4AD paper", ""): {"aupro_30": _PER_IMAGE},
}
"""Metrics that a source gives, and that are another thing there than here, with the reason: by
source and configuration, an empty one for all of the source's."""

_FILE_NAMES = {"csflow": "cs_flow", "efficientad": "efficient_ad", "rd": "reverse_distillation"}


def published(variants: Iterable[str]) -> list[Reference]:
    """Return the published values of the variants in a table."""
    rows = [*read_rows("anomaly_zoo.csv"), *read_rows("reverse_distillation.csv")]
    variants = set(variants)
    return [reference for reference in zoo_references(rows) if reference.model in variants]


def zoo_references(rows: Iterable[Mapping[str, str]]) -> list[Reference]:
    """Return the comparable values among published rows, by model, source and category.

    Args:
        rows: Rows of ``anomaly_zoo.csv`` and ``reverse_distillation.csv``, by the files' headings.
    """
    ours = {
        (method_of(model), configuration): model
        for model, configurations in COMPARABLE.items()
        for configuration in configurations
    }
    values: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    reasons: dict[tuple[str, str, str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        configuration = published_of(row)
        model = ours.get((row["model"], configuration))
        if model is None or row["dataset"] not in DATASETS or row["metric"] not in METRICS:
            continue
        about = f"{configuration.config}; {configuration.backbone}, {configuration.image_size} px"
        source = f"{configuration.source} ({about}; {row['url_or_id']})"
        place = model, source, DATASETS[row["dataset"]], row["category"]
        metric = METRICS[row["metric"]]
        if reason := _other_thing(configuration, metric):
            reasons[place][metric] = reason
        else:
            values[place][metric] = float(row["value"])
    return [
        Reference(
            *place,
            MODELS[place[0].partition(".")[0]].heads[0],
            values[place],
            reasons=reasons[place],
        )
        for place in dict.fromkeys([*values, *reasons])
    ]


def _other_thing(configuration: Published, metric: str) -> str:
    """Return why a published metric does not stand next to ours; empty where it does."""
    for config in (configuration.config, ""):
        if reason := OTHER_THINGS.get((configuration.source, config), {}).get(metric):
            return reason
    return ""


def published_of(row: Mapping[str, str]) -> Published:
    """Return a row's configuration."""
    return Published(*(row[name] for name in Published._fields))


def method_of(model: str) -> str:
    """Return what the files call the method of one of our models."""
    method = model.partition(".")[0].partition("_")[0]
    return _FILE_NAMES.get(method, method)
