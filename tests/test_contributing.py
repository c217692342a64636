"""The model CONTRIBUTING.md shows really is one: it trains and predicts as the harness asks."""

import re
from dataclasses import replace

import torch

from bench.protocol import PROFILES, resolve
from bench.run.evaluate import predict_all
from bench.run.training.loop import fit
from bench.run.training.objective import AnomalyObjective
from models.catalog import MODELS
from models.components.base import GradientAnomalyModel


def test_the_example_model_trains_and_predicts(root, tmp_path):
    (source,) = re.findall(r"```python\n(.*?)```", (root / "CONTRIBUTING.md").read_text(), re.S)
    module = {}
    exec(compile(source, "CONTRIBUTING.md", "exec"), module)
    torch.manual_seed(0)
    model = module["build"](weights="resnet18.tv_in1k", state=None)
    assert isinstance(model, GradientAnomalyModel)
    plan = replace(resolve(MODELS["rd_resnet18"], "same", PROFILES["smoke"]), images_seen=400)
    images = torch.full((10, 3, 32, 32), 51, dtype=torch.uint8)
    options = {"device": torch.device("cpu"), "report": lambda *_: None}
    objective = AnomalyObjective(model, images, plan, torch.device("cpu"), 1)
    trained = fit(model, objective, plan, seed=1, checkpoint=tmp_path / "training.pth", **options)
    assert trained.losses[-1] < trained.losses[0]
    images[3, :, 4:9, 4:9] = 255
    predictions = predict_all(model, images, batch=4, **options)
    assert list(predictions) == ["plain"]
    assert predictions["plain"].scores.argmax() == 3
    assert predictions["plain"].maps.shape == (10, 32, 32)
