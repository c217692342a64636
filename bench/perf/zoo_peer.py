"""Measure the peer's side of `bench.perf.zoo`: one model fitted and tested by anomalib's engine.

Run ``PY -I bench/perf/zoo_peer.py MODEL CATEGORY`` with an interpreter PY that has anomalib. The
script imports nothing from this project; its last line of output is JSON. Only the model, the data
and the budget are set; workers, evaluator, thresholds and checkpoints are anomalib's defaults, as
are the pictures that it draws in testing with ``--drawing``, which are not drawn without.
EfficientAD's teacher is random, and its penalty images and DRAEM's textures are the category's own
training images, which take as long to process as the files that anomalib would download.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

_RESNET18 = {"backbone": "resnet18"}
_RESNET50 = {"backbone": "resnet50"}
_WIDE = {"backbone": "wide_resnet50_2"}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "padim": ("Padim", {**_WIDE, "n_features": 550}),
    "padim_resnet18": ("Padim", _RESNET18),
    "patchcore": ("Patchcore", _WIDE),
    "patchcore_resnet18": ("Patchcore", _RESNET18),
    "dfkde": ("Dfkde", _RESNET50),
    "dfkde_resnet18": ("Dfkde", _RESNET18),
    "dfm": ("Dfm", _RESNET50),
    "dfm_resnet18": ("Dfm", _RESNET18),
    "stfpm": ("Stfpm", _RESNET50),
    "stfpm_resnet18": ("Stfpm", _RESNET18),
    "fre": ("Fre", _RESNET50),
    "fre_resnet18": ("Fre", {**_RESNET18, "input_dim": 16_384}),
    "rd_resnet18": ("ReverseDistillation", _RESNET18),
    "rd_resnet50": ("ReverseDistillation", _RESNET50),
    "rd_wide_resnet50_2": ("ReverseDistillation", _WIDE),
    "cfa": ("Cfa", _WIDE),
    "cfa_resnet18": ("Cfa", _RESNET18),
    "fastflow": ("Fastflow", _WIDE),
    "fastflow_resnet18": ("Fastflow", {**_RESNET18, "conv3x3_only": True}),
    "cflow": ("Cflow", _WIDE),
    "cflow_resnet18": ("Cflow", _RESNET18),
    "ganomaly": ("Ganomaly", {}),
    "draem": ("Draem", {"enable_sspcab": True}),
    "draem_plain": ("Draem", {}),
    "efficientad_small": ("EfficientAd", {"model_size": "small"}),
    "efficientad_medium": ("EfficientAd", {"model_size": "medium"}),
    "supersimplenet": ("Supersimplenet", {"backbone": "wide_resnet50_2"}),
    "supersimplenet_resnet18": ("Supersimplenet", _RESNET18),
    "uninet": ("UniNet", {}),
    "csflow": ("Csflow", {}),
    "uflow": ("Uflow", {**_WIDE, "image_size": 256}),
    "dinomaly_small_392": ("Dinomaly", {"encoder_name": "vit_small_patch14_reg4_dinov2"}),
    "dinomaly_base_392": ("Dinomaly", {"encoder_name": "vit_base_patch14_reg4_dinov2"}),
}
"""anomalib's class and the arguments that match our configuration, by our name for the model.

