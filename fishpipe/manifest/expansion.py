"""What a manifest may become: one budget of steps for all that is repeated, included, combined and rendered.

A few lines can stand for a great many. What they become is counted while it is made, wherever that is, and reading ends
where the budget does: the place that spent it is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fishpipe.errors import Problem

if TYPE_CHECKING:
    from fishpipe.errors import Span

# A step is a value that is looked at: some microseconds, and some hundred bytes. What is written has steps of its own.
STEPS: Final = 1_000_000
_STEPS_A_VALUE: Final = 4
# Characters that cost about as much as one step.
CHARACTERS: Final = 64


class Exhausted(Exception):
    """The budget is spent; the problem was told."""


class Expansion:
    """Counts for one load; `problems` is told where the budget ends.

    So many `values` are written out: each may be looked at some times.
    """

    def __init__(self, problems: list[Problem], values: int = 0) -> None:
        self._problems = problems
        self._left = STEPS + _STEPS_A_VALUE * values
        self._blamed: Span | None = None

    def blame(self, at: Span) -> None:
        """What follows is because of what stands here: something that is repeated, combined or included."""
        self._blamed = at

    def spend(self, steps: int, at: Span) -> None:
        """Take steps from the budget. Raises Exhausted."""
        self._left -= steps
        if self._left < 0:
            message = f"this manifest becomes too much: more than {STEPS:,} values beyond those that are written"
            self._problems.append(Problem(self._blamed or at, message, "repeat, combine or include less here"))
            raise Exhausted
