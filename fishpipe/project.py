"""The composition root, and the library API: wires the layers together; decisions live below.

project = Project.open(Path("fishpipe.yaml"))
with project.session() as session:
    print(session.plan.cost)
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fishpipe.errors import AuthError, BudgetError, ConfigurationError, FishpipeError, ManifestError
from fishpipe.fish.hosts import is_loopback
from fishpipe.inputs import asset_problems, assets_of, tools
from fishpipe.manifest.load import load
from fishpipe.plan import Plan, PlanOptions, check_budget, make_plan
from fishpipe.ports import RunContext, RunLimits
from fishpipe.store.durable import flush
from fishpipe.store.layout import Layout
from fishpipe.store.project_store import ProjectStore
from fishpipe.targets import select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fishpipe.events import RunFinished
    from fishpipe.graph.steps import Graph, Realm
    from fishpipe.manifest.model import Budget, Manifest, Output, ProviderName
    from fishpipe.ports import Reporter
    from fishpipe.runner.run import Run, RunOptions
    from fishpipe.snapshot import Snapshot

DEFAULT_BASE_URL: Final = "https://api.acedata.cloud"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value and where it comes from: `environment`, `.env`, `manifest` or `default`."""

    value: str = field(repr=False)
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the caller asks for beyond the manifest."""

    variables: Mapping[str, str] = field(default_factory=dict)
    provider: ProviderName | None = None
    allow_outside: bool = False
    concurrency: int | None = None
    budget: float | None = None
    token: Setting | None = None
    base_url: Setting | None = None


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251  (the one clock)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """Between 0 and 1."""
        return random.random()  # noqa: S311  (spreads retries; no secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A project as it stands: what it needs, what there is, and the plan between them."""

    graph: Graph
    snapshot: Snapshot
    plan: Plan
    store: ProjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A manifest and where its state lies. Made by `open`."""

    manifest: Manifest
    choices: Choices
    clock: SystemClock = field(default_factory=SystemClock)

    @classmethod
    def open(cls, path: Path, choices: Choices | None = None) -> Project:
        """Load and check the manifest. Raises ManifestError with all of its problems."""
        choices = choices or Choices()
        manifest = load(path, variables=choices.variables, allow_outside=choices.allow_outside)
        problems = list(asset_problems(manifest))
        if problems:
            raise ManifestError(problems, {str(p.span.file): Path(p.span.file).read_text("utf-8") for p in problems})
        return cls(manifest=manifest, choices=choices)

    @property
    def provider(self) -> ProviderName:
        """Who speaks in this run."""
        return self.choices.provider or self.manifest.provider.name

    @property
    def is_draft(self) -> bool:
        """Whether this is another provider than the manifest's: its outputs go to `.fishpipe/draft`."""
        return self.provider != self.manifest.provider.name

    @property
    def layout(self) -> Layout:
        """Where the state lies."""
        state = self.manifest.root / ".fishpipe"
        return Layout(state / "draft" if self.is_draft else state)

    @property
    def base_url(self) -> Setting:
        """The API's address."""
        manifest = self.manifest.provider.base_url
        declared = Setting(value=manifest, origin="manifest") if manifest else None
        return self.choices.base_url or declared or Setting(value=DEFAULT_BASE_URL, origin="default")

    @property
    def realm(self) -> Realm:
        """Whose ids and clips these are."""
        local = self.provider == "sandbox" or is_loopback(self.base_url.value)
        return "loopback" if local else "acedata"

    @property
    def budget(self) -> Budget:
        """What may be spent; an option overrides the build's."""
        budget = self.manifest.budget
        if self.choices.budget is None:
            return budget
        return replace(budget, build=self.choices.budget, span=None)  # type: ignore[arg-type]

    def graph(self, targets: Sequence[str] = ()) -> Graph:
        """The steps that the targets need. Raises UsageError for an unknown target."""
        graph = select(self.manifest, self.realm, targets)
        if not self.is_draft:
            return graph
        outputs = tuple(replace(step, output=self._draft(step.output)) for step in graph.outputs)
        return replace(graph, outputs=outputs)

    def _draft(self, output: Output) -> Output:
        root, whole = self.manifest.root.resolve(), output.path.resolve()
        name = whole.relative_to(root) if whole.is_relative_to(root) else Path(whole.name)
        path = self.layout.state / "outputs" / name
        return replace(output, path=path, shown=os.path.relpath(path))

    @contextmanager
    def session(
        self, targets: Sequence[str] = (), options: PlanOptions | None = None, *, writing: bool = False
    ) -> Iterator[Session]:
        """Read the ledger and the files, and plan. Nothing is written unless `writing`, which needs `hold`."""
        graph = self.graph(targets)
        opened = ProjectStore.opened if writing else ProjectStore.reading
        with opened(self.layout, self.clock.now) as store:
            snapshot = store.snapshot(graph, assets_of(graph), tools())
            if writing:
                store.adopt(graph, snapshot)
            plan = make_plan(graph, snapshot, self.manifest.provider.prices, options)
            yield Session(graph=graph, snapshot=snapshot, plan=plan, store=store)

    def replanned(self, session: Session, options: PlanOptions) -> Session:
        """The same session under other options."""
        plan = make_plan(session.graph, session.snapshot, self.manifest.provider.prices, options)
        return replace(session, plan=plan)

    @contextmanager
    def hold(self, *, wait: bool = False) -> Iterator[None]:
        """Make the folders and be the only run. Raises ProjectBusy."""
        from fishpipe.store.busy import hold

        self.layout.create()
        with hold(self.layout.busy, wait=wait):
            yield

    def refusal(self, session: Session) -> str:
        """Why a build of this plan would be refused for its price; "" where it would not."""
        try:
            check_budget(session.plan, self.budget, session.snapshot.spent_month, free=self.provider == "sandbox")
        except BudgetError as error:
            return str(error)
        return ""

    def check_allowed(self, session: Session) -> None:
        """Raise BudgetError, or AuthError where a token is needed and missing, before anything is paid."""
        plan = session.plan
        check_budget(plan, self.budget, session.snapshot.spent_month, free=self.provider == "sandbox")
        asks = [action for action in plan.collect if action.row.state not in ("answered", "fetched")]
        if self.provider == "sandbox" or not (plan.paid or asks):
            return
        if self.choices.token is None:
            what = f"{len(plan.paid)} call{'s' if len(plan.paid) != 1 else ''}" if plan.paid else "collecting"
            usd = f" (~${plan.cost.usd:.4f})" if plan.paid else ""
            need = "need" if len(plan.paid) > 1 else "needs"
            raise AuthError(
                f"{what}{usd} {need} a token: set ACEDATACLOUD_API_TOKEN or add it to .env. "
                "Free draft: fishpipe build --provider sandbox"
            )
        if not (self.choices.token.value.isascii() and self.choices.token.value.isprintable()):
            raise AuthError(f"the token from the {self.choices.token.origin} has characters that no token has")
        self._check_token_goes_home(self.choices.token)

    def _check_token_goes_home(self, token: Setting) -> None:
        """A base URL that a cloned repository brings is not given a token from elsewhere."""
        base = self.base_url
        try:
            whole = urlsplit(base.value).scheme in ("http", "https") and urlsplit(base.value).port != 0
        except ValueError:
            whole = False
        if not whole:
            raise ConfigurationError(f"the base URL from the {base.origin} is not an address: {base.value}")
        trusted = base.value.rstrip("/") == DEFAULT_BASE_URL or is_loopback(base.value)
        if not trusted and base.origin in (".env", "manifest") and base.origin != token.origin:
            raise ConfigurationError(
                f"the base URL {base.value} comes from the {base.origin}, and the token from the {token.origin}: "
                "the token is not sent there. If you trust it: export ACEDATACLOUD_API_BASE_URL"
            )

    def run(self, session: Session, reporter: Reporter, options: RunOptions) -> RunFinished:
        """Carry the session's plan out; the second Ctrl-C ends it at once, and the result says so."""
        with ExitStack() as stack:
            base_url, token = self.base_url.value, self.choices.token.value if self.choices.token else None
            if self.provider == "sandbox" and _needs_service(session.plan):
                base_url, token = stack.enter_context(self.sandbox()), "sandbox"
            stack.callback(reporter.close)
            return asyncio.run(self._carry_out(session, reporter, options, base_url, token))

    @contextmanager
    def sandbox(self) -> Iterator[str]:
        """The sandbox, on a thread; yields its base URL."""
        try:
            from fishpipe.sandbox.server import running
            from fishpipe.sandbox.switches import Switches
        except ImportError as error:
            raise FishpipeError(f"the sandbox needs more packages: pip install 'fishpipe[local]' ({error})") from error
        with running(self.manifest.root / ".fishpipe" / "sandbox", Switches(), self.clock.now) as url:
            yield url

    async def _carry_out(
        self, session: Session, reporter: Reporter, options: RunOptions, base_url: str, token: str | None
    ) -> RunFinished:
        from fishpipe.audio.assemble import Stitcher
        from fishpipe.audio.inspect import ClipInspector
        from fishpipe.fish.client import FishClient
        from fishpipe.fish.downloads import HttpDownloads
        from fishpipe.runner.run import Run

        speech = FishClient(base_url, token, self.manifest.provider.delivery)
        downloads = HttpDownloads(base_url)
        digests = {path: info.digest for path, info in session.snapshot.assets.items()}
        context = RunContext(
            speech=speech,
            downloads=downloads,
            inspector=ClipInspector(),
            store=session.store,
            assembler=Stitcher(session.store, digests, flush),
            reporter=reporter,
            clock=self.clock,
            snapshot=session.snapshot,
            limits=self._limits(base_url),
        )
        run = Run(session.plan, session.graph, context, options)
        try:
            with _signals(run):
                done = await run.carry_out()
        except asyncio.CancelledError:
            run.interrupted = run.interrupted or 130
            done = run.summary()
        finally:
            await speech.aclose()
            await downloads.aclose()
        self._remember(session)
        reporter.tell(done)
        if run.crash is not None:
            raise run.crash
        return done

    def _limits(self, base_url: str) -> RunLimits:
        limits = RunLimits(concurrency=self.choices.concurrency or self.manifest.provider.concurrency)
        return replace(limits, poll_first=0.05, poll_longest=1.0, voice_grace=3.0) if is_loopback(base_url) else limits

    def _remember(self, session: Session) -> None:
        """The lines of scripts that are whole now, to tell next time what changed."""
        rows = session.store.ledger.calls()
        here = {key for key, row in rows.items() if row.state == "stored"}
        lines = session.graph.lines.items()
        session.store.ledger.built(
            session.graph.manifest, {name: pairs for name, pairs in lines if all(key in here for _, key in pairs)}
        )


def _needs_service(plan: Plan) -> bool:
    return bool(plan.collect or plan.paid)


@contextmanager
def _signals(run: Run) -> Iterator[None]:
    """First signal: no new calls; second: stop now."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop(code: int) -> None:
        if run.interrupted and task is not None:
            task.cancel()
        else:
            run.stop(code)

    handled = []
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        try:
            loop.add_signal_handler(number, stop, code)
            handled.append(number)
        except (NotImplementedError, RuntimeError, ValueError):
            continue
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
