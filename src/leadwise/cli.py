"""The ``leadwise`` command. What a subcommand needs is imported when it runs, so that ``--help`` answers at once."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from leadwise import __version__
from leadwise.features import NO_YES, asked_features, asked_names

_DOWNLOAD = """\
Bring what Leadwise needs of PTB-XL into a folder: the tables and the records of one sampling rate
(100 Hz: 0.54 GB in 43,600 files; 500 Hz: 2.6 GB). Every file is compared with PhysioNet's list of
SHA-256 sums. What is whole is not fetched again: after an interruption, give the same command again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Returns:
        The exit status: 0; 1 after an error that the user can act on, whose message goes to standard error; 130 after
        Ctrl-C; 141 if whoever read the messages left before the work was done.
        A command line that cannot be parsed ends the program with status 2.
    """
    try:
        return _print(_run(arguments))
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    finally:
        _drop_what_nobody_reads()


def _run(arguments: Sequence[str] | None) -> object:
    """What a subcommand gives: an exit status, or what to print."""
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        _tell(f"leadwise {options.command}: stopped", sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        from leadwise.errors import refusal

        if (told := refusal(error)) is None:
            raise
        _tell(f"leadwise {options.command}: error: {told}", sys.stderr)
        return 1


def _tell(text: object, stream: TextIO) -> None:
    """Print what came of the work, which is done even if its reader (`| head`) has left."""
    with suppress(BrokenPipeError):
        print(text, file=stream)


def _print(result: object) -> int:
    """Print what is not printed yet; the exit status, which is not 0 where it is printed to a disk that is full."""
    status = result if isinstance(result, int) else 0
    try:
        if not isinstance(result, int):
            print(result)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        return status
    except OSError as error:
        _tell(f"leadwise: error: standard output: {error.strerror}", sys.stderr)
        return status or 1
    return status


def _drop_what_nobody_reads() -> None:
    """Keep Python from failing over it at the end of the program."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def build_parser() -> argparse.ArgumentParser:
    """All subcommands; each sets ``run``, a function of the parsed options.

    Its result is printed, unless it is a whole number: then it has printed all there is, and this is the exit status.
    """
    from leadwise.datasets.releases import CITATIONS, LICENCE, PAPERS, RATES_HZ, RELEASES

    whole = argparse.ArgumentParser(
        prog="leadwise",
        description="12-lead ECGs to calibrated probabilities. For research and education only, no medical device.",
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"leadwise {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add_model(parser: argparse.ArgumentParser, **texts: Any) -> None:
        parser.add_argument(
            "--model", metavar="URI", help="models:/NAME@ALIAS, pretrained, or the folder of a package", **texts
        )

    def add_policy(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--policy", metavar="NAME", help="thresholds: best_f1, target_sensitivity or youden")

    def command(run: Callable[[argparse.Namespace], object], **texts: Any) -> argparse.ArgumentParser:
        found = commands.add_parser(run.__name__.removeprefix("_"), allow_abbrev=False, **texts)
        found.set_defaults(run=run, parser=found)
        return found

    newest = next(iter(RELEASES))
    parser = command(
        _download,
        help="bring PTB-XL from PhysioNet, or out of a zip archive; goes on where it stopped",
        description=_DOWNLOAD,
        epilog="\n- ".join([f"PTB-XL is under {LICENCE}. Whoever uses it cites:", CITATIONS[newest], *PAPERS]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dest", metavar="DEST", type=Path, help="folder of the tree: new, empty or a PTB-XL tree")
    parser.add_argument("--from-zip", metavar="FILE", type=Path, help="unpack PhysioNet's zip archive; no network")
    parser.add_argument("--release", choices=list(RELEASES), help=f"default: {newest}; of an archive: what it holds")
    parser.add_argument("--rate", type=int, choices=RATES_HZ, default=100, help="in Hz (default: 100, for all models)")
    parser.add_argument(
        "--source",
        metavar="URL",
        action="append",
        help="web folder that holds SHA256SUMS.txt; {release} in it is replaced; give it again for a second choice "
        "(default: PhysioNet, then its mirror on S3)",
    )
    parser.add_argument("--jobs", metavar="N", type=int, help="files fetched at a time, up to 64 (default: 16)")

    parser = command(
        _simulate,
        help="write a simulated PTB-XL tree",
        description="Write a simulated PTB-XL tree (100 Hz part) in PhysioNet's layout: a physics toy, no patients.",
    )
    parser.add_argument("dest", metavar="DEST", type=Path, help="folder of the tree; nothing else is overwritten")
    parser.add_argument("--patients", metavar="N", type=int, help="number of patients (see docs/parameters.md)")
    parser.add_argument("--seed", metavar="S", type=int, help="same seed, same bytes (see docs/parameters.md)")

    parser = command(
        _predict,
        help="say what the champion makes of ECG files of any format",
        description="Read ECG files (docs/formats.md lists the formats), say what "
        "was understood of each, and what the champion makes of it. Without --url the champion of the registry in use "
        "answers, or the model that ships. Facts about the patient count more than those in a file.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="one recording each; of WFDB the header")
    parser.add_argument("--url", metavar="URL", help="ask this scoring server")
    add_model(parser)
    add_policy(parser)
    parser.add_argument(
        "--explain", metavar="CLASS", action="append", default=[], help="say why; NORM, MI, STTC, CD, HYP; repeatable"
    )
    parser.add_argument("--figure", metavar="FILE", type=Path, help="draw the one recording: .png, .pdf or .svg")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    facts = parser.add_argument_group("the patient, of every file")
    for one in asked_features():
        if one.choices == NO_YES:
            facts.add_argument(one.option, action="store_true", default=None)
        elif one.choices:
            facts.add_argument(one.option, choices=one.choices)
        else:
            facts.add_argument(one.option, metavar=one.unit.upper() or "N", type=float)
    _add_hints(parser)

    parser = command(
        _plot,
        help="draw an ECG file of any format on paper",
        description="Draw ten seconds of an ECG file (docs/formats.md lists the formats) on "
        "paper, 25 mm/s and 10 mm/mV. PDF and SVG are true to scale when printed at 100 %.",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="one recording; of WFDB the header")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help=".png, .pdf or .svg")
    parser.add_argument(
        "--start", metavar="S", type=float, default=0.0, help="the first of the ten seconds (default: 0)"
    )
    _add_hints(parser)

    parser = command(
        _score,
        help="score a folder or table of recordings to a Parquet table of answers",
        description="Score the recordings of a folder, or of a CSV or Parquet table of their files with facts about "
        "the patients, to a Parquet table of answers. After an interruption the same command goes on where it stopped.",
    )
    parser.add_argument("input", metavar="INPUT", type=Path, help="a folder, or a table of files")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="the table to write: a .parquet file")
    add_model(parser)
    add_policy(parser)
    parser.add_argument("--workers", metavar="N", type=int, default=0, help="processes (default: one per processor)")
    _add_hints(parser)

    parser = command(
        _validate,
        help="how well the champion does on another hospital's recordings, with intervals and a report",
        description="Score recordings whose labels are known (docs/external-data.md lists the datasets, your own table "
        "among them), measure every class on those whose label is known, and write a report. Without --model the "
        "champion of the registry in use answers, or the model that ships. PTB-XL gives its test "
        "fold.",
    )
    parser.add_argument("source", metavar="SOURCE", type=Path, help="the folder or file of the recordings")
    parser.add_argument("--dataset", metavar="NAME", default="", help="default: what the source is recognised as")
    add_model(parser, default="")
    parser.add_argument("--label-map", choices=("strict", "wide"), help="doubtful codes: unknown, or present")
    parser.add_argument("--options", metavar="NAME:VALUE", help="of the dataset, with commas: gain:header; or JSON")
    parser.add_argument("--split", metavar="NAME", help="auto: PTB-XL's test part, of others all; or all")
    add_policy(parser)
    parser.add_argument(
        "--without", metavar="FEATURE", action="append",
        help=f"do not tell the model this feature; {', '.join(asked_names())}, or all; repeatable",
    )  # fmt: skip
    parser.add_argument("--bootstrap", metavar="N", help="replicates behind the intervals (default: 1000)")
    parser.add_argument("--seed", metavar="S", help="of the bootstrap (default: 20)")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=Path("validation"),
        help="for the reports; each dataset has a folder below it (default: %(default)s)",
    )  # fmt: skip

    parser = command(
        _app,
        help="open the page: an ECG in, its picture, the answer and why",
        description="Open the page in a browser, until Ctrl-C. The champion of the registry in use answers, else the "
        "model that ships, else the champion trained on simulated data.",
    )
    parser.add_argument("--url", metavar="URL", help="ask this scoring server")
    add_model(parser)
    parser.add_argument("--tree", metavar="DIR", help="a PTB-XL tree, for real examples (default: simulated ones)")
    parser.add_argument("--embed-from", metavar="ORIGIN", help="let pages of this origin show it in a frame")
    parser.add_argument("--port", metavar="N", type=int, help="see docs/parameters.md")
    parser.add_argument("--address", metavar="IP", help="to listen at; 0.0.0.0: let others in")

    parser = command(
        _serve,
        help="answer over REST, until Ctrl-C",
        description="Answer POST /invocations with a registered model, until Ctrl-C: MLflow's scoring server, as "
        "`mlflow models serve --env-manager local` starts it, but sooner and without a second process that waits.",
    )
    parser.add_argument(
        "--model",
        metavar="URI",
        default="models:/leadwise@champion",
        help="models:/NAME@ALIAS, models:/NAME/VERSION, pretrained, or the folder of a logged model "
        "(default: %(default)s)",
    )
    parser.add_argument("--port", metavar="N", type=int, default=5001, help="default: %(default)s")
    parser.add_argument(
        "--address",
        metavar="IP",
        default="127.0.0.1",
        help="to listen at; 0.0.0.0: let others in (default: %(default)s)",
    )
    parser.add_argument("--workers", metavar="N", type=int, default=1, help="processes (default: %(default)s)")
    return whole


def _download(options: argparse.Namespace) -> object:
    from leadwise.datasets.releases import RELEASES, SOURCES
    from leadwise.stopping import Stopped, at_once, stoppable

    if options.from_zip is not None and (options.source or options.jobs is not None):
        options.parser.error("--source and --jobs are for the network: leave them out with --from-zip")
    try:
        with stoppable(), at_once():
            if options.from_zip is not None:
                from leadwise.datasets.completion import unpack_zip

                arrived = unpack_zip(options.from_zip, options.dest, release=options.release, rate_hz=options.rate)
            else:
                from leadwise.datasets.download import JOBS, download

                arrived = download(
                    options.dest,
                    release=options.release or next(iter(RELEASES)),
                    rate_hz=options.rate,
                    sources=options.source or SOURCES,
                    jobs=JOBS if options.jobs is None else options.jobs,
                )
    except Stopped as stopped:
        _tell("leadwise download: stopped. What has arrived is whole; the same command goes on from here.", sys.stderr)
        return 128 + stopped.number
    return arrived.report()


def _simulate(options: argparse.Namespace) -> Path:
    from leadwise.datasets.synthetic import write_simulated_tree

    patients, seed = options.patients, options.seed
    if patients is None or seed is None:
        from leadwise.parameters import load_parameters

        defaults = load_parameters(entry_point="simulate")
        patients = defaults.simulate.patients if patients is None else patients
        seed = defaults.shared.seed if seed is None else seed
    return write_simulated_tree(options.dest, patients=patients, seed=seed)


def _predict(options: argparse.Namespace) -> int:
    from leadwise.predict import predict

    return predict(
        options.files,
        url=options.url,
        model=options.model,
        policy=options.policy,
        explain=options.explain,
        figure=options.figure,
        as_json=options.json,
        facts=_given(options, *asked_names()),
        hints=_hints(options),
    )


def _add_hints(parser: argparse.ArgumentParser) -> None:
    hints = parser.add_argument_group("what a file does not say, or says wrongly")
    hints.add_argument("--fs-hz", metavar="HZ", type=float, help="sampling rate")
    hints.add_argument("--units", choices=("mV", "uV", "V", "nV"))
    hints.add_argument("--gain", metavar="G", type=float, help="stored numbers per millivolt, in place of --units")
    hints.add_argument("--leads", metavar="NAMES", help="of all signals, with commas: I,II,III,aVR,...")
    hints.add_argument("--order", choices=("time_lead", "lead_time"), help="of an array")


def _hints(options: argparse.Namespace) -> dict[str, object]:
    hints = _given(options, "fs_hz", "units", "gain", "order")
    if options.leads is not None:
        hints["leads"] = [name.strip() for name in options.leads.split(",")]
    return hints


def _given(options: argparse.Namespace, *names: str) -> dict[str, object]:
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _plot(options: argparse.Namespace) -> Path:
    from leadwise.reports.ecg_figure import plot_file

    return plot_file(options.file, options.output, start_s=options.start, hints=_hints(options))


def _score(options: argparse.Namespace) -> str:
    if options.workers < 0:
        options.parser.error(f"--workers: received {options.workers}; 0 or more is needed")
    from leadwise.registry.load import found_package
    from leadwise.serving.batch import score_batch

    with found_package(options.model) as (package, name):
        done = score_batch(
            options.input,
            options.output,
            package,
            policy=options.policy,
            workers=options.workers,
            hints=_hints(options),
        )
    return f"{done.file.resolve()}: {done.records:,} records, {done.errors:,} of them with an error; answered by {name}"


def _validate(options: argparse.Namespace) -> str:
    from leadwise.parameters import load_parameters
    from leadwise.registry.external_validation import validate_model

    names = ("dataset", "model", "label_map", "options", "split", "policy", "bootstrap", "seed")
    given = {name.replace("_", "-"): value for name, value in _given(options, *names).items()}
    if options.without:
        given["without"] = ",".join(options.without)
    given |= {"source": options.source, "output": options.output}
    validated = validate_model(load_parameters(given, entry_point="validate").validation)
    return f"{validated.text()}\nReport: {validated.report.resolve()}"


def _app(options: argparse.Namespace) -> None:
    from leadwise.app.settings import launch
    from leadwise.parameters import load_parameters

    given = _given(options, "url", "model", "tree", "embed_from", "port", "address")
    launch(load_parameters({name.replace("_", "-"): value for name, value in given.items()}, entry_point="app").app)


def _serve(options: argparse.Namespace) -> None:
    if not 1 <= options.port <= 65535:
        options.parser.error(f"--port: received {options.port}; 1 to 65535 is allowed")
    if options.workers < 1:
        options.parser.error(f"--workers: received {options.workers}; 1 or more is needed")
    from leadwise.registry.load import become_scoring_server

    become_scoring_server(options.model, options.address, options.port, options.workers)


if __name__ == "__main__":
    sys.exit(main())
