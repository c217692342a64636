"""OpenMP's threads spin briefly before they sleep, unless the user set otherwise."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from bench.threads import spin_briefly
before = "torch" in sys.modules
print(before, spin_briefly(sys.argv[1]), os.environ.get("GOMP_SPINCOUNT"))
"""


LATE = """
import torch
from bench.threads import spin_briefly
print(spin_briefly("cpu"))
"""


def printed(root, code, *arguments, **user):
    """What a new process prints in which the user set only these variables."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command, cwd=root, env=environment | user, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("device", "user", "expected"),
    [
        ("cpu", {}, "False True 5000"),
        ("cuda:1", {}, "False False None"),
        ("cpu", {"OMP_WAIT_POLICY": "ACTIVE"}, "False False None"),
        ("cpu", {"GOMP_SPINCOUNT": "100"}, "False False 100"),
        ("cpu", {"KMP_BLOCKTIME": "0"}, "False False None"),
    ],
)
def test_the_policy_is_set_before_torch_is_loaded_where_no_user_set_it(
    root, device, user, expected
):
    assert printed(root, CODE, device, **user) == expected


def test_the_policy_is_left_alone_once_torch_is_loaded(root):
    assert printed(root, LATE) == "False"
