"""Records of classifiers as a run would write them, with chosen top-1 values."""

from dataclasses import replace

from bench.case import Case
from bench.protocol import PROFILES, resolve
from bench.record import Key, Record
from bench.studies.mixing.points import Outcome, Point
from models.catalog import MODELS

CNN, VIT = "resnet50", "vit_small_patch16_224"


def classified(
    top1,
    seed=0,
    *,
    model=CNN,
    dataset="cifar100",
    augmentation="default",
    pretrained=False,
    profile="original",
    epochs=50,
    images_seen=None,
    data=None,
    curve=(),
    judged=None,
    **fields,
):
    name, _, suffix = model.partition(".")
    case = Case(name, suffix or "baseline", dataset, None, augmentation, pretrained, seed)
    figures = dict.fromkeys(("top1", "macro_precision", "macro_recall", "macro_f1"), top1)
    best = max([top1, *(judged or [])])
    return Record(
        key=Key(case.id, profile, f"recipe of {model}", data or f"hash of {dataset}", model),
        case=case,
        status="ok",
        outcome="ok",
        protocol=_protocol(case, images_seen, epochs),
        seed=223 + seed,
        metrics={"last_epoch": {**figures, "top5": min(1.0, top1 + 0.2), "top1_best_epoch": best}},
        epochs=[[1000.0 * (i + 1), value] for i, value in enumerate(judged or [])],
        curve=list(curve),
        environment={"class": "gpu | torch", "device": "cuda"},
        fingerprints={"images": {"fit": 1000, "test": 10_000}},
        finished="2026-01-01T00:00:00+00:00",
        **fields,
    )


def _protocol(case, images_seen, epochs):
    protocol = resolve(
        MODELS[case.model],
        case.recipe,
        PROFILES["standard"],
        augmentation=case.augmentation,
        native_size=32,
        images_seen=images_seen,
    )
    return replace(protocol, recipe=replace(protocol.recipe, epochs=epochs)).as_dict()


def at(point, top1, seed=0, *, recipe="", **fields):
    """A record of a point, of a recipe such as ``.flip_crop``."""
    return classified(
        top1,
        seed,
        model=point.model + recipe,
        dataset=point.dataset,
        augmentation=point.augmentation,
        pretrained=point.pretrained,
        **fields,
    )


def table_of(values, dataset="cifar100", images=10_000):
    """Outcomes of one dataset; ``values[model, augmentation, pretrained]`` are top-1 by seed."""
    return {
        Point(dataset, *place): Outcome(dict(enumerate(by_seed)), images)
        for place, by_seed in values.items()
    }


def cells_of(markdown_table):
    """The rows of a Markdown table, each a dict by heading."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown_table.splitlines()
    ]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
