"""``python -m bench data``: what datasets there are, getting them, and whether they are whole."""

import argparse

from bench.commands import data_get, data_list, data_prepare, data_verify, data_where
from bench.commands.command import add_cache_dir, add_data_dir


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command and its actions."""
    command = commands.add_parser("data", help="list, get, verify and find datasets")
    actions = command.add_subparsers(metavar="ACTION", required=True)
    for action in (data_list, data_get, data_prepare, data_verify, data_where):
        action.add(actions)
    for parser in actions.choices.values():
        add_data_dir(parser)
        add_cache_dir(parser)
