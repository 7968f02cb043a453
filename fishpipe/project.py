"""The composition root, and the library API: wires the layers together; decisions live below.

project = Project.open(Path("fishpipe.yaml"))
with project.session() as session:
    print(session.plan.cost)
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.access import DEFAULT_BASE_URL, Access, Setting
from fishpipe.errors import (
    AuthError,
    ConfigurationError,
    FishpipeError,
    ManifestError,
)
from fishpipe.inputs import asset_problems, assets_of, tools
from fishpipe.locking import known
from fishpipe.lockkeeper import keep_lock
from fishpipe.machine import SystemClock, calls_for_open_files, on_signals, responsive
from fishpipe.manifest.load import load
from fishpipe.plan import Plan, PlanOptions, make_plan
from fishpipe.ports import RunContext, RunLimits
from fishpipe.store.clips import MOST_SIZES
from fishpipe.store.durable import written
from fishpipe.store.layout import Layout
from fishpipe.store.lockfile import read_lock
from fishpipe.store.project_store import ProjectStore
from fishpipe.takes import with_open_takes
from fishpipe.targets import select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fishpipe.catalog import Catalog
    from fishpipe.events import RunFinished
    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import Graph, Known, Realm
    from fishpipe.manifest.model import Budget, Manifest, Output, Prices, ProviderName
    from fishpipe.ports import Callbacks, Reporter
    from fishpipe.runner.run import RunOptions
    from fishpipe.snapshot import Snapshot
    from fishpipe.store.shared import SharedClips


class Choices(Struct, frozen=True, kw_only=True):
    """What the caller asks for beyond the manifest. `prices` are in USD, as `provider.prices` names them."""

    variables: Mapping[str, str] = field(default_factory=dict)
    provider: ProviderName | None = None
    profiles: tuple[str, ...] = ()
    allow_outside: bool = False
    strict: bool = False
    prices: Mapping[str, float | None] = field(default_factory=dict)
    concurrency: int | None = None
    budget: float | None = None
    store: str | None = None
    token: Setting | None = None
    base_url: Setting | None = None


class Session(Struct, frozen=True, kw_only=True):
    """A project as it stands: what it needs, what there is, and the plan between them.

    `choosing` are takes that are used from the moment on that they are stored.
    """

    graph: Graph
    snapshot: Snapshot
    plan: Plan
    store: ProjectStore
    options: PlanOptions = field(default_factory=PlanOptions)
    choosing: tuple[Fingerprint, ...] = ()

    @property
    def unshared(self) -> bool:
        """Whether a clip is here that the shared folder lacks, and could have."""
        clips = self.snapshot.clips
        if not self.store.is_shared:
            return False
        return any(self.store.lacks(key, clips[key], s.format) for key, s in self.graph.clips.items() if key in clips)


class Project(Struct, frozen=True, kw_only=True):
    """A manifest and where its state lies. Made by `open`."""

    manifest: Manifest
    choices: Choices
    clock: SystemClock = field(default_factory=SystemClock)

    @classmethod
    def open(cls, path: Path, choices: Choices | None = None) -> Project:
        """Load and check the manifest. Raises ManifestError with all of its problems."""
        choices = choices or Choices()
        manifest = _loaded(path, choices)
        problems = list(asset_problems(manifest))
        if problems:
            raise ManifestError(problems, manifest.texts)
        return cls(manifest=manifest, choices=choices)

    def with_texts(self, texts: Mapping[str, str]) -> Project:
        """The same project, were other texts in some of its files, by name. Raises ManifestError."""
        return replace(self, manifest=_loaded(self.manifest.path, self.choices, texts))

    @property
    def provider(self) -> ProviderName:
        """Who speaks in this run."""
        return self.choices.provider or self.manifest.provider.name

    @property
    def is_draft(self) -> bool:
        """Whether this is another provider than the manifest's: its outputs go to `.fishpipe/draft`."""
        return self.provider != self.manifest.own_provider

    @property
    def layout(self) -> Layout:
        """Where the state lies."""
        return Layout(self.manifest.root / ".fishpipe", self.is_draft)

    @property
    def looks_at_sizes(self) -> bool:
        """Whether a plan looks at the size of each clip: of very many it does not."""
        return sum(len(script.segments) for script in self.manifest.scripts.values()) <= MOST_SIZES

    @property
    def access(self) -> Access:
        """The API's address, and the token for it."""
        manifest = self.manifest.provider.base_url
        declared = Setting(value=manifest, origin="manifest") if manifest else None
        base = self.choices.base_url or declared or Setting(value=DEFAULT_BASE_URL, origin="default")
        return Access(base_url=base, token=self.choices.token)

    @property
    def realm(self) -> Realm:
        """Whose ids and clips these are."""
        base = self.access.base_url
        if self.provider == "sandbox":
            return "loopback"
        from fishpipe.fish.hosts import is_loopback

        return "loopback" if base.value != DEFAULT_BASE_URL and is_loopback(base.value) else "acedata"

    @property
    def prices(self) -> Prices:
        """What things cost: the caller's word counts first, and alone where the budget is the caller's, too."""
        declared, given = self.manifest.provider.prices, dict(self.choices.prices)
        own: dict[str, Any] = {name: given.pop(name) for name in ("speech", "voice") if name in given}
        prices = replace(declared, **own, models={**declared.models, **given})
        is_real = self.provider != "sandbox"
        return prices.believed(self.choices.prices) if is_real and self.choices.budget is not None else prices

    @property
    def budget(self) -> Budget:
        """What may be spent; an option overrides the build's."""
        budget = self.manifest.budget
        if self.choices.budget is None:
            return budget
        return replace(budget, build=self.choices.budget, span=None)

    @property
    def lock_path(self) -> Path:
        """The lock file: beside the manifest, and a draft's own in its folder."""
        beside = self.manifest.path.absolute().with_suffix(".lock")
        return self.layout.state / beside.name if self.is_draft else beside

    @property
    def shared(self) -> SharedClips | None:
        """The folder that `store:` names; drafts stay among themselves."""
        named = self.choices.store or (self.manifest.store.folder if self.manifest.store else None)
        if named is None or self.is_draft:
            return None
        from fishpipe.store.shared import SharedClips

        root = Path(os.path.normpath(self.manifest.root.absolute()))
        folder = Path(os.path.normpath(root / Path(named).expanduser()))
        is_inside = folder.is_relative_to(root) or folder.resolve().is_relative_to(root.resolve())
        return SharedClips(folder, own=root if is_inside else None)

    def graph(self, targets: Sequence[str] = (), memory: Known | None = None) -> Graph:
        """The steps that the targets need. Raises UsageError."""
        graph = select(self.manifest, self.realm, targets, memory)
        if not self.is_draft:
            return graph
        outputs = tuple(replace(step, output=self.placed(step.output)) for step in graph.outputs)
        return replace(graph, outputs=outputs)

    def placed(self, output: Output) -> Output:
        """An output where this run makes it: a draft's lies in the draft's folder."""
        if not self.is_draft:
            return output
        root, whole = self.manifest.root.resolve(), output.path.resolve()
        name = whole.relative_to(root) if whole.is_relative_to(root) else Path(whole.name)
        path = self.layout.state / "outputs" / name
        return replace(output, path=path, shown=os.path.relpath(path))

    @contextmanager
    def session(
        self, targets: Sequence[str] = (), options: PlanOptions | None = None, *, writing: bool = False
    ) -> Iterator[Session]:
        """Read the ledger and the files, and plan. Nothing is written unless `writing`, which needs `hold`."""
        opened = ProjectStore.opened if writing else ProjectStore.reading
        with opened(self.layout, self.clock.now, self.provider, self.shared) as store:
            lock = read_lock(self.lock_path, os.path.relpath(self.lock_path))
            calls = store.calls(lock)
            graph = with_open_takes(self.graph(targets, known(calls, lock, self.realm)), calls)
            snapshot = store.snapshot(graph, assets_of(graph), tools(), lock, calls, sized=self.looks_at_sizes)
            if options is not None and options.replace_locked:
                # What is here in the place of a locked clip becomes the lock's.
                snapshot = replace(snapshot, clips={**snapshot.others, **snapshot.clips}, others={})
            if writing:
                store.adopt(graph, snapshot)
            plan = make_plan(graph, snapshot, self.prices, options)
            yield Session(graph=graph, snapshot=snapshot, plan=plan, store=store, options=options or PlanOptions())

    def settle(self, session: Session) -> None:
        """Bring the lock and the shared folder up to date with what is here. Raises StoreError."""
        before, now = session.snapshot.lock, self.clock.now()
        lock = keep_lock(self.lock_path, before, session.graph, session.store, session.choosing, now)
        for key in session.graph.clips if session.store.is_shared else ():
            if key in lock.clips:
                session.store.share(key, lock.clips[key], session.graph.clips[key].format)

    def replanned(self, session: Session, options: PlanOptions) -> Session:
        """The same session under other options."""
        plan = make_plan(session.graph, session.snapshot, self.prices, options)
        return replace(session, plan=plan, options=options)

    @contextmanager
    def hold(self, *, wait: bool = False) -> Iterator[None]:
        """Make the folders and be the only run. Raises ProjectBusy."""
        from fishpipe.store.busy import hold

        self.layout.create()
        with hold(self.layout.busy, wait=wait):
            yield

    def run(self, session: Session, reporter: Reporter, options: RunOptions) -> RunFinished:
        """Carry the session's plan out; the second Ctrl-C ends it at once, and the result says so."""
        import asyncio

        with ExitStack() as stack:
            base_url, token = self.access.base_url.value, self._trusted_token()
            if self.provider == "sandbox" and not (options.offline or session.plan.is_stitching):
                base_url, token = stack.enter_context(self.sandbox()), "sandbox"
            stack.callback(reporter.close)
            return asyncio.run(self._carry_out(session, reporter, options, base_url, token))

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The voices at the service. Raises AuthError where there is no token for it."""
        from fishpipe.catalog import Catalog

        with ExitStack() as stack:
            if self.provider == "sandbox":
                yield Catalog(stack.enter_context(self.sandbox()), "sandbox", self.clock.now)
            else:
                token = self.access.check("asking for voices needs")
                yield Catalog(self.access.base_url.value, token, self.clock.now)

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

    def _trusted_token(self) -> str | None:
        """The token, where it may be sent; None where it is missing, or must not go to this address."""
        try:
            return self.access.check("this needs")
        except (AuthError, ConfigurationError):
            return None

    async def _carry_out(
        self, session: Session, reporter: Reporter, options: RunOptions, base_url: str, token: str | None
    ) -> RunFinished:
        import asyncio

        from fishpipe.audio.assemble import Stitcher
        from fishpipe.audio.inspect import ClipInspector
        from fishpipe.fish.client import FishClient
        from fishpipe.fish.downloads import HttpDownloads
        from fishpipe.runner.run import Run

        provider = self.manifest.provider
        digests = {path: info.digest for path, info in session.snapshot.assets.items()}
        async with AsyncExitStack() as stack:
            callbacks, secret = (None, []) if options.offline else await self._callbacks(session, stack, token)
            speech = FishClient(base_url, token, provider.delivery, self.clock.now, provider.call_deadline, secret)
            stack.push_async_callback(speech.aclose)
            downloads = HttpDownloads(base_url, provider.stall_timeout)
            stack.push_async_callback(downloads.aclose)
            context = RunContext(
                speech=speech,
                downloads=downloads,
                inspector=ClipInspector(),
                store=session.store,
                assembler=Stitcher(session.store, digests, written),
                reporter=reporter,
                clock=self.clock,
                snapshot=session.snapshot,
                callbacks=callbacks,
                limits=self._limits(base_url),
            )
            run = Run(session.plan, session.graph, context, options)
            try:
                with (
                    session.store.ledger.commits.in_turns(),
                    responsive(),
                    on_signals(run.stop, lambda: run.tally.interrupted > 0),
                ):
                    done = await run.carry_out()
            except asyncio.CancelledError:
                run.tally.interrupted = run.tally.interrupted or 130
                done = run.summary()
        reporter.tell(done)
        self._remember(session)
        self.settle(session)
        if run.tally.crash is not None:
            raise run.tally.crash
        return done

    async def _callbacks(
        self, session: Session, stack: AsyncExitStack, token: str | None
    ) -> tuple[Callbacks | None, list[str]]:
        """The receiver of callbacks, listening, where answers come that way; and its secret."""
        provider = self.manifest.provider
        waits = session.plan.paid or session.plan.collect or session.plan.held
        if provider.delivery != "callback" or not waits:
            return None, []
        try:
            from fishpipe.fish.callbacks import Receiver
        except ImportError as error:
            message = f"delivery: callback needs more packages: pip install 'fishpipe[callback]' ({error})"
            raise FishpipeError(message) from error
        # The sandbox is on this machine: it needs no public address.
        public = f"http://{provider.callback_listen}" if self.provider == "sandbox" else provider.callback_url or ""
        secret = session.store.ledger.secret("callback")
        receiver = Receiver(public, secret, token)
        await stack.enter_async_context(receiver.running(provider.callback_listen))
        return receiver, [secret]

    def _limits(self, base_url: str) -> RunLimits:
        from fishpipe.fish.hosts import is_loopback

        provider = self.manifest.provider
        concurrency = calls_for_open_files(self.choices.concurrency or provider.concurrency)
        limits = RunLimits(
            concurrency=concurrency,
            downloads=max(8, concurrency),
            callback_timeout=provider.callback_timeout,
            call_deadline=provider.call_deadline,
        )
        return (
            replace(limits, poll_first=0.05, poll_longest=1.0, voice_grace=3.0, unknown_task_grace=5.0)
            if is_loopback(base_url)
            else limits
        )

    def _remember(self, session: Session) -> None:
        """The lines of scripts that are whole now, to tell next time what changed."""
        calls = session.store.ledger.calls()
        here = calls.stored
        lines = session.graph.lines.items()
        session.store.ledger.built(
            session.graph.manifest, {name: pairs for name, pairs in lines if all(key in here for _, key in pairs)}
        )


def _loaded(path: Path, choices: Choices, texts: Mapping[str, str] | None = None) -> Manifest:
    return load(
        path,
        variables=choices.variables,
        profiles=choices.profiles,
        allow_outside=choices.allow_outside,
        strict=choices.strict and texts is None,
        texts=texts,
        cache=None if texts is not None else path.parent / ".fishpipe" / "parsed",
    )
