"""The commands and code blocks of the guides, as text."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]

GUIDES = (
    *("README.md", "README.ko.md", "bench/README.md", "models/README.md"),
    *("datasets_lib/README.md", "results/README.md"),
)
"""Guides whose commands and code blocks are all run; CONTRIBUTING.md has its own tests."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
_COMMANDS = ("uv ", "pip ", "pytest ", "python ", "tar ")


def blocks(guide, language):
    """The code blocks of a guide in a language, which is empty for a terminal."""
    text = (ROOT / guide).read_text(encoding="utf-8")
    return [content for name, content in _BLOCK.findall(text) if name == language]


def commands(guide):
    """The commands of a guide, in blocks and in running text, each as a list of words."""
    text = (ROOT / guide).read_text(encoding="utf-8")
    lines = [line for block in blocks(guide, "") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
    found = []
    for line in lines:
        for command in line.split(" && "):
            if command.startswith(_COMMANDS) and command.strip() not in ("python -m bench …",):
                words = shlex.split(command, comments=True)
                words = [word.replace("MODEL", "padim_resnet18") for word in words]
                found.append([word for word in words if word != "…"])
    return found
