"""Records for pages: a dataset of several categories, cases that ran twice, hostile names."""

import random
from dataclasses import replace

from fake_records import make

from bench.case import Case

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</style><style>*{display:none}</style>",
    "javascript:alert(1)",
    "a\u202eb\u2066c\u200f",
    "x" * 300,
    "line\nbreak\ttab\0nul",
    "--><!--",
    "{{7*7}}${7*7}",
    "\ud800 alone",
    "너트 부품",
    "../../etc/passwd",
    "אבג דהו",
)

MODELS = ("padim_resnet18", "patchcore_resnet18", "stfpm_resnet18", "cfa_resnet18", "dfm_resnet18")
CATEGORIES = ("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut")


def values(rng, quality):
    """Metrics of one run around a quality."""
    auroc = min(0.999, max(0.4, rng.gauss(quality, 0.02)))
    return {
        "auroc": auroc,
        "metrics": {"pixel_auroc": auroc - 0.01, "f1": auroc - 0.05, "false_alarms": 0.05},
        "measurements": {
            "inference_images_per_s": rng.uniform(20, 2000),
            "latency_p50_ms": rng.uniform(1, 50),
            "train_rise_device_bytes": rng.uniform(1e9, 12e9),
            "model_bytes": 5e7,
            "parameters": rng.uniform(1e6, 9e7),
            "fit_seconds": rng.uniform(2, 300),
        },
    }


def gallery(seed=0):
    """Five models on eight categories with three seeds, later runs of some, and a failure."""
    rng = random.Random(seed)
    records = []
    for place, model in enumerate(MODELS):
        for category in CATEGORIES:
            for replicate in range(3):
                own = values(rng, 0.95 - 0.05 * place)
                records.append(
                    make(model, f"parts.{category}", replicate, profile="standard", **own)
                )
    for day, auroc in enumerate((0.97, 0.96, 0.99, 0.62)):
        records.append(
            make(
                "rd_resnet18",
                "parts.bottle",
                auroc=auroc,
                profile="standard",
                finished=f"2026-02-0{day + 1}T00:00:00+00:00",
                intervals={
                    head: {"image_auroc": [auroc - 0.02, auroc + 0.01]}
                    for head in ("single_scale", "multi_scale")
                },
            )
        )
    records.append(make("rd_resnet50", "parts.bottle", profile="standard", status="failed"))
    curve = [[float(seen), 1 / seen] for seen in range(1, 900)]
    return [replace(records[0], curve=curve), *records[1:]]


def named(text, seed=0):
    """A record with this name in every field that can hold a name."""
    record = make("padim_resnet18", "mvtec.bottle", seed, profile="standard", auroc=0.9)
    case = Case(text, "baseline", text, text, "default", True, seed)
    return replace(
        record,
        case=case,
        key=replace(record.key, id=case.id, data=text, weights=text),
        notes={"score.image_auroc": text},
        reasons={"score.pixel_ap": text},
        metrics={"score": {"image_auroc": 0.9, text: 0.5}},
        environment={"class": text, "device": text, text: text},
        artifacts={text: text, "errors": "../../etc/passwd.png"},
        finished=text,
    )


def many(count):
    """Records for a number of rows, each with its own configuration, on eight categories."""
    rng = random.Random(1)
    return [
        make(f"model_{place // 8:04d}", f"parts.{CATEGORIES[place % 8]}", **values(rng, 0.9))
        for place in range(count)
    ]


def write(records, folder, name="records.jsonl"):
    """Write records to a file of a results folder and return its path."""
    path = folder / "runs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{record.to_json()}\n" for record in records), encoding="utf-8")
    return path
