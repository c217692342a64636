"""Shared by tests of downloads: a body, answers of a server that send it, and short timeouts."""

import hashlib
import random
from dataclasses import replace

from scripted_server import Answer

from datasets_lib.download.fetch import Patience, download

BODY = random.Random(0).randbytes(1_000_000)
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
WHOLE = Answer(BODY)
HALF = replace(WHOLE, drop_after=400_000)
QUICK = Patience(attempts=3, pause_seconds=0.01, stall_seconds=0.5)


def names(target):
    return sorted(path.name for path in target.parent.iterdir() if path.suffix != ".lock")


def fetch(urls, target, **options):
    return download(urls, target, patience=QUICK, **options)


def assert_whole(target):
    assert target.read_bytes() == BODY
    assert names(target) == ["file.bin"]
