from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishpipe.manifest.template import TemplateError, render

SCOPE = {
    "host": "Ana",
    "n": 3,
    "half": 0.5,
    "yes": True,
    "people": ["Ana", "Ben"],
    "map": {"a": {"b": "deep"}},
    "empty": "",
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("Hi {{ host }}!", "Hi Ana!"),
        ("{{ n }}", 3),
        ("{{ n + 1 }}", 4),
        ("{{ half * n }}", 1.5),
        ("n={{ n }}", "n=3"),
        ("{{ yes }}", True),
        ("{{ map.a.b }} {{ map['a'].b }}", "deep deep"),
        ("{{ people[1] }} {{ people | join(' and ') }}", "Ben Ana and Ben"),
        ("{{ 'x' if n > 2 else 'y' }}", "x"),
        ("{{ host | upper }} {{ host | lower | title }}", "ANA Ana"),
        ("{{ nobody | default('you') }}", "you"),
        ("{{ map.c | default('none') }}", "none"),
        ("{{ empty | default('full', true) }}", "full"),
        ("{{ host ~ n }}", "Ana3"),
        ("{{ 'An' in host and not n == 4 }}", True),
        ("{{ people | length }}", 2),
        ("{{ 'a-b' | replace('-', ' ') }}", "a b"),
        ("{{ 10 // 3 }} {{ 10 % 3 }} {{ -n }}", "3 1 -3"),
        ("{{ '{{' }} is two braces", "{{ is two braces"),
        ("{{ 2.567 | round(1) }}", 2.6),
    ],
)
def test_expressions(text: str, value: object) -> None:
    assert render(text, SCOPE) == value


@pytest.mark.parametrize(
    "text",
    [
        "{{ host.__class__ }}",
        "{{ host['__class__'] }}",
        "{{ host.upper }}",
        "{{ host.upper() }}",
        "{{ (1).real }}",
        "{{ people.append }}",
        "{{ map._private }}",
        "{{ [].__class__.__base__ }}",
        "{{ ''['join'] }}",
        "{{ range(10) }}",
        "{{ self }}",
        "{{ cycler }}",
        "{{ 'a' * 2000000000 }}",
        "{{ people * 1000000000 }}",
        "{{ '%0999999999d' % 1 }}",
        "{{ 9 ** 99999999 }}",
        "{{ host | attr('__class__') }}",
        "{{ host | map('upper') }}",
        "{{ people | tojson }}",
        "{{ host is defined }}",
        "{{ host[0:2] }}",
        "{% if yes %}x{% endif %}",
        "{# hidden #}",
        "{{ host",
        "{{ }}",
        "{{ a b }}",
        "{{ 1 / 0 }}",
        "{{ nobody }}",
        "{{ host }}{{ nobody }}",
        "text {{ people }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "not " * 5000 + "1 }}",
        "{{ lipsum.__globals__ }}",
    ],
)
def test_what_is_out_of_reach(text: str) -> None:
    with pytest.raises(TemplateError):
        render(text, SCOPE)


def test_growth_is_bounded() -> None:
    big = {"a": "x" * 600_000}
    for text in ("{{ a ~ a }}", "{{ a + a }}", "{{ a }}{{ a }}", "{{ a | replace('x', 'yy') }}"):
        with pytest.raises(TemplateError, match="1 MB"):
            render(text, big)


@given(st.text(alphabet="{}%#'\"|()[]. abn1+~*", max_size=30))
def test_nothing_but_a_template_error_comes_out(text: str) -> None:
    with contextlib.suppress(TemplateError):
        render(text, {"a": "x", "b": 2, "n": [1]})
