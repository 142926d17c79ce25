"""Open the page, until it is stopped with Ctrl-C: ``python pipelines/app.py --tree data/ptbxl``."""

import sys
from collections.abc import Sequence

from leadwise.contract import LeadwiseError
from leadwise.parameters import parse_arguments


def main(arguments: Sequence[str] | None = None) -> None:
    """Become the page; nothing is logged, as nothing is computed."""
    from leadwise.app.settings import launch

    try:
        launch(parse_arguments("app", arguments).app)
    except LeadwiseError as error:
        sys.exit(f"leadwise app: error: {error}")


if __name__ == "__main__":
    main()
