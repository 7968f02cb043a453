"""What changed since a revision: words, voice, settings, take, order; read from git, the work tree untouched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishpipe.compare import Line, State, compare
from fishpipe.errors import Span
from fishpipe.report.diffs import word_diff
from tests.functional.test_lock import edit, git

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]

SHOW = """
    fishpipe: 1
    voices:
      ana: {sample_url: https://example.com/ana.mp3}
      ben: {sample_url: https://example.com/ben.mp3}
    defaults: {voice: ana}
    include: [more.yaml]
    scripts:
      one:
        output: one.mp3
        segments:
          - text: Good evening, dear friend.
          - {id: harbour, text: The harbour is quiet tonight.}
          - text: A third line of words.
          - pause: 2s
          - text: Good night.
    """
MORE = """
    scripts:
      tail:
        segments: [{text: That was all.}]
    """


@pytest.fixture
def show(cli: Cli, write: Write, service: Service) -> Service:
    git("init", "-q", "-b", "main")
    write(SHOW)
    write(MORE, "more.yaml")
    write(".fishpipe/\n*.mp3\nservice/\n", ".gitignore")
    assert cli("build").code == 0
    git("add", "-A")
    git("commit", "-qm", "First")
    return service


def changes(cli: Cli, *rev: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("diff", *rev, "--json").data["changes"]
    return found


def test_each_change_is_told_by_its_address(cli: Cli, show: Service) -> None:
    assert cli("diff").out.startswith("no line changed since HEAD (")
    edit("Good evening, dear friend.", "Good evening, my friend.")
    edit("quiet tonight.}", "quiet tonight., voice: ben, gap: 1s, prosody: {speed: 1.1}}")
    edit(
        "      - text: A third line of words.\n      - pause: 2s\n",
        "      - pause: 2s\n      - text: A third line of words.\n",
    )
    edit("- text: Good night.", "- text: Good night.\n      - text: Until tomorrow.")
    paid = len(show.usage())
    text = cli("diff").out.splitlines()
    assert text[0] == ('~ fishpipe.yaml:11: one/0001: "Good evening, [-dear-]{+my+} friend." (~$0.0004)')
    assert text[1] == (
        "~ fishpipe.yaml:12: one/harbour: voice ana → ben; gap 300ms → 1s; prosody.speed unset → 1.1 (~$0.0004)"
    )
    assert text[2].startswith("> fishpipe.yaml:1")
    assert "moved (it was one/000" in text[2]
    assert text[3] == '+ fishpipe.yaml:16: one/0006: added: "Until tomorrow." (~$0.0002)'
    assert text[4].startswith("one: about 0:")
    assert text[5].startswith("2 changed, 1 added, 1 moved (4 lines) since HEAD (")
    assert text[5].endswith("; 4 calls, 68 bytes, ~$0.0010 + 1 call of unknown price")
    assert len(show.usage()) == paid
    assert git("status", "--short") == " M fishpipe.yaml\n"


def test_markdown_is_fit_for_a_comment(cli: Cli, show: Service) -> None:
    edit("Good evening, dear friend.", "Good *evening*, dear | friend.")
    edit("      - text: Good night.\n", "")
    shown = cli("diff", "--format", "markdown").out
    assert shown.startswith("**1 changed, 1 removed (2 lines)** since `HEAD`; 1 call, 30 bytes, \\~$0.0004")
    assert r'| one/0001 | "Good ~~evening,~~**\*evening\*,** dear **\|** friend." | \~$0.0004 |' in shown
    assert '| one/0005 | removed: "Good night." |  |' in shown
    assert "- one: about 0:" in shown


def test_a_take_and_what_is_paid_are_told(cli: Cli, show: Service) -> None:
    assert cli("retake", "one/harbour").code == 0
    change = changes(cli)[0]
    assert change["what"] == ["take"]
    assert (change["before"]["take"], change["after"]["take"]) == (1, 2)
    assert change["price"] == "paid"
    assert "one/harbour: take 1 → 2 (paid)" in cli("diff").out


def test_the_manifest_may_have_moved(cli: Cli, show: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("show").mkdir()
    for name in ("fishpipe.yaml", "more.yaml", "fishpipe.lock"):
        git("mv", name, f"show/{name}")
    monkeypatch.chdir(tmp_path / "show")
    edit("Good night.", "Sleep well.")
    found = changes(cli)
    assert [change["address"] for change in found] == ["one/0005"]
    git("commit", "-qam", "Moved")
    assert changes(cli, "HEAD") == []
    assert [change["address"] for change in changes(cli, "HEAD~1")] == ["one/0005"]


def test_plan_since_is_the_cost_of_a_branch(
    cli: Cli, show: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit("Good night.", "Sleep well.")
    git("commit", "-qam", "Edit")
    git("clone", "-q", ".", "clone")
    monkeypatch.chdir(tmp_path / "clone")
    shown = cli("plan", "--since", "HEAD~1").out
    assert 'fishpipe.yaml:15: one/0005: ~$0.0002: text changed: "Good night." → "Sleep well."' in shown
    assert "1 call, 11 bytes" in shown
    assert cli("plan", "--since", "HEAD~1", "--exit-code").code == 9
    monkeypatch.chdir(tmp_path)
    assert cli("build").code == 0
    git("commit", "-qam", "Built")
    told = cli("plan", "--since", "HEAD~2", "--exit-code")
    assert told.code == 0
    assert told.out.endswith("paid for already: 1 call; to pay: nothing\n")
    assert "one/0005: ~$0.0002: text changed" in told.out, "what the branch cost, whatever is built here"
    monkeypatch.chdir(tmp_path / "clone")
    assert cli("plan", "--since", "HEAD", "--exit-code").code == 0
    assert not Path(".fishpipe").exists()


def test_what_git_cannot_give_is_said(cli: Cli, show: Service, write: Write) -> None:
    assert 'git knows no revision "nowhere"' in cli("diff", "nowhere").err
    assert cli("diff", "nowhere").code == 2
    assert cli("diff", "--", "--output=x").code == 2
    edit("output: one.mp3", "outputt: one.mp3")
    git("commit", "-qam", "Broken")
    edit("outputt: one.mp3", "output: one.mp3")
    told = cli("diff")
    assert told.code == 3
    assert 'HEAD:fishpipe.yaml:9:5: unknown key "outputt"' in told.err


def test_outside_of_git_a_diff_says_so(cli: Cli, write: Write) -> None:
    write(SHOW.replace("include: [more.yaml]", "project: {title: T}"))
    told = cli("diff")
    assert told.code == 2
    assert "git" in told.err


def test_a_variable_that_is_new_is_no_obstacle(cli: Cli, show: Service) -> None:
    edit("Good night.", "'{{ end }}'")
    edit("defaults:", "vars: {end: Good night.}\ndefaults:")
    assert changes(cli) == []
    assert [change["what"] for change in cli("diff", "--var", "end=Bye.", "--json").data["changes"]] == [["words"]]


def line(words: str, number: int) -> Line:
    return Line(
        address=f"one/{number:04d}", span=Span("f"), kind="text", words=words, voice="", settings={}, take=1,
        named=False, step=None,
    )  # fmt: skip


def test_a_rewrite_is_compared_in_time() -> None:
    """Two thousand lines that all became others: a search among all pairs would take minutes."""
    old = [line(f"Old words of line {n}.", n) for n in range(2000)]
    new = [line(f"New words of line {n}.", n) for n in range(2001)]
    found = compare(State(scripts={"one": tuple(old)}), State(scripts={"one": tuple(new)}))
    assert [change.kind for change in found] == [*["changed"] * 2000, "added"]


@given(st.lists(st.sampled_from("abcdef"), max_size=8), st.lists(st.sampled_from("abcdef"), max_size=8))
def test_changes_account_for_every_line(old: list[str], new: list[str]) -> None:
    before, after = ([line(words, n) for n, words in enumerate(side, 1)] for side in (old, new))
    found = compare(State(scripts={"one": tuple(before)}), State(scripts={"one": tuple(after)}))
    counts = {kind: sum(change.kind == kind for change in found) for kind in ("added", "removed", "changed", "moved")}
    assert len(old) - counts["removed"] == len(new) - counts["added"]
    assert (not found) == (old == new)
    if sorted(old) == sorted(new):
        assert counts["added"] == counts["removed"] == counts["changed"] == 0


@given(st.text("ab \n", max_size=12), st.text("ab \n", max_size=12))
def test_a_word_diff_has_both_texts(before: str, after: str) -> None:
    found = word_diff(before, after)
    assert "".join(text for op, text in found if op != "ins") == before
    assert "".join(text for op, text in found if op != "del") == after
