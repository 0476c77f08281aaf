"""The command line of ``slipway inspect``. What it needs is imported only when it runs."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", type=Path, metavar="FILE", help="a model file or folder")
    parser.add_argument("-o", "--output", choices=("json", "yaml"), help="for programs")


def run(options: argparse.Namespace) -> int:
    """Look, and print; the exit code."""
    from slipway_optimizer.inspect import report

    return report.run(options)
