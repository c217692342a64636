"""Imports without torch's compiler, in a separate process, as this one may have it already."""

import subprocess
import sys

import pytest

BUILD = """
import sys
import torch
from bench.run.measure.flops import count_flops
from models.catalog import MODELS
from models.components.loading import undrawn

disable, entry = torch.compiler.disable, MODELS["padim_resnet18"]
build = entry.load_build()

import timm

state = timm.create_model("resnet18").state_dict()
model = build(weights=entry.weights, state=state, **entry.options)
with undrawn({}):
    timm.create_model("deit_tiny_patch16_224")
assert count_flops(lambda: model.backbone(torch.zeros(1, 3, 32, 32))) > 1e7
transformer = timm.create_model("deit_tiny_patch16_224", img_size=32, dynamic_img_size=True)
assert count_flops(lambda: transformer(torch.zeros(1, 3, 64, 64))) > 1e7
loaded = {"torch._dynamo", "torch._dynamo.utils", "sympy"} & sys.modules.keys()
assert not loaded, loaded
assert torch.compiler.disable is disable
"""

COMPILE = """
import torchvision

boxes = torch.tensor([[0.0, 0.0, 0.0, 2.0, 2.0]])
assert torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), boxes, 1).item() == 1
assert torchvision.ops.roi_align.__globals__["is_compile_supported"]("mps") is False

import torch._dynamo.utils
from timm.layers.typing import disable_compiler

assert torch._dynamo.utils.counters is not None
assert disable_compiler(lambda: 1)() == 1
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
"""


def run(script):
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_building_a_model_and_counting_its_flops_leave_the_compiler_alone():
    run(BUILD)


@pytest.mark.slow
def test_the_compiler_works_after_models_were_imported_without_it():
    run(BUILD + COMPILE)
