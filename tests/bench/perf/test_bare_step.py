"""The bare training step, and both precisions of it."""

import pytest
import torch

from bench.perf import bare_step, precisions
from bench.protocol import PROFILES, resolve
from models.catalog import MODELS


def protocol(**options):
    return resolve(
        MODELS["stfpm_resnet18"], "baseline", PROFILES["standard"], image_size=64, **options
    )


def test_the_bare_step_convolves_as_cases_do(monkeypatch):
    models = []
    monkeypatch.setattr(bare_step, "use_winograd", models.append)
    bare_step.bare_step("stfpm_resnet18", protocol(), torch.device("cpu"))
    assert len(models) == 1


def test_steps_after_the_warm_up_are_timed(monkeypatch):
    monkeypatch.setattr(bare_step, "_STEPS_S", 0.0)
    ran = []
    seconds = bare_step.timed(lambda: ran.append(1), torch.device("cpu"))
    assert len(seconds) == len(ran) - bare_step.WARM_UP == 5


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("float32", None)])
def test_the_step_trains_in_the_protocols_precision(monkeypatch, precision, dtype):
    kinds = set()
    build = MODELS["stfpm_resnet18"].load_build()

    def watched(**options):
        model = build(**options)
        for layer in model.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.weight.requires_grad:
                layer.register_forward_hook(lambda *call: kinds.add(call[-1].dtype))
        return model

    monkeypatch.setattr(type(MODELS["stfpm_resnet18"]), "load_build", lambda self: watched)
    bare_step.bare_step("stfpm_resnet18", protocol(precision=precision), torch.device("cpu"))()
    assert kinds == {dtype or torch.float32}


def test_both_precisions_are_measured_in_turn(monkeypatch):
    seen = []

    def rate(name, protocol, device):
        seen.append((protocol.precision, protocol.recipe.batch_size))
        return float(len(seen))

    monkeypatch.setattr(precisions, "bare_rate", rate)
    found = precisions.measure("autoencoder", 2, 3, torch.device("cpu"))
    assert seen == [("float32", 2), ("bf16", 2)] * 3
    assert found == {"float32": 3.0, "bf16": 4.0}
