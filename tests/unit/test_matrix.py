"""The combinations of a matrix, by the examples of GitHub Actions' documentation."""

from __future__ import annotations

from fishpipe.manifest.matrix import combinations


def test_all_combinations_the_last_key_fastest() -> None:
    found = combinations({"os": ["a", "b"], "version": [1, 2]})
    assert found == [{"os": o, "version": v} for o in "ab" for v in (1, 2)]


def test_include_as_documented() -> None:
    found = combinations(
        {"fruit": ["apple", "pear"], "animal": ["cat", "dog"]},
        include=[
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"},
        ],
    )
    assert found == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_exclude_takes_a_part_of_a_combination() -> None:
    found = combinations({"os": ["a", "b"], "version": [1, 2]}, exclude=[{"os": "a"}, {"os": "b", "version": 2}])
    assert found == [{"os": "b", "version": 1}]


def test_include_alone() -> None:
    assert combinations({}, include=[{"a": 1}, {"a": 2}]) == [{"a": 1}, {"a": 2}]
