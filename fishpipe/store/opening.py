"""The ledgers that a project reads: its own, and that of its drafts, each as it is believed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from fishpipe.store.ledger import Ledger
from fishpipe.store.origin import as_it_fits, check_ledger, check_uncommitted, is_made_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fishpipe.store.layout import Layout


@contextmanager
def read_ledger(layout: Layout, now: Callable[[], float]) -> Iterator[Ledger | None]:
    """A state's ledger, for reading alone; one that came from elsewhere as it would be taken over."""
    if is_made_here(layout.ledger):
        if not layout.ledger.exists():
            check_uncommitted(layout)
        with Ledger.reading(layout.ledger, now) as ledger:
            yield ledger
        return
    check_uncommitted(layout)
    check_ledger(layout.ledger)
    with as_it_fits(layout.ledger, now()) as fitting, Ledger.reading(fitting, now) as ledger:
        yield ledger


@contextmanager
def ledger_beside(layout: Layout, now: Callable[[], float], provider: str) -> Iterator[Ledger | None]:
    """The ledger of the project's other builds, where it has calls to a provider; for reading alone."""
    if not layout.other.ledger.exists():
        yield None
        return
    with read_ledger(layout.other, now) as ledger:
        if ledger is not None:
            ledger.only = provider
        yield ledger if ledger is not None and ledger.has(provider) else None
