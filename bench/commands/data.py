"""``python -m bench data``: list, get, verify and find datasets."""

import argparse

from bench.commands import data_get, data_list, data_prepare, data_verify, data_where
from bench.commands.command import add_cache_dir, add_data_dir


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its actions to the parser."""
    command = commands.add_parser("data", help="list, get, verify and find datasets")
    actions = command.add_subparsers(metavar="ACTION", required=True)
    for action in (data_list, data_get, data_prepare, data_verify, data_where):
        action.add(actions)
    for parser in actions.choices.values():
        add_data_dir(parser)
        add_cache_dir(parser)
