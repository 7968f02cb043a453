"""What the runner adds to the calls: time against a list schedule of the same service times, CPU against bare httpx.

    python benchmarks/run.py                      # 1,000 calls for windows 5, 15 and 100, wait and poll
    python benchmarks/run.py --calls 200 --windows 15

A service of fixed answers runs in another process; each call takes its own time, drawn once from a seed. The
ideal is a list schedule: each call starts in order, as soon as one of the window's places is free. The CPU of a
build (its outputs apart: a second build that only stitches is subtracted) is held against a loop that makes the
same requests and downloads with httpx and keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np

from fishpipe.audio.lame import Mp3Writer

LONGEST_POLL = 1.0


def sound(samples: int = 44100, bitrate: int = 64) -> bytes:
    """A hum of so many samples at 44.1 kHz, as mp3 (kbit/s)."""
    file = io.BytesIO()
    writer = Mp3Writer(file, 44100, 1, bitrate)
    writer.write(np.rint(np.sin(np.arange(samples) / 20) * 9000).astype("<i2").tobytes())
    writer.close()
    return file.getvalue()


class Service:
    """The least that answers: /fish/tts, /fish/tasks and the audio, over HTTP/1.1 with keep-alive."""

    def __init__(self, times: dict[str, float]) -> None:
        self.times, self.audio = times, sound()
        self.ends: dict[str, float] = {}
        self.now, self.most, self.spans = 0, 0, [0.0, 0.0]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                size = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
                body = await reader.readexactly(size)
                kind, data = await self.answer(head.split(" ")[1], body)
                writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n".encode())
                writer.write(data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(self, path: str, body: bytes) -> tuple[str, bytes]:
        """The answer to one request."""
        if path.startswith("/audio"):
            return "audio/mpeg", self.audio
        if path == "/stats":
            return "application/json", json.dumps({"most": self.most, "span": self.spans[1] - self.spans[0]}).encode()
        data = json.loads(body)
        if path == "/fish/tasks":
            items = [self.task(name) for name in data.get("ids") or [data["id"]]]
            return "application/json", json.dumps({"items": items} if "ids" in data else items[0]).encode()
        loop = asyncio.get_running_loop()
        self.spans[0] = self.spans[0] or loop.time()
        self.now += 1
        self.most = max(self.most, self.now)
        text = data["text"]
        if data.get("async"):
            self.ends[text] = loop.time() + self.times[text]
            loop.call_at(self.ends[text], self.done)
            return "application/json", json.dumps({"task_id": text}).encode()
        await asyncio.sleep(self.times[text])
        self.done()
        return "application/json", json.dumps(self.result(text)).encode()

    def done(self) -> None:
        """A call has its answer."""
        self.now -= 1
        self.spans[1] = asyncio.get_running_loop().time()

    def result(self, text: str) -> dict[str, str]:
        """Where the audio of a text is."""
        return {"audio_url": f"{self.url}/audio/{text.split()[1]}.mp3"}

    def task(self, text: str) -> dict[str, object]:
        """What became of a task."""
        over = self.ends[text] <= asyncio.get_running_loop().time()
        return {"id": text, "response": self.result(text) if over else None, "finished_at": 1.0 if over else None}

    async def serve(self) -> None:
        """Serve until killed; the address goes to stdout."""
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0, backlog=512)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        print(self.url, flush=True)
        await server.serve_forever()


def ideal(times: list[float], window: int) -> float:
    """The makespan of a list schedule."""
    free = [0.0] * window
    for duration in times:
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def polled(times: list[float], window: int) -> float:
    """The same where each answer is seen one poll interval late: a quarter of the wait, at most a second."""
    return ideal([duration + max(0.05, min(LONGEST_POLL, duration / 4)) for duration in times], window)


def cpu_of_children() -> float:
    """Seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def build(folder: Path, url: str, *options: str) -> tuple[float, float]:
    """(wall, CPU) seconds of a build."""
    env = {**os.environ, "ACEDATACLOUD_API_BASE_URL": url, "ACEDATACLOUD_API_TOKEN": "any"}
    wall, cpu = time.perf_counter(), cpu_of_children()
    command = [sys.executable, "-m", "fishpipe", "build", "-q", *options]
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - wall, cpu_of_children() - cpu


async def bare(url: str, texts: list[str], window: int) -> None:
    """The same requests with httpx alone."""
    places = asyncio.Semaphore(window)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60) as http, asyncio.TaskGroup() as group:

        async def one(text: str) -> None:
            async with places:
                answer = (await http.post(f"{url}/fish/tts", json={"text": text, "format": "mp3"})).json()
            await http.get(answer["audio_url"])

        for text in texts:
            group.create_task(one(text))


def measure(calls: int, window: int, delivery: str, seconds: float) -> str:
    """One line of the table."""
    chance = random.Random(calls * window)
    mean = seconds * window / calls
    times = [chance.uniform(0.5, 1.5) * mean for _ in range(calls)]
    texts = [f"Line {number} of the benchmark." for number in range(calls)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "times.json").write_text(json.dumps(dict(zip(texts, times, strict=True))))
        lines = "".join(f"      - text: {text}\n" for text in texts)
        (folder / "fishpipe.yaml").write_text(
            f"fishpipe: 1\nprovider: {{delivery: {delivery}, concurrency: {window}}}\n"
            f"scripts:\n  one:\n    output: one.wav\n    segments:\n{lines}"
        )
        command = [sys.executable, __file__, "--serve", str(folder / "times.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout is not None
            url = service.stdout.readline().strip()
            _, whole = build(folder, url)
            stats = httpx.get(f"{url}/stats").json()
            _, stitch = build(folder, url, "-B")
            started = time.process_time()
            asyncio.run(bare(url, texts, window))
            loop = time.process_time() - started
            service.kill()
    best = ideal(times, window)
    late = f"  {stats['span'] / polled(times, window):5.3f} of ideal + a poll" if delivery == "poll" else ""
    ours, plain = 1000 * (whole - stitch) / calls, 1000 * loop / calls
    return (
        f"{delivery:5} {window:4}  {mean:6.3f} s a call"
        f"  {stats['span']:7.2f} s  {best:7.2f} s  {stats['span'] / best:5.3f}"
        f"  most {stats['most']:3}  CPU {ours:5.2f} ms a call, httpx {plain:5.2f}: + {ours - plain:5.2f}{late}"
    )


def main() -> None:
    """Measure, or serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--windows", type=int, nargs="*", default=[5, 15, 100])
    parser.add_argument("--deliveries", nargs="*", default=["wait", "poll"])
    parser.add_argument("--seconds", type=float, default=20.0, help="about what an ideal run takes")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        asyncio.run(Service(json.loads(chosen.serve.read_text())).serve())
        return
    print(f"{chosen.calls} calls: delivery, window, service time, makespan, list schedule, ratio")
    for delivery in chosen.deliveries:
        for window in chosen.windows:
            print(measure(chosen.calls, window, delivery, chosen.seconds), flush=True)


if __name__ == "__main__":
    main()
