"""The whole house: every room opened in order on one loop, and closed in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.assembly.bridges import ChildrenBridge, EventsBridge, Loop, ScheduleBridge, WritersBridge, child_state
from core.assembly.bringing_up import BringingUp
from core.assembly.care import StoreCare
from core.assembly.declared import Declared
from core.assembly.going_on import GoingOn
from core.assembly.keepers import Keepers, grant_to
from core.assembly.launching import Backends, Launching
from core.assembly.lending import Lending
from core.assembly.means import delivery_limits, gateway_limits, home, process_limits
from core.assembly.offices import ServiceDesk
from core.assembly.repair import open_coredb
from core.assembly.rounds import Rounds
from core.assembly.stores import Stores
from core.backup import rest_of, restore_notices
from core.config import Config
from core.events import Bus, Deliveries, EventStreams
from core.gateway import Door
from core.library import Library
from core.model.clock import Clock
from core.model.errors import Retry, ServiceDisabled
from core.netstore import Grant
from core.process import (
    ChildLogs,
    Failed,
    State,
    Stopped,
    Supervisor,
    Zygote,
    holder_of,
    is_below,
)
from core.registry import Catalog, Environments, Reads, Services, begin_owner_log
from core.schedule import Scheduler
from core.store import Documents, Origin, Store
from core.vault import Redactor, open_device, open_master_key
from core.web import Caller, Console, Notice, Parts, Web, build

log = logging.getLogger(__name__)

VERSION = "0.1.0"
CHECKOUT = Path(__file__).resolve().parents[2]
CALL_S = 120.0
DELIVERY_S = 60.0
CLOSE_S = 3.5
# As often as the schedule looks at the clock.
LOOK_S = 30.0


@dataclass
class Standing:
    """What exists before the loop runs: the warm parent, and where the core listens."""

    config: Config
    clock: Clock
    zygote: Zygote | None
    redactor: Redactor
    port: int
    owner_token: str | None


class House:
    """Every room of one core, made, opened and closed on its loop; between them `web` is the application to serve."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[object]] = set()
        self._is_closing = False
        self._loop = Loop(asyncio.get_running_loop())
        self.port = standing.port
        self.web: Web

    async def open(self) -> None:
        """Open the rooms, lowest rank first; what was opened is closed again when one cannot be."""
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the rooms in reverse; nothing the core started is left afterwards."""
        self._is_closing = True
        self._loop.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def _open(self) -> None:
        self._open_known()
        self._open_processes()
        self._open_traffic()
        self.web = build(self._parts())
        self._stack.push_async_callback(self.web.close)
        await self._start()

    def _open_known(self) -> None:
        """What is known and what is secret; all of it opens without a loop."""
        config, clock, me = self._standing.config, self._standing.clock, self._standing.config.me
        self._master = open_master_key(me)
        self._device = open_device(me, self._master)
        self._documents = Documents(me / "locker.json", clock)
        self._stack.callback(self._documents.close)
        self._coredb, self._damage = open_coredb(me / "core.db", clock)
        self._stack.callback(self._coredb.close)
        own_log = Origin(log=self._device.id, epoch=begin_owner_log(self._documents, me / "owner"))
        self._owner = Store.open(me / "owner", types={}, origin=own_log, clock=clock)
        self._stack.callback(self._owner.close)
        self._catalog = Catalog(config.connector_paths, on_change=self._connectors_changed)
        self._environments = Environments(CHECKOUT / ".venv.connectors", python=Path(sys.executable))
        self._services = Services(
            self._documents, self._catalog, me=me, clock=clock, master=self._master, environments=self._environments,
            reads=Reads(home=home(), protected=(CHECKOUT, config.config_dir, me)),
        )  # fmt: skip
        self._declared = Declared(self._services, self._catalog)
        self._stores = Stores(me, self._services, self._catalog)
        self._stack.callback(self._stores.close)
        self._care = StoreCare(me, self._services, self._stores, coredb=self._coredb, clock=clock)
        self._care.found_own(self._owner.found)
        self._library = Library(self._stores.shelves, timezone=config.timezone, clock=clock)
        self._stack.callback(self._library.close)

    def _open_processes(self) -> None:
        """Who runs: the children, what they are started with, and the stores that the core writes in their place."""
        config, clock = self._standing.config, self._standing.clock
        self._launching = Launching(
            config, catalog=self._catalog, services=self._services, environments=self._environments,
            master=self._master, device=self._device, redactor=self._standing.redactor,
            core_pid=os.getpid(), port=self._standing.port,
            due=lambda service_id: self._scheduler.next_runs(service_id),
            store_socket=lambda service_id: self._keepers.socket_of(service_id),
            writer_socket=lambda service_id: self._keepers.writer_socket_of(service_id),
            check_store=self._care.check, check_lent=lambda service_id: self._lending.check(service_id),
        )  # fmt: skip
        self._logs = ChildLogs(config.me / "logs", clock=clock)
        self._stack.callback(self._logs.close)
        if self._standing.zygote is not None:
            self._stack.callback(self._standing.zygote.close)
        self._supervisor = Supervisor(
            spec_for=self._launching.spec_for, me=config.me, clock=clock, limits=process_limits(config),
            zygote=self._standing.zygote, logs=self._logs, on_change=self._child_changed,
            before_launch=self._before_launch,
        )  # fmt: skip
        self._keepers = Keepers(
            config.me, self._services, self._catalog, device=self._device.id, clock=clock,
            timezone=config.timezone, pid_of=self._supervisor.pid_of, is_asleep=self._is_asleep,
            is_lent=lambda service_id: self._lending.is_lent(service_id),
            leave=lambda service_id: self._lending.leave(service_id), committed=self._committed, care=self._care,
        )  # fmt: skip
        self._stack.push_async_callback(self._end_writing)

    def _open_traffic(self) -> None:
        """What passes between all of these: requests, events, calls at their times, and the changes of services."""
        config, clock = self._standing.config, self._standing.clock
        self._door = Door(
            backends=Backends(self._supervisor, self._launching), limits=gateway_limits(config),
            spool_folder=config.me / "run",
        )  # fmt: skip
        self._stack.push_async_callback(self._door.close)
        self._bus = Bus(self._coredb, clock, self._stores.logs)
        self._deliveries = Deliveries(
            self._bus, self._coredb, clock, self._deliver, allowed=self._declared.may_listen,
            check=self._launching.check, limits=delivery_limits(config),
        )  # fmt: skip
        self._streams = EventStreams(self._bus, may_hear=self._declared.may_hear)
        self._scheduler = Scheduler(
            self._coredb, clock, self._call, self._declared.frequencies, services=self._declared.service_ids,
            check=self._launching.check,
        )  # fmt: skip
        self._going_on = GoingOn(
            self._stores, self._scheduler, self._declared.frequencies, is_asleep=self._is_asleep
        )  # fmt: skip
        self._desk = ServiceDesk(
            self._services, supervisor=self._supervisor, scheduler=self._scheduler, deliveries=self._deliveries,
            stores=self._stores, catalog=self._catalog, logs=self._logs, loop=self._loop,
            is_outdated=self._launching.is_outdated, me=config.me, bus=self._bus, keepers=self._keepers,
            erase_words=lambda service_id: self.web.erase_words(service_id), go_on=self._going_on.look,
            keep_back=lambda service_id: self._lending.kept_back(service_id),
        )  # fmt: skip
        self._lending = Lending(
            config.me, self._services, self._supervisor, settle=self._keepers.settle, take_up=self._desk.take_up
        )  # fmt: skip

    async def _start(self) -> None:
        """Everything is there: take up work where it was left."""
        me = self._standing.config.me
        await self._supervisor.start()
        bringing_up = BringingUp(me, self._services, care=self._care, open_store=self._keepers.open_store)
        await asyncio.to_thread(bringing_up.bring_up)
        await asyncio.to_thread(self._keepers.settle)
        self._serve_stores()
        console = Console(me, answers=self._console_answers(), is_child=is_below, lend=self._lending.lend)
        await console.start()
        self._stack.push_async_callback(console.close)
        await self._streams.start()
        self._stack.push_async_callback(self._streams.close)
        await self._desk.declare_all()
        # Before an event or a turn may start a child: nothing that runs by then was begun before this core.
        await self._going_on.look()
        await self._deliveries.start()
        self._stack.push_async_callback(self._deliveries.close)
        await self._bus.check()
        await self._scheduler.start()
        self._stack.push_async_callback(self._scheduler.stop)
        self._rounds = Rounds(
            me, self._services, self._stores, care=self._care, kept=self._keepers.kept,
            ask_child=WritersBridge(self._loop, self._door).ask, clock=self._standing.clock,
        )  # fmt: skip
        self._rounds.start()
        self._stack.push_async_callback(asyncio.to_thread, self._rounds.stop)
        self._spawn(self._desk.wake_residents())
        self._spawn(self._look_at_connectors())
        self._spawn(self._lending.watch())

    def _serve_stores(self) -> None:
        """Serve the stores that the core writes at a port, where the owner asked for one."""
        config = self._standing.config
        if config.store_port:
            host = f"[{config.host}]" if ":" in config.host else config.host
            grant_of = self._grant_of if config.store_needs_token else None
            self._keepers.serve_tcp(f"{host}:{config.store_port}", grant_of)

    def _grant_of(self, token: str) -> Grant | None:
        """What a token opens at the stores' port; asked from any thread."""
        caller = self._loop.call(self.web.caller_of, token)
        return None if caller is None else grant_to(caller.actor, caller.scopes, service=caller.service_id)

    def _parts(self) -> Parts:
        standing = self._standing
        return Parts(
            port=standing.port,
            version=VERSION,
            device=self._device.id,
            timezone=standing.config.timezone,
            clock=standing.clock,
            catalog=self._catalog,
            services=self._desk,
            children=ChildrenBridge(
                self._loop, self._supervisor, self._door, self._logs, standing.clock, announce=self._bus.announce
            ),
            schedule=ScheduleBridge(self._loop, self._scheduler),
            events=EventsBridge(self._loop, self._bus, self._deliveries),
            reader=self._stores.reader,
            kept_store=self._keepers.kept,
            stranded=self._care.stranded,
            store_socket=self._keepers.open_socket_of,
            cared_for=self._care.told,
            rest_of=lambda service: rest_of(standing.config.me, service),
            library=self._library,
            coredb=self._coredb,
            documents=self._documents,
            door=self._door,
            event_stream=self._streams,
            end_streams=self._end_streams,
            service_of_token=self._supervisor.service_of_token,
            is_open_door=self._launching.is_open_door,
            log_file=lambda service_id: standing.config.me / "logs" / f"{service_id}.log",
            holder_of=holder_of,
            notices=self._notices,
            owner_token=standing.owner_token,
            host_names=standing.config.host_names,
        )

    def _end_streams(self, of: Callable[[Caller], bool]) -> None:
        """End what those callers have open: the stores', the core's and the children's; called from Flask's threads."""
        self._keepers.end(lambda grant: of(Caller(grant.actor)))
        self._loop.tell(self._streams.end, of)
        self._loop.tell(self._door.end, of)

    def _notices(self) -> list[Notice]:
        found = [*restore_notices(self._standing.config.me), self._supervisor.sandbox_notice, *self._services.notices]
        damages = [damage for damage in (self._documents.notice, self._damage) if damage is not None]
        found += [f"{damage.detail} {damage.remedy}" for damage in damages]
        of_stores = self._care.notices()
        advice = [Notice(self._master.notice, is_advice=True)] if self._master.notice else []
        return [*of_stores, *(Notice(text) for text in found if text), *advice]

    def _console_answers(self) -> Mapping[str, Callable[[], Mapping[str, str]]]:
        url = f"http://{self._standing.config.host}:{self._standing.port}"
        return {
            "ticket": lambda: {"url": url, "token": self.web.short_token()},
            "login": lambda: {"url": self.web.login_url()},
        }

    # What the rooms ask of each other

    async def _before_launch(self, service_id: str) -> None:
        """Make the service's store its child's to write, and one that a crash cannot have left in disorder."""
        await self._keepers.make_way(service_id)
        if self._keepers.kept(service_id) is None:
            await self._care.settle(service_id)

    async def _end_writing(self) -> None:
        """End the children, and the core's own writers, side by side: each waits some seconds for those that linger."""
        await asyncio.gather(self._supervisor.close(deadline_s=CLOSE_S), asyncio.to_thread(self._keepers.close))

    async def _call(self, service_id: str, path: str) -> int:
        """The schedule's call: the child's own path by POST; a paused service is not asked to sync."""
        if path.startswith("/sync") and self._launching.check(service_id, starts_sync=True).paused:
            raise ServiceDisabled(f"syncing of {service_id} is paused", remedy="Resume it on its page.")
        answer = await self._door.call(service_id, "POST", path, headers={}, body=b"", timeout_s=CALL_S)
        return answer.status

    async def _deliver(self, service_id: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
        answer = await self._door.call(service_id, "POST", path, headers=headers, body=body, timeout_s=DELIVERY_S)
        return answer.status

    def _child_changed(self, service_id: str, state: State) -> None:
        """A child's lifecycle moved: show it, and when it ended see what it left."""
        shown = child_state(state, self._standing.clock)
        self._bus.announce(service_id, "service", {"state": shown.name, "reason": shown.reason, "detail": shown.detail})
        if isinstance(state, Failed) and state.code == Retry.code:
            self._lending.leave(service_id)
        if isinstance(state, Stopped | Failed):
            # Its token went with it.
            self._keepers.end(lambda grant: grant.actor == f"service:{service_id}")
            self._spawn(self._bus.check(service_id))
            self._spawn(self._going_on.look(service_id))

    def _is_asleep(self, service_id: str) -> bool:
        """Whether the service has no process, and none is about to be; asked from any thread."""
        return isinstance(self._supervisor.state(service_id), Stopped | Failed)

    def _committed(self, service_id: str, head: int) -> None:
        """A store that the core writes grew; told from any thread."""
        self._loop.tell(self._bus.committed, service_id, head)

    def _connectors_changed(self, names: frozenset[str]) -> None:
        """The catalog's word, from any thread."""
        self._loop.tell(lambda: self._spawn(self._desk.follow(names)))

    async def _look_at_connectors(self) -> None:
        """Notice a connector that was added or changed, though nobody asks for it."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self._catalog.refresh)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        if self._is_closing:
            # The last children end while the rooms close: the next start sees what they left.
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
