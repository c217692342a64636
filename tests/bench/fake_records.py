"""Records as a run would write them, with chosen values."""

from bench.case import Case
from bench.record import Key, Record
from models.catalog import MODELS


def make(
    model="rd_resnet18",
    data="surface.woven",
    seed=0,
    auroc=0.9,
    *,
    pretrained=True,
    metrics=None,
    multi=None,
    measurements=None,
    profile="smoke",
    environment="cpu | torch 2.14",
    status="ok",
    finished="2026-01-01T00:00:00+00:00",
    recipe=None,
    images=None,
    protocol=None,
    fingerprints=None,
    **fields,
):
    dataset, _, category = data.partition(".")
    name, _, suffix = model.partition(".")
    case = Case(name, suffix or "baseline", dataset, category or None, "default", pretrained, seed)
    recipe = recipe or (case.recipe if case.recipe in {"same", "tuned"} else f"{model}-baseline")
    weights = model if pretrained else "random"
    ok = status == "ok"
    if ok and auroc is not None and "intervals" not in fields:
        near = {"image_auroc": [auroc - 0.004, auroc + 0.004]}
        fields["intervals"] = dict.fromkeys(("score", "single_scale", "multi_scale"), near)
    return Record(
        key=Key(case.id, profile, recipe, images or f"hash of {data}", weights),
        case=case,
        status=status,
        outcome="ok" if ok else "crash",
        protocol={
            "image_size": 128,
            "images_seen": None,
            "calibration": True,
            "recipe_name": case.recipe,
            "recipe": {"optimizer": "adam", "epochs": 20, "name": recipe},
        }
        | (protocol or {}),
        seed=111 + seed,
        metrics=_metrics(case, {"image_auroc": auroc, **(metrics or {})}, auroc, multi)
        if ok
        else {},
        measurements=measurements or ({"inference_images_per_s": 123.4} if ok else {}),
        environment={"class": environment, "device": "cpu"},
        fingerprints={"images": {"fit": 100, "calibration": 11, "test": 64}} | (fingerprints or {}),
        error=None if ok else {"message": "it broke"},
        finished=finished,
        **fields,
    )


def _metrics(case, ranking, auroc, multi):
    entry = MODELS.get(case.model)
    if entry is None or len(entry.heads) == 1:
        return {"score": ranking}
    return {"single_scale": ranking, "multi_scale": {"image_auroc": auroc, **(multi or {})}}
