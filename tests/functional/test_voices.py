"""Voices as things that live: created either way, checked once, pinned, forgotten; and the account's own."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Result, Service

    Cli = Callable[..., Result]
    Write = Callable[..., Path]
    Serve = Callable[..., Service]

MARCUS = "d7900c21663f485ab63ebdb7e5905036"
SHOW = """
    fishpipe: 1
    defaults: {voice: ana}
    voices:
      ana: {VOICE}
    scripts:
      one: {output: one.mp3, segments: [{text: Hello there.}, {text: And again.}]}
    """
SAMPLE = "sample_url: https://example.com/ana.mp3"


def show(voice: str) -> str:
    return SHOW.replace("VOICE", voice)


def created(service: Service) -> list[dict[str, Any]]:
    return [item["request"] for item in service.usage() if item["type"] in ("voices", "model")]


def test_a_model_is_created_private_with_the_fields_of_its_call(cli: Cli, write: Write, service: Service) -> None:
    write(show(f"{SAMPLE}, create: model, texts: The words of it., tags: [warm], enhance_audio_quality: true"))
    assert cli("build").code == 0
    assert created(service) == [
        {
            "voices": "https://example.com/ana.mp3",
            "title": "ana",
            "visibility": "private",
            "texts": ["The words of it."],
            "tags": ["warm"],
            "enhance_audio_quality": True,
        }
    ]


def test_fields_of_one_call_do_not_go_with_the_other(cli: Cli, write: Write) -> None:
    write(show(f"{SAMPLE}, texts: Words., generate_sample: true"))
    done = cli("validate")
    assert done.code == 3
    assert "texts goes with create: model; add create: model" in done.err
    assert "generate_sample goes with create: model" in done.err


def test_a_voice_by_id_is_checked_once_and_again_when_asked(
    cli: Cli, write: Write, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve()
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    manifest = write(show(f"id: {MARCUS}"))
    assert cli("build").code == 0
    strict = serve("strict", strict_ids=True)
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", strict.url)
    manifest.write_text(manifest.read_text().replace("Hello there.", "Hello you."))
    refreshed = cli("build", "--refresh")
    assert refreshed.code == 1
    assert "is not at the service; it is needed by one/0001" in refreshed.err
    assert strict.usage() == []


def test_refresh_refuses_a_voice_that_cannot_speak(cli: Cli, write: Write, point: Callable[..., Service]) -> None:
    point(failing_samples="bad", strict_ids=True)
    write(show("sample_url: https://example.com/bad.mp3"))
    assert cli("build").code == 1
    (voice,) = cli("voices", "list", "--json").data["voices"]
    write(show(f"id: {voice['id']}"))
    for _ in range(2):
        done = cli("build", "--refresh")
        assert done.code == 1
        assert "cannot speak: it is tts, failed; it is needed by one/0001, one/0002" in done.err


def test_a_voice_deleted_since_its_check_is_told_with_what_it_breaks(
    cli: Cli, write: Write, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, strict = serve(), serve("strict", strict_ids=True)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    manifest = write(show(f"id: {MARCUS}"))
    assert cli("build").code == 0
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", strict.url)
    manifest.write_text(manifest.read_text().replace("Hello there.", "Hello you.").replace("And again.", "Once more."))
    done = cli("build", "-k")
    assert done.code == 1
    assert done.err.count('voice "ana"') == 1, "said once"
    assert "it is needed by one/0001, one/0002" in done.err


def test_a_created_voice_that_is_gone_names_the_way_to_make_it_again(
    cli: Cli, write: Write, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, strict = serve(), serve("strict", strict_ids=True)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    manifest = write(show(SAMPLE))
    assert cli("build").code == 0
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", strict.url)
    manifest.write_text(manifest.read_text().replace("Hello there.", "Hello you."))
    gone = cli("build")
    assert gone.code == 1
    assert "create it again: fishpipe voices forget ana" in gone.err
    assert cli("voices", "forget", "ana").out.endswith("forgotten\n")
    assert "create voice ana: price unknown: forgotten" in cli("plan").out
    assert cli("build").code == 0
    assert len(created(strict)) == 1
    assert [item["type"] for item in strict.usage()] == ["voices", "tts"], "the other line was not spoken again"


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder of samples, and its address."""
    folder = tmp_path / "samples"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", folder
        server.shutdown()
        thread.join()


