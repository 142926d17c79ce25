"""The networks that Leadwise brings along: trained on PTB-XL, ready to be registered with no data and no training."""

import json
import shutil
from pathlib import Path

import leadwise
from leadwise.atomic import folder_written_atomically
from leadwise.contract import LeadwiseError
from leadwise.datasets.checksums import read_sha256sums, sha256_of
from leadwise.registry.gate.report import JSON_FILE
from leadwise.registry.package import CODE_FOLDER, EXAMPLE_FILE, Package, stage_code
from leadwise.serving.scorer import DESCRIPTION_FILE

SHIPPED = Path(leadwise.__file__).parent / "pretrained"
CARD_FILE = "MODEL_CARD.md"
SUMS_FILE = "SHA256SUMS.txt"
LARGEST_BYTES = 20 * 2**20


class ShippedError(LeadwiseError):
    """The pretrained package is absent, damaged, or must not be shipped."""


def shipped_files(shipped: Path = SHIPPED) -> list[str]:
    """The names of the pretrained package's files, every one checked against its SHA-256.

    Raises:
        ShippedError: it is absent or damaged; the message names the file.
    """
    if not (shipped / SUMS_FILE).is_file():
        raise ShippedError(f"source: {shipped}: no pretrained package there; take another copy of Leadwise")
    sums = read_sha256sums(shipped / SUMS_FILE)
    for name, expected in sums.items():
        if not (shipped / name).is_file():
            raise ShippedError(f"{shipped / name}: does not exist; take another copy of Leadwise")
        if (received := sha256_of(shipped / name)) != expected:
            raise ShippedError(
                f"{shipped / name}: SHA-256 is {received[:12]}, expected {expected[:12]}: the file was changed; "
                "take another copy of Leadwise"
            )
    return list(sums)


def unpack_shipped(folder: Path, shipped: Path = SHIPPED) -> Package:
    """Check the pretrained package and write it to a folder, with the code that scores.

    Args:
        folder: where; replaced if it is there.
        shipped: where the package comes from.

    Raises:
        ShippedError: it is absent or damaged; the message names the file.
    """
    names = shipped_files(shipped)
    with folder_written_atomically(folder) as target:
        for name in names:
            shutil.copyfile(shipped / name, target / name)
        stage_code(target / CODE_FOLDER)
    return Package.read(folder)


def require_passed(workspace: Path) -> None:
    """Only what the gate let pass is brought along.

    Raises:
        ShippedError: it did not, or was not asked.
    """
    file = workspace / JSON_FILE
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ShippedError(f"{file}: no report of the gate ({error}); run the register stage first") from None
    if not report["passed"]:
        raise ShippedError(f"{file}: {report['verdict']}")


def ship(package: Package, card: str, shipped: Path = SHIPPED) -> list[Path]:
    """Write a package and its card where ``unpack_shipped`` finds them.

    Args:
        package: of models trained on PTB-XL.
        card: the model card, as Markdown.
        shipped: where to; replaced if it is there.

    Returns:
        The files.

    Raises:
        ShippedError: the models were trained on simulated data, or the package is larger than 20 MiB.
    """
    if package.simulated:
        raise ShippedError(f"{package.folder}: trained on simulated data; only models of PTB-XL are shipped")
    names = [DESCRIPTION_FILE, EXAMPLE_FILE, *(file.name for file in package.network_files.values())]
    size = sum((package.folder / name).stat().st_size for name in names)
    if size > LARGEST_BYTES:
        raise ShippedError(f"{package.folder}: received {size / 2**20:.1f} MiB; allowed: {LARGEST_BYTES / 2**20:g} MiB")
    with folder_written_atomically(shipped) as target:
        for name in names:
            shutil.copyfile(package.folder / name, target / name)
        description = json.loads((target / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        (target / DESCRIPTION_FILE).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        (target / CARD_FILE).write_text(card, encoding="utf-8")
        sums = [f"{sha256_of(target / name)}  {name}" for name in sorted([*names, CARD_FILE])]
        (target / SUMS_FILE).write_text("\n".join(sums) + "\n", encoding="utf-8")
    return sorted(shipped.iterdir())
