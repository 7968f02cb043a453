"""The combinations of a matrix, as GitHub Actions has them."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Combination = dict[str, Any]


def combinations(
    values: Mapping[str, Sequence[Any]],
    include: Sequence[Mapping[str, Any]] = (),
    exclude: Sequence[Mapping[str, Any]] = (),
) -> list[Combination]:
    """All combinations, in the order of the keys as written; the last key changes fastest.

    `exclude` removes those that have all of its values. Then each of `include` is added to the combinations whose
    original values it does not change, and is one of its own where there is none.
    """
    whole: list[Combination] = [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
    kept = [one for one in whole if not any(agrees(one, out) for out in exclude)] if values else []
    original = [dict(one) for one in kept]
    for more in include:
        fitting = [
            n for n, one in enumerate(original) if all(one[key] == more[key] for key in more.keys() & one.keys())
        ]
        for number in fitting:
            kept[number] |= more
        if not fitting:
            kept.append(dict(more))
    return kept


def agrees(one: Combination, part: Mapping[str, Any]) -> bool:
    """Whether a combination has all of some values."""
    return all(key in one and one[key] == value for key, value in part.items())