def test_a_pinned_sample_is_checked_before_it_is_paid_for(
    cli: Cli, write: Write, service: Service, samples: tuple[str, Path]
) -> None:
    url, folder = samples
    (folder / "ana.wav").write_bytes(b"sound")
    pin = hashlib.sha256(b"sound").hexdigest()
    write(show(f"sample_url: {url}/ana.wav, sample_sha256: {'0' * 64}"))
    wrong = cli("build")
    assert wrong.code == 1
    assert f"is another than sample_sha256 says: its sha256 is {pin}; not charged" in wrong.err
    assert wrong.err.startswith("fishpipe.yaml:4:") or "fishpipe.yaml:4:" in wrong.err
    write(show(f"sample_url: {url}/missing.wav, sample_sha256: {pin}"))
    assert "cannot be checked against sample_sha256" in cli("build").err
    assert service.usage() == []
    write(show(f"sample_url: {url}/ana.wav, sample_sha256: {pin.upper()}"))
    assert cli("build").code == 0
    assert len(created(service)) == 1


def test_a_sample_that_moved_makes_no_other_voice(
    cli: Cli, write: Write, service: Service, samples: tuple[str, Path]
) -> None:
    url, folder = samples
    for name in ("old.wav", "new.wav"):
        (folder / name).write_bytes(b"sound")
    pin = hashlib.sha256(b"sound").hexdigest()
    write(show(f"sample_url: {url}/old.wav, sample_sha256: {pin}"))
    assert cli("build").code == 0
    write(show(f"sample_url: {url}/new.wav, sample_sha256: {pin}"))
    assert cli("plan").out.startswith("Nothing to do")


def test_consent_travels_and_can_be_required(cli: Cli, write: Write, service: Service) -> None:
    write(show(SAMPLE).replace("fishpipe: 1", "fishpipe: 1\n    project: {require_consent: true}"))
    done = cli("validate")
    assert done.code == 3
    assert 'fishpipe.yaml:5:3: voice "ana" has no consent, and project.require_consent is true' in done.err
    write(show(f"{SAMPLE}, consent: 'Signed, see a.pdf'"))
    assert cli("build").code == 0
    assert "consent: Signed, see a.pdf" in cli("status").out


def test_several_voices_speak_one_text(cli: Cli, write: Write, service: Service) -> None:
    write("""
        fishpipe: 1
        voices:
          ana: {sample_url: https://example.com/ana.mp3}
          ben: {id: d7900c21663f485ab63ebdb7e5905036}
        scripts:
          one:
            output: one.mp3
            segments:
              - {text: "<|speaker:0|>Hello Ben. <|speaker:1|>Hello Ana.", voice: [ana, ben]}
        """)
    assert cli("build").code == 0
    (request,) = (item["request"] for item in service.usage() if item["type"] == "tts")
    assert len(request["reference_id"]) == 2
    assert request["reference_id"][1] == MARCUS


def test_voices_can_be_named_by_id_or_by_references_at_each_level(cli: Cli, write: Write, service: Service) -> None:
    write(f"""
        fishpipe: 1
        defaults: {{reference_id: {MARCUS}}}
        voices: {{ana: {{id: abc}}}}
        scripts:
          one:
            output: one.mp3
            segments:
              - text: By the default.
              - text: By references.
                references: [{{audio: https://example.com/g.mp3, text: Its words.}}]
              - {{text: By name., voice: ana}}
          two:
            output: two.mp3
            defaults: {{reference_id: [a1, b2]}}
            segments: [{{text: "<|speaker:0|>One. <|speaker:1|>Two."}}]
        """)
    plan = cli("plan", "--json").data
    assert plan["calls"] == 4
    records = [cli("explain", address, "--json").data[0]["record"] for address in ("one/0001", "one/0002", "two/0001")]
    assert records[0]["voice"] == {"id": MARCUS}
    assert records[1]["voice"] == {"references": [{"audio": "https://example.com/g.mp3", "text": "Its words."}]}
    assert records[2]["voice"] == {"several": [{"id": "a1"}, {"id": "b2"}]}


