from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fishpipe.graph.fingerprints import Fingerprint
from fishpipe.history import Lines, earlier_lines


def lines(*keys: str) -> Lines:
    """Lines by ordinal; `name=key` gives an id."""
    found = []
    for number, key in enumerate(keys, 1):
        name, _, value = key.rpartition("=")
        found.append((f"one/{name or f'{number:04d}'}", Fingerprint(value)))
    return tuple(found)


def changed(before: Lines, now: Lines) -> dict[str, str]:
    return dict(earlier_lines({"one": now}, {"one": before}))


def test_an_edited_line_is_told_from_the_one_it_replaces() -> None:
    assert changed(lines("a", "b", "c"), lines("a", "B", "c")) == {"one/0002": "b"}


def test_an_inserted_line_replaces_nothing() -> None:
    assert changed(lines("a", "b", "c"), lines("a", "new", "b", "c")) == {}


def test_a_removed_line_leaves_the_others() -> None:
    assert changed(lines("a", "b", "c"), lines("a", "c")) == {}


def test_an_id_is_followed_wherever_it_moves() -> None:
    assert changed(lines("x=a", "b", "c"), lines("b", "c", "x=A")) == {"one/x": "a"}


def test_a_new_script_has_no_past() -> None:
    assert earlier_lines({"two": lines("a")}, {"one": lines("b")}) == {}


@given(st.lists(st.sampled_from("abcdefgh"), max_size=12), st.lists(st.sampled_from("abcdefgh"), max_size=12))
def test_only_changed_lines_have_a_past(before: list[str], now: list[str]) -> None:
    old, new = lines(*before), lines(*now)
    for address, key in changed(old, new).items():
        assert key in before
        assert dict(new)[address] != key
