"""Changes that `bench.perf.planted` plants, and the cases that reveal them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Cases that reveal a kind of change.

    Attributes:
        words: Expression that selects the cases.
        options: Further options of the session.
        measured: Whether costs are measured, with one seed; otherwise there are several seeds.
        seeds: Minimum number of seeds; a single configuration cannot borrow its spread from others.
        nights: Number of nights in the baseline; detecting small losses of speed takes several.
        threads: Number of threads of every process; 0 for torch's own choice.
    """

    words: str
    options: tuple[str, ...] = ("--images-seen", "128")
    measured: bool = False
    seeds: int = 3
    nights: int = 1
    threads: int = 0


_ONE_PASS = "(padim_resnet18 or dfm_resnet18)"
_SMALL = ("--images-seen", "2000", "--image-size", "32", "--set", "batch_size=32")
KINDS = {
    "one_pass": Kind(f"surface and pretrained and {_ONE_PASS}"),
    "cost": Kind("surface and pretrained and padim_resnet18", measured=True),
    "forward": Kind("surface and pretrained and padim_resnet18", measured=True, nights=8),
    # A slower forward pass on one thread, whose speed wakes of a second one cannot vary.
    "one_thread": Kind(
        "surface and pretrained and padim_resnet18",
        ("--images-seen", "128", "--image-size", "256"),
        measured=True,
        nights=5,
        threads=1,
    ),
    "tile": Kind(
        f"magnetic_tile and not uneven and default and pretrained and {_ONE_PASS}",
        ("--images-seen", "128", "--image-size", "64"),
        seeds=8,
    ),
    "digits": Kind("resnet18-digits and default and scratch", _SMALL, seeds=6),
    "transformer": Kind("deit_tiny_patch16_224-digits and default and scratch", _SMALL, seeds=6),
    "mirrored": Kind(
        "mirrored_digits and scratch",
        (*_SMALL, "--plugin", "bench/perf/mirrored_digits.py"),
        seeds=4,
    ),
}


@dataclass(frozen=True)
class Plant:
    """A change to one file, or its move.

    Attributes:
        title: Short description.
        file: Path of the file.
        old: Text to replace.
        new: Replacement text.
        expected: Part of the name of the quantity that must alarm; empty if none may.
        cases: Key of `KINDS`.
        moved: New path of the file; ``old`` is then replaced in the code of all files.
    """

    title: str
    file: str
    old: str
    new: str
    expected: str
    cases: str = "one_pass"
    moved: str = ""


_MAPS = "models/components/anomaly_map.py"
_BACKBONE = "models/components/backbone.py"
_FIRST = "    rows = _upsample_blur_matrix(maps.shape[1], "
_CLASSIFY = "self.network((images - self.mean) / self.std)\n        return logits"
_HEADS = '        return {"score": of_maps(upsample_and_blur(maps, batch.size))}\n'

PLANTS = (
    Plant("nothing: a comment, a docstring, a format", _MAPS, _FIRST, f"    # same\n{_FIRST}", ""),
    Plant("a function renamed", _MAPS, "_upsample_blur_matrix", "_both_matrix", ""),
    Plant(
        "a module moved",
        _MAPS,
        "models.components.anomaly_map",
        "models.components.maps",
        "",
        moved="models/components/maps.py",
    ),
    Plant(
        "off by one in the upsampling of maps",
        _MAPS,
        _FIRST,
        f"    maps = maps.roll(1, 2)\n{_FIRST}",
        "pixel_",
    ),
    Plant(
        "a metric changed by mistake",
        "bench/metrics/image.py",
        "image_ap = _ranked(average_precision)",
        "image_ap = _ranked(lambda ranks: 0.95 * average_precision(ranks))",
        "image_ap",
    ),
    Plant("layers dropped", "models/padim.py", "_LAYERS = (1, 2, 3)", "_LAYERS = (3,)", "score."),
    Plant(
        "wrong normalization constants",
        _BACKBONE,
        "value = self.normalized(images).contiguous",
        "value = (self.normalized(images) * 3 + 2).contiguous",
        "score.",
    ),
    Plant(
        "a sleep of 50 ms in the forward pass",
        "models/padim.py",
        _HEADS,
        f"        __import__('time').sleep(0.05)\n{_HEADS}",
        "latency",
        cases="cost",
    ),
    Plant(
        "a leak of 50 MB",
        "models/padim.py",
        _HEADS,
        "        self.__dict__.setdefault('leak', []).append(torch.ones(13_000_000))\n" + _HEADS,
        "inference_rise_host_bytes",
        cases="cost",
    ),
    Plant(
        "a sleep of 1 ms, 10 % of a forward pass",
        "models/padim.py",
        _HEADS,
        f"        __import__('time').sleep(0.001)\n{_HEADS}",
        "latency",
        cases="forward",
    ),
    Plant(
        "a sleep of 5 ms, 10 % of a forward pass on one thread",
        "models/padim.py",
        _HEADS,
        f"        __import__('time').sleep(0.005)\n{_HEADS}",
        "latency",
        cases="one_thread",
    ),
    Plant(
        "tile: off by one in the upsampling of maps",
        _MAPS,
        _FIRST,
        f"    maps = maps.roll(1, 2)\n{_FIRST}",
        "pixel_",
        cases="tile",
    ),
    Plant(
        "tile: wrong normalization constants",
        _BACKBONE,
        "value = self.normalized(images).contiguous",
        "value = (self.normalized(images) * 3 + 2).contiguous",
        "score.",
        cases="tile",
    ),
    Plant(
        "digits: wrong normalization constants in prediction",
        "models/timm_classifier.py",
        _CLASSIFY,
        _CLASSIFY.replace("images", "images * (1 if self.training else 3)"),
        "top1",
        cases="digits",
    ),
    Plant(
        "digits: learning rate × 10",
        "models/catalog/classifiers.py",
        "    lr=1e-3,\n",
        "    lr=1e-2,\n",
        "top1",
        cases="transformer",
    ),
    Plant(
        "mirrored digits: a weaker augmentation",
        "datasets_lib/augment/flips.py",
        'streams.fold_in("mirror").bernoulli(0.5)',
        'streams.fold_in("mirror").bernoulli(0.05)',
        "top1",
        cases="mirrored",
    ),
)