def test_the_account_can_be_asked_with_and_without_a_manifest(cli: Cli, write: Write, service: Service) -> None:
    alone = cli("voices", "list")
    assert (alone.code, alone.out) == (0, "no voices\n")
    assert cli("voices", "show", MARCUS).out.startswith(f"id: {MARCUS}\n")
    write(show(SAMPLE))
    cli("build")
    listed = cli("voices", "list", "--json").data
    assert [voice["name"] for voice in listed["voices"]] == ["ana"]
    assert "= ana" in cli("voices", "list").out
    assert cli("voices", "show", "ana", "--json").data["title"] == "ana"
    assert cli("voices", "search", "nobody").out == "no voices\n"
    unknown = cli("voices", "forget", "anna")
    assert unknown.code == 2
    assert 'did you mean "ana"?' in unknown.err


def test_asking_needs_a_token_and_says_so(cli: Cli) -> None:
    done = cli("voices", "list")
    assert done.code == 4
    assert "asking for voices needs a token: set ACEDATACLOUD_API_TOKEN" in done.err


def test_consent_may_be_added_later_and_changes_nothing_at_the_service(
    cli: Cli, write: Write, service: Service
) -> None:
    write(show(SAMPLE))
    assert cli("build").code == 0
    write(show(f"{SAMPLE}, consent: Signed later.").replace("Hello there", "Hello you"))
    assert "made with another" not in cli("plan").out
    assert cli("build").code == 0
    assert "consent: Signed later." in cli("status").out
    write(show(SAMPLE))
    assert "consent: Signed later." in cli("status").out, "it is kept with the voice"


def test_what_nobody_hears_is_said_to_differ_and_costs_nothing(cli: Cli, write: Write, service: Service) -> None:
    write(show(f"{SAMPLE}, create: model, title: Ana"))
    assert cli("build").code == 0
    write(show(f"{SAMPLE}, create: model, title: Anna, visibility: public"))
    plan = cli("plan")
    assert "voice ana: made with another title and visibility; it is not heard, and nothing is done" in plan.out
    assert plan.out.endswith("Nothing to do. 2 clips up to date.\n")


def test_refresh_finds_a_voice_that_is_gone_when_there_is_nothing_to_do(
    cli: Cli, write: Write, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, strict = serve(), serve("strict", strict_ids=True)
    monkeypatch.setenv("ACEDATACLOUD_API_TOKEN", "any")
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", service.url)
    write(show(f"id: {MARCUS}"))
    assert cli("build").code == 0
    assert cli("build", "--refresh").code == 0
    monkeypatch.setenv("ACEDATACLOUD_API_BASE_URL", strict.url)
    done = cli("build", "--refresh")
    assert done.code == 1
    assert "is not at the service; it is needed by one/0001, one/0002" in done.err


def test_a_forgotten_voice_is_not_found_again_by_its_title(cli: Cli, write: Write, service: Service) -> None:
    write(show(SAMPLE))
    assert cli("build").code == 0
    assert cli("voices", "forget", "ana").code == 0
    write(show(SAMPLE).replace("Hello there", "Hello you"))
    assert cli("build").code == 0
    assert len(created(service)) == 2
    Path("fishpipe.lock").unlink()
    with sqlite3.connect(".fishpipe/ledger.db") as db:
        db.execute("UPDATE calls SET state = 'intended', voice_id = NULL WHERE kind = 'voice'")
        assert db.execute("SELECT count(*) FROM forgotten").fetchone()[0] == 1
    write(show(SAMPLE).replace("Hello there", "Hello all"))
    assert "found at the service" in cli("build").err
    ids = [voice["id"] for voice in cli("voices", "list", "--json").data["voices"]]
    shown = cli("voices", "show", "ana", "--json").data["id"]
    assert shown == ids[0], "the newer one"