``image_size`` replaces the size of the class's own pre-processing. Not here are DSR, whose class
trains nothing but the upsampling in its only epoch, and UniNet on ResNet18, as the class's
bottleneck has the width of ResNet50's layers.
"""

ONE_BY_ONE = ("efficientad_small", "efficientad_medium")
"""Models that anomalib trains one image at a time, as their paper does."""

SEED = 42


def main() -> None:
    """Fit, test and print the times and metrics as JSON."""
    options = _options()
    started = time.time() if options.started is None else options.started
    if options.model in ONE_BY_ONE:
        options.batch = 1
    os.environ["HF_HUB_OFFLINE"] = "1"
    anomalib = _imports(["anomalib.data", "anomalib.engine", "anomalib.models", "anomalib.metrics"])
    _give_backbone(options.weights)
    _need_no_downloads(anomalib["models"], options.weights)
    imported_at = time.time()
    with tempfile.TemporaryDirectory() as folder:
        measured = _run(anomalib, options, folder)
    print()  # a progress bar may have left its line unfinished
    if options.single_images:
        print(measured["single_image_ms"])
        return
    if options.steps:
        print(json.dumps(measured["step"]))
        return
    print(
        json.dumps(
            {
                "seconds": measured.pop("finished") - started,
                "import_s": imported_at - started,
                **measured,
                "batch": options.batch,
                "versions": {name: version(name) for name in ("anomalib", "torch", "torchvision")},
                "python": platform.python_version(),
            }
        )
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("category", type=Path, help="folder of a category in MVTec AD's layout")
    parser.add_argument(
        "--weights", type=Path, help="file of backbone weights (default: random weights)"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--coreset-ratio", type=float, help="PatchCore's (default: anomalib's)")
    parser.add_argument("--images-seen", type=int, help="in training (default: each image once)")
    parser.add_argument("--drawing", action="store_true", help="draw a picture of each prediction")
    parser.add_argument(
        "--single-images", type=int, metavar="N", help="time N single images after training instead"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="count and time N training steps instead"
    )
    parser.add_argument(
        "--started", type=float, help="time.time() of the process start (default: now)"
    )
    return parser.parse_args()


def _imports(names: list[str]) -> dict[str, Any]:
    return {name.rpartition(".")[2]: importlib.import_module(name) for name in names}


def _give_backbone(weights: Path | None) -> None:
    """Make timm load the given weights, or none, instead of downloading pretrained ones.

    STFPM's student requests no pretrained weights and stays random.
    """
    timm: Any = importlib.import_module("timm")
    create = timm.create_model

    def create_model(name: str, *args: Any, pretrained: bool = False, **options: Any) -> Any:
        model = create(name, *args, pretrained=False, **options)
        if pretrained and weights is not None:
            _load(model, weights)
        return model

    timm.create_model = create_model


def _need_no_downloads(models: Any, weights: Path | None) -> None:
    """Make torchvision load the given weights, or none, for CFA, CS-Flow and UniNet.

    EfficientAD's teacher stays random.
    """
    torch: Any = importlib.import_module("torch")
    torchvision: Any = importlib.import_module("torchvision")
    weights_enum: Any = importlib.import_module("torchvision.models._api").WeightsEnum

    def get_state_dict(self: Any, *_: Any, **__: Any) -> Any:
        name = type(self).__name__.removesuffix("_Weights").lower()
        state = torchvision.models.get_model(name, weights=None).state_dict()
        if weights is not None:  # perhaps without the last layers, which these models do not use
            state.update(torch.load(weights, map_location="cpu", weights_only=True))
        return state

    weights_enum.get_state_dict = get_state_dict
    models.EfficientAd.prepare_pretrained_model = lambda _: None


def _load(model: Any, file: Path) -> None:
    if file.suffix == ".safetensors":
        state = importlib.import_module("safetensors.torch").load_file(file)
    else:
        state = importlib.import_module("torch").load(file, map_location="cpu", weights_only=True)
    missing = model.load_state_dict(state, strict=False).missing_keys
    if lacking := [name for name in missing if not name.endswith("num_batches_tracked")]:
        sys.exit(f"{file} lacks {len(lacking)} tensors of the backbone, such as {lacking[0]}")


def _run(anomalib: dict[str, Any], options: argparse.Namespace, folder: str) -> dict[str, Any]:
    importlib.import_module("lightning").seed_everything(SEED)
    kind, arguments = MODELS[options.model]
    if options.coreset_ratio is not None:
        arguments = {**arguments, "coreset_sampling_ratio": options.coreset_ratio}
    if kind == "EfficientAd":
        arguments = {**arguments, "imagenet_dir": options.category / "train"}
    if kind == "Draem":
        arguments = {**arguments, "dtd_dir": options.category / "train"}
    if "image_size" in arguments:
        arguments = {**arguments, "pre_processor": _pre_processor(arguments["image_size"])}
        del arguments["image_size"]
    model = getattr(anomalib["models"], kind)(**arguments, visualizer=options.drawing)
    data = anomalib["data"].MVTecAD(
        root=options.category.parent,
        category=options.category.name,
        train_batch_size=options.batch,
        eval_batch_size=options.batch,
    )
    maps, steps = _collector(), _step_watch()
    max_steps = -(-options.images_seen // options.batch) if options.images_seen else -1
    engine = anomalib["engine"].Engine(
        callbacks=[maps, steps] if options.steps else [maps],
        accelerator="cpu" if options.device == "cpu" else "gpu",
        devices=1,
        max_epochs=1,
        max_steps=options.steps + 1 if options.steps else max_steps,
        default_root_dir=folder,
        **({"limit_val_batches": 0} if options.steps else {}),
    )
    start = time.time()
    engine.fit(model=model, datamodule=data)
    fitted = time.time()
    if options.steps:
        return {"step": {"flops": steps.flops, "seconds": steps.seconds}}
    if options.single_images:
        files = sorted(options.category.glob("test/*/*.png"))[: options.single_images]
        return {"single_image_ms": _single_image_ms(model, files)}
    (metrics,) = engine.test(model=model, datamodule=data)
    finished = time.time()
    return {
        "fit_s": fitted - start,
        "test_s": finished - fitted,
        "finished": finished,
        "threads": importlib.import_module("torch").get_num_threads(),
        "metrics": {
            "image_auroc": metrics.get("image_AUROC"),
            "pixel_auroc": metrics.get("pixel_AUROC"),
            "aupro_30": _aupro(anomalib["metrics"], maps.batches),
        },
    }


def _pre_processor(size: int) -> Any:
    """Return anomalib's pre-processing that resizes to a square and normalizes as for ImageNet."""
    transforms: Any = importlib.import_module("torchvision.transforms.v2")
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    steps = [transforms.Resize((size, size), antialias=True), transforms.Normalize(mean, std)]
    pre_processing: Any = importlib.import_module("anomalib.pre_processing")
    return pre_processing.PreProcessor(transform=transforms.Compose(steps))


