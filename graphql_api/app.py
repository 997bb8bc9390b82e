"""The composition root: settings in, ASGI application out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from graphql_api.access.issuer_keys import IssuerKeys, IssuerKeysStatistics, open_fetch
from graphql_api.access.revocations import Revocations
from graphql_api.access.tokens import TokenVerifier
from graphql_api.access.verdicts import VerdictsStatistics
from graphql_api.delivery.admission import Admission, AdmissionStatistics
from graphql_api.delivery.bodies import Bodies
from graphql_api.delivery.census import DeliveryStatistics
from graphql_api.delivery.delivery import Delivery
from graphql_api.delivery.endpoints import STATE_KEY, Application
from graphql_api.delivery.expiries import Expiries
from graphql_api.delivery.heartbeat import Heartbeat
from graphql_api.delivery.open_streams import OpenStreams
from graphql_api.delivery.operations import Operations
from graphql_api.delivery.origins import Origins
from graphql_api.delivery.pace import Pace
from graphql_api.delivery.patience import Patience
from graphql_api.delivery.sharing import Sharing, SharingStatistics
from graphql_api.devices.feeds import Feeds, FeedsStatistics
from graphql_api.devices.news import News, NewsStatistics, broker_of
from graphql_api.devices.revoking import Revoking, RevokingStatistics
from graphql_api.devices.service import DeviceService
from graphql_api.devices.store import Store, StoreStatistics
from graphql_api.devices.upkeep import Upkeep
from graphql_api.moment import Clock, now
from graphql_api.operations.health import check_readiness
from graphql_api.rates import BucketsStatistics
from graphql_api.refusals import Refusals
from graphql_api.schema import Executor, Guard, internal_error
from graphql_api.settings import Settings, load_settings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[dict[str, Any]]]

__all__ = ["Services", "Statistics", "create_app", "open_services"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of everything that is counted in this process."""

    delivery: DeliveryStatistics
    admission: AdmissionStatistics
    callers: BucketsStatistics
    publishers: BucketsStatistics
    refusals: Mapping[str, int]
    """How often each limit was met, by its name."""
    sharing: SharingStatistics
    feeds: FeedsStatistics
    news: NewsStatistics
    store: StoreStatistics
    verdicts: VerdictsStatistics
    revoking: RevokingStatistics
    issuer_keys: IssuerKeysStatistics | None
    """None: no key set is configured."""


@dataclass(frozen=True, slots=True)
class Services:
    """All that serves, wired together."""

    verifier: TokenVerifier
    issuer_keys: IssuerKeys | None
    revoking: Revoking
    store: Store
    news: News
    feeds: Feeds
    devices: DeviceService
    delivery: Delivery

    def statistics(self) -> Statistics:
        """What is counted, now."""
        return Statistics(
            self.delivery.census.statistics(),
            self.delivery.admission.statistics(),
            self.delivery.pace.statistics(),
            self.delivery.executor.guard.publishes.statistics(),
            self.delivery.refusals.statistics(),
            self.delivery.sharing.statistics(),
            self.feeds.statistics(),
            self.news.statistics(),
            self.store.statistics(),
            self.verifier.statistics(),
            self.revoking.statistics(),
            self.issuer_keys.statistics() if self.issuer_keys else None,
        )


@asynccontextmanager
async def open_services(settings: Settings, *, clock: Clock = now) -> AsyncIterator[Services]:
    """Open the keys, the store, the broadcaster, the feeds and their upkeep, and close them in the opposite order.

    Raises:
        SettingsError: no key is configured, or one is unusable.
        ServiceError: the store can't be reached.
    """
    revocations = Revocations()
    async with AsyncExitStack() as stack:
        issuer_keys = await _open_issuer_keys(settings, stack)
        verifier = TokenVerifier.from_settings(settings, issuer_keys=issuer_keys, revocations=revocations, clock=clock)
        store = await Store.open(
            settings.database_url.get_secret_value(), unknown_devices=settings.unknown_devices, clock=clock
        )
        stack.push_async_callback(store.close)
        revoking = await stack.enter_async_context(
            Revoking(store=store, revocations=revocations, max_lifetime=settings.jwt_max_lifetime, clock=clock)
        )
        news = await stack.enter_async_context(
            News(
                broker_of(settings.broadcast_url.get_secret_value()),
                epoch=lambda: store.epoch,
                outbox_limit=settings.outbox_limit,
            )
        )
        feeds = await stack.enter_async_context(
            Feeds(
                store=store,
                news=news,
                compare_interval=settings.feed_compare_interval,
                recent_limit=settings.recent_changes_limit,
            )
        )
        devices = DeviceService(store=store, news=news, feeds=feeds, revoking=revoking, max_replay=settings.max_replay)
        stack.push_async_callback(devices.finish)
        await stack.enter_async_context(
            Upkeep(
                store=store,
                service=devices,
                history_days=settings.history_days,
                stale_after=settings.stale_after,
                clock=clock,
            )
        )
        delivery = await stack.enter_async_context(_open_delivery(settings, devices, verifier, revocations, clock))
        yield Services(verifier, issuer_keys, revoking, store, news, feeds, devices, delivery)


