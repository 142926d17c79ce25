"""The card of a stage: one short page that its run holds, for whoever opens the run in the tracking UI."""

from collections.abc import Sequence
from dataclasses import dataclass

from leadwise.pages.report_page import Part, Tile, render

CARD_FILE = "card.html"


@dataclass(frozen=True)
class Card:
    """What a person wants to see first of a finished stage.

    Attributes:
        title: what was done.
        subtitle: on what.
        simulated: whether its figures say nothing about patients.
        tiles: the few numbers that matter.
        went_in: name and value of what the stage was given.
        came_out: name and value of what it has left.
        shown: tables and pictures, two or three.
        footer: where to read on.
    """

    title: str
    subtitle: str
    simulated: bool
    tiles: Sequence[Tile]
    went_in: Sequence[tuple[str, str]]
    came_out: Sequence[tuple[str, str]]
    shown: Sequence[Part] = ()
    footer: Sequence[str] = ()

    def html(self) -> str:
        """A page that loads nothing and runs nothing."""
        return render("card.html", **vars(self))


def log_card(card: Card) -> None:
    """Log a card to the active run."""
    import mlflow

    mlflow.log_text(card.html(), CARD_FILE)
