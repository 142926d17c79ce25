"""The ``leadwise`` command. What a subcommand needs is imported when it runs, so that ``--help`` answers at once."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from leadwise import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        The exit status: 0, or 1 after an error that the user can act on, whose message goes to standard error.
        A command line that cannot be parsed ends the program with status 2.
    """
    parser = build_parser()
    options = parser.parse_args(arguments)
    from leadwise.contract import LeadwiseError

    try:
        options.run(options)
    except LeadwiseError as error:
        print(f"leadwise {options.command}: error: {error}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """All subcommands; each sets ``run``, a function of the parsed options."""
    parser = argparse.ArgumentParser(
        prog="leadwise",
        description="12-lead ECGs to calibrated probabilities. For research and education only, no medical device.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"leadwise {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_simulate(commands)
    return parser


def _add_simulate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "simulate",
        help="write a simulated PTB-XL tree",
        description="Write a simulated PTB-XL tree (100 Hz part) in PhysioNet's layout: a physics toy, no patients.",
        allow_abbrev=False,
    )
    parser.add_argument("dest", metavar="DEST", type=Path, help="folder of the tree; nothing else is overwritten")
    parser.add_argument("--patients", metavar="N", type=int, help="number of patients (default: params.yaml)")
    parser.add_argument("--seed", metavar="S", type=int, help="same seed, same bytes (default: params.yaml)")
    parser.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> None:
    from leadwise.data.simulator import write_simulated_tree

    patients, seed = options.patients, options.seed
    if patients is None or seed is None:
        from leadwise.config import load_parameters

        defaults = load_parameters(entry_point="simulate")
        patients = defaults.simulate.patients if patients is None else patients
        seed = defaults.shared.seed if seed is None else seed
    print(write_simulated_tree(options.dest, patients=patients, seed=seed))


if __name__ == "__main__":
    sys.exit(main())