def _single_image_ms(model: Any, files: list[Path]) -> float:
    """Return the median milliseconds from a file to its score and map, over five passes.

    This is the peer's own inference in torch: read the image, pre-process, predict, post-process.
    """
    torch: Any = importlib.import_module("torch")
    read_image = importlib.import_module("anomalib.data.utils").read_image
    model.eval()
    taken = []
    with torch.inference_mode():
        for turn in range(10 + 5 * len(files)):
            begin = time.perf_counter()
            model(read_image(files[turn % len(files)], as_tensor=True)[None])
            taken.append(1e3 * (time.perf_counter() - begin))
    return float(statistics.median(taken[10:]))


def _collector() -> Any:
    """Return a callback that stores the raw anomaly maps, before the peer normalizes them."""
    lightning: Any = importlib.import_module("lightning")

    class Collector(lightning.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches: list[Any] = []

        def on_test_batch_end(
            self, trainer: Any, module: Any, outputs: Any, *_: Any, **__: Any
        ) -> None:
            self.batches.append((outputs.anomaly_map, outputs.gt_mask))

    return Collector()


def _step_watch() -> Any:
    """Return a callback that counts the first training step's operations and times the others.

    Both are by image. Reading the images happens between the steps.
    """
    torch: Any = importlib.import_module("torch")
    lightning: Any = importlib.import_module("lightning")
    counting: Any = importlib.import_module("torch.utils.flop_counter")

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    class StepWatch(lightning.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.flops = 0.0
            self.seconds: list[float] = []
            self._counter = counting.FlopCounterMode(display=False)

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            if number == 0:
                self._counter.__enter__()
            self._begin = now()

        def on_train_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int
        ) -> None:
            seconds = now() - self._begin
            images = len(batch.image)
            if number == 0:
                self._counter.__exit__(None, None, None)
                self.flops = self._counter.get_total_flops() / images
            else:
                self.seconds.append(seconds / images)

    return StepWatch()


def _aupro(metrics: Any, batches: list[Any]) -> float | None:
    """Return the peer's AUPRO, which its default evaluation omits; it is not timed."""
    if any(tensor is None for batch in batches for tensor in batch):
        return None
    types: Any = importlib.import_module("types")
    metric = metrics.AUPRO(fields=["anomaly_map", "gt_mask"])
    for anomaly_map, mask in batches:
        metric.update(types.SimpleNamespace(anomaly_map=anomaly_map, gt_mask=mask))
    return float(metric.compute())


if __name__ == "__main__":
    main()