async def _open_issuer_keys(settings: Settings, stack: AsyncExitStack) -> IssuerKeys | None:
    if settings.jwks_url is None:
        return None
    fetch = await stack.enter_async_context(open_fetch(settings.jwks_url))
    return await stack.enter_async_context(
        IssuerKeys(fetch, refresh_interval=settings.jwks_refresh, stale_limit=settings.jwks_stale_limit)
    )


@asynccontextmanager
async def _open_delivery(
    settings: Settings, service: DeviceService, verifier: TokenVerifier, revocations: Revocations, clock: Clock
) -> AsyncIterator[Delivery]:
    expiries = Expiries(clock)
    heartbeat = Heartbeat(settings.keep_alive)
    patience = Patience(settings.stalled_timeout)
    refusals = Refusals()
    streams = OpenStreams()
    async with AsyncExitStack() as stack:
        stack.callback(expiries.close)
        sharing = await stack.enter_async_context(
            Sharing(
                service=service,
                expiries=expiries,
                max_groups=settings.max_groups,
                rendered_limit=settings.rendered_limit,
                unfinished_limit=settings.unfinished_limit,
            )
        )
        operations = await stack.enter_async_context(Operations())
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for work in (patience.run(), heartbeat.run()):
            stack.callback(tasks.create_task(work, name="delivery").cancel)
        yield Delivery(
            executor=Executor(Guard(settings, refusals)),
            service=service,
            verifier=verifier,
            revocations=revocations,
            sharing=sharing,
            expiries=expiries,
            heartbeat=heartbeat,
            patience=patience,
            start=operations.start,
            clock=clock,
            connection_init_timeout=settings.connection_init_timeout,
            bodies=Bodies(settings.body_limit, streams, refusals),
            limits=settings,
            refusals=refusals,
            admission=Admission(settings, refusals),
            origins=Origins(settings.allowed_origins, settings.public_url),
            pace=Pace(settings, refusals),
            streams=streams,
        )


def create_app(settings: Settings | None = None, *, clock: Clock = now) -> FastAPI:
    """The ASGI application; without settings, those of the environment.

    While it runs, ``app.state.services`` holds its :class:`Services`. The log is the server's: what keeps tokens out of
    it is :func:`graphql_api.cli.logs.log_config`, which ``device-status serve`` uses.

    Raises:
        SettingsError: a setting is wrong, or no key is configured.
    """
    settings = settings or load_settings()
    settings.require_keys()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with open_services(settings, clock=clock) as services:
            app.state.services = services
            yield {STATE_KEY: services.delivery}

    return _application(lifespan, own_keys=bool(settings.secrets or settings.public_keys))


def _application(lifespan: Lifespan, *, own_keys: bool) -> FastAPI:
    # GraphQL documents itself; an OpenAPI page would load its scripts from a CDN.
    app = Application(title="Device Status", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    # They would go where the request's Host says, and without TLS behind a proxy, with the token of who follows.
    app.router.redirect_slashes = False

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @app.get("/health/ready")
    async def ready() -> JSONResponse:
        """The process can do its work; with the reasons when it does it worse, and 503 when it can't."""
        services: Services = app.state.services
        readiness = await check_readiness(
            services.store, services.news, services.revoking, services.issuer_keys, own_keys=own_keys
        )
        reasons = {"reasons": readiness.reasons} if readiness.reasons else {}
        return JSONResponse({"status": readiness.status, **reasons}, status_code=readiness.http_status)

    @app.exception_handler(Exception)
    async def defect(_request: Request, error: Exception) -> JSONResponse:
        """Whatever nobody has caught: the client is told an id, under which the log has the rest."""
        return JSONResponse({"errors": [internal_error(error)]}, status_code=500)

    return app
