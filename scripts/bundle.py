"""Put a registered package into the source tree as the pretrained one, with its model card.

python scripts/bundle.py --workspace workspace/ptbxl --command "make run DATA=..."
"""

import argparse
import sys
from pathlib import Path

from leadwise.contract import LeadwiseError
from leadwise.tracking_store import commit


def bundle_workspace(
    workspace: Path, command: str, destination: Path | None = None, trained_by: str = "", elsewhere: str = ""
) -> None:
    """Ship what the register stage packaged from a workspace, and what the gate let pass.

    Args:
        workspace: where the register stage has left a package.
        command: what made it.
        destination: a folder; ``None``: the source tree.
        trained_by: the commit whose code trained it; empty: that of this checkout.
        elsewhere: what was measured on other hospitals' recordings, in Markdown.

    Raises:
        ModelError: the package did not pass the gate, or must not be shipped.
    """
    from leadwise.registry.load import BUNDLED
    from leadwise.registry.model_card import model_card
    from leadwise.registry.package import PACKAGE_FOLDER, Package, bundle
    from leadwise.registry.register import require_passed

    require_passed(workspace)
    package = Package.read(workspace / PACKAGE_FOLDER)
    card = model_card(package, workspace, command=command, commit=trained_by or commit(), elsewhere=elsewhere.strip())
    for file in bundle(package, card, destination or BUNDLED):
        print(f"{file}  {file.stat().st_size:,} bytes")


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True, help="where the register stage has left a package")
    parser.add_argument("--command", required=True, help="what made it, for the model card")
    parser.add_argument("--destination", type=Path, help="another folder than that of the source tree")
    parser.add_argument("--commit", default="", help="whose code trained it (default: of this checkout)")
    parser.add_argument("--elsewhere", type=Path, help="Markdown for the card: what `leadwise validate` found")
    arguments = parser.parse_args()
    try:
        elsewhere = arguments.elsewhere.read_text(encoding="utf-8") if arguments.elsewhere else ""
        bundle_workspace(arguments.workspace, arguments.command, arguments.destination, arguments.commit, elsewhere)
    except (LeadwiseError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"bundle: error: {error}")


if __name__ == "__main__":
    main()
