"""OpenMP's threads spin briefly before they sleep, unless somebody wanted otherwise."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from bench.threads import spin_briefly
before = "torch" in sys.modules
print(before, spin_briefly(sys.argv[1]), os.environ.get("GOMP_SPINCOUNT"))
import torch
print(spin_briefly(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("device", "user", "expected"),
    [
        ("cpu", {}, ["False True 5000", "False"]),
        ("cuda:1", {}, ["False False None", "False"]),
        ("cpu", {"OMP_WAIT_POLICY": "ACTIVE"}, ["False False None", "False"]),
        ("cpu", {"GOMP_SPINCOUNT": "100"}, ["False False 100", "False"]),
        ("cpu", {"KMP_BLOCKTIME": "0"}, ["False False None", "False"]),
    ],
)
def test_the_policy_is_set_before_torch_is_loaded_where_no_user_set_it(
    root, device, user, expected
):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", CODE, device]
    done = subprocess.run(
        command, cwd=root, env=environment | user, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == expected
