"""A ledger that is damaged: told by its name with what to do, whatever was asked of it."""

from __future__ import annotations

import functools
import inspect
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from fishpipe.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Class = TypeVar("Class", bound=type)

_DAMAGE = (sqlite3.Error, msgspec.MsgspecError, ValueError, TypeError, LookupError, OverflowError)


def damaged(path: Path, error: Exception) -> StoreError:
    """The error of a ledger that cannot be read."""
    aside = f"{path.parent}/damaged"
    return StoreError(
        f"{path} is damaged or no ledger ({error}). Nothing was paid. Move it away, and build again: "
        f"mkdir {aside} && mv {path}* {aside}/ . Clips that are here or in the lock file are known without it; "
        "calls that were in flight are not, and would be paid again"
    )


def telling_damage(kind: Class) -> Class:
    """A class whose methods, asked of a `path` that is damaged, raise StoreError."""
    for name, method in list(vars(kind).items()):
        if inspect.isfunction(method) and not name.startswith("__") and not hasattr(method, "__wrapped__"):
            setattr(kind, name, _told(method))
    return kind


def _told(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def asked(self: Any, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        try:
            return method(self, *arguments, **named)
        except _DAMAGE as error:
            raise damaged(self.path, error) from error

    return asked
