"""The HTTP door: paths, token, limits and errors as JSON; aiohttp speaks HTTP, nothing here parses it."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson
import structlog
from aiohttp import hdrs, web
from msgspec import UNSET

from contracts.crash_points import reach
from contracts.frame import Columns
from contracts.hashed_fields import HashKeys
from inference.serve.answers import Asked
from inference.serve.connections import Connections, State
from inference.serve.metrics import ServeMetrics
from inference.serve.queue import Answer, AnswerQueue, busy
from inference.serve.request import (
    CheckedRequest,
    Requests,
    ServeError,
)
from inference.serve.settings import ServeSettings
from runtime.clock import Clock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Health = Callable[[], dict[str, Any]]
REPORT = "report it with the log of `headrace serve`"
OPEN = ("/health",)  # needs no token: says nothing of anyone
PATHS = ("/score", "/score/batch", "/features", "/features/batch", "/health")

log = structlog.get_logger(__name__)


class Queues(NamedTuple):
    """Where requests wait: an item of `scores` is the columns of one request, of `moments` a question."""

    scores: AnswerQueue[Columns]
    moments: AnswerQueue[Asked]


class Door:
    """Answers HTTP; `application` makes what aiohttp runs.

    Args:
        requests: what callers may send of the project's events.
        health: what /health says.
        connections: told what each request's connection is doing.
        secrets: with which personal keys are hashed.
        broken: called with an exception that no handler expected: the caller is told, and the process ends.
    """

    def __init__(
        self, settings: ServeSettings, requests: Requests, queues: Queues, metrics: ServeMetrics,
        clock: Clock, health: Health, connections: Connections,
        broken: Callable[[Exception], None], secrets: HashKeys | None = None,
    ) -> None:  # fmt: skip
        self._connections, self._broken, self._secrets = connections, broken, secrets
        self._settings, self._queues, self._metrics = settings, queues, metrics
        self._requests = requests
        self._clock, self._health = clock, health
        self._token = settings.token.encode()
        self._open = 0

    def application(self) -> web.Application:
        """Return the paths behind token, limits and error pages."""
        app = web.Application(
            middlewares=[self._coded, self._guarded], client_max_size=self._settings.body_bytes_max
        )
        app.router.add_post("/score", self._score)
        app.router.add_post("/score/batch", self._score_batch)
        app.router.add_post("/features", self._features)
        app.router.add_post("/features/batch", self._features_batch)
        app.router.add_get("/health", self._healthy)
        return app

    @web.middleware
    async def _coded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn whatever happens into JSON with a code, and count it."""
        self._connections.entered(request, State.BODY)
        try:
            response = await handler(request)
        except ServeError as error:
            response = self._refused(error)
        except web.HTTPException as error:
            response = self._refused(_of_http(error, request))
        except Exception as error:
            log.exception("request_failed", path=_path(request))
            response = self._refused(ServeError(500, "E_SERVE_INTERNAL", type(error).__name__, "", REPORT))
            self._broken(error)
        self._connections.entered(request, State.IDLE)
        self._metrics.requests.labels(_path(request), response.status).inc()
        return response

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who has the token."""
        reach("serve.handler")
        if request.path in OPEN:
            return await handler(request)
        scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(errors="surrogateescape"), self._token
        ):
            raise ServeError(
                401, "E_SERVE_TOKEN", "no token, or a wrong one", "Authorization",
                "send `Authorization: Bearer TOKEN`; the file serve/token in the run's home has it",
            )  # fmt: skip
        return await handler(request)

    async def _score(self, request: web.Request) -> web.Response:
        with self._metrics.answer_s.labels("/score").time():
            pending = self._checked([await self._body(request)])
            if pending.rows is None:
                raise pending.refused[0]
            answers = await self._ask(self._queues.scores, [pending.rows], 1, request)
        return self._answered("/score", answers[0], answers)

    async def _score_batch(self, request: web.Request) -> web.Response:
        with self._metrics.answer_s.labels("/score/batch").time():
            documents = self._requests.events_of(await self._body(request), self._settings.rows_max)
            pending = self._checked(documents)
            found: list[Answer] = []
            if pending.rows is not None:
                found = await self._ask(self._queues.scores, [pending.rows], len(pending.good), request)
        answers = self._placed(len(documents), pending.good, found, pending.refused)
        return self._answered("/score/batch", {"answers": answers}, found)

    async def _features(self, request: web.Request) -> web.Response:
        reach("serve.answer")
        with self._metrics.answer_s.labels("/features").time():
            asked = self._asked(await self._body(request))
            answers = await self._ask(self._queues.moments, [asked], 1, request)
        return self._answered("/features", answers[0], answers)

    async def _features_batch(self, request: web.Request) -> web.Response:
        with self._metrics.answer_s.labels("/features/batch").time():
            documents = self._requests.questions_of(await self._body(request), self._settings.rows_max)
            asked, refused = {}, {}
            for at, document in enumerate(documents):
                try:
                    asked[at] = self._asked(document)
                except ServeError as error:
                    refused[at] = error
            found: list[Answer] = []
            if asked:
                found = await self._ask(self._queues.moments, list(asked.values()), len(asked), request)
        answers = self._placed(len(documents), list(asked), found, refused)
        return self._answered("/features/batch", {"answers": answers}, found)

    async def _healthy(self, _request: web.Request) -> web.Response:
        return _json(200, self._health())

    def _checked(self, documents: list[bytes]) -> CheckedRequest:
        return self._requests.pending_of(documents, int(self._clock.now_ms()), self._secrets)

    def _asked(self, document: bytes) -> Asked:
        question = self._requests.question_of(document)
        given = question.now_ms
        return Asked(question, int(self._clock.now_ms()) if given is UNSET or given is None else given)

    async def _body(self, request: web.Request) -> bytes:
        """Return the body, whole and in time."""
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
            raise ServeError(415, "E_SERVE_ENCODING", "a body that is packed", "Content-Encoding")
        try:
            async with asyncio.timeout(self._settings.body_timeout_ms / 1000):
                body = await request.read()
        except TimeoutError:
            raise ServeError(
                408, "E_SERVE_SLOW", f"no whole body in {self._settings.body_timeout_ms:.0f} ms", "the body"
            ) from None
        except (OSError, web.RequestPayloadError) as error:  # nobody may be there to read this
            raise ServeError(
                400, "E_SERVE_CUT_SHORT", f"the body ended early: {type(error).__name__}", "the body"
            ) from None
        self._connections.entered(request, State.BUSY)
        return body

    async def _ask(
        self, queue: AnswerQueue[Any], items: list[Any], rows: int, request: web.Request
    ) -> list[Answer]:
        if self._open >= self._settings.requests_max:
            raise self._shed(request, f"{self._open} requests are being answered")
        self._open += 1
        try:
            answers = await queue.ask(items, rows)
        except ServeError as error:
            raise self._shed(request, error.what) if error.status == 503 else error from None
        finally:
            self._open -= 1
            self._metrics.waiting.set(self._queues.scores.rows + self._queues.moments.rows)
        return answers

    def _shed(self, request: web.Request, what: str) -> ServeError:
        self._metrics.shed.labels(_path(request)).inc()
        return busy(what)

    def _placed(
        self, count: int, good: list[int], found: list[Answer], refused: dict[int, ServeError]
    ) -> list[Answer]:
        """Return answers and refusals in the order of what was asked."""
        placed = dict(zip(good, found, strict=True))
        for at, error in refused.items():
            self._metrics.refused.labels(error.code).inc()
            placed[at] = {"error": _error(error)}
        return [placed[at] for at in range(count)]

    def _answered(self, path: str, answer: Answer, answers: list[Answer]) -> web.Response:
        self._metrics.rows.labels(path).inc(len(answers))
        self._metrics.degraded.labels(path).inc(sum(one["degraded"] for one in answers))
        return _json(200, answer)

    def _refused(self, error: ServeError) -> web.Response:
        self._metrics.refused.labels(error.code).inc()
        response = _json(error.status, {"error": _error(error)})
        if error.status == 503:
            response.headers[hdrs.RETRY_AFTER] = str(self._settings.retry_after_s)
        if error.status == 401:
            response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        return response


def _json(status: int, content: Answer) -> web.Response:
    """Return a response; a null feature, NaN inside, is null outside."""
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")


def _error(error: ServeError) -> dict[str, str]:
    return {"code": error.code, "what": error.what, "where": error.where, "next": error.next_step}


def _path(request: web.Request) -> str:
    """Return the path as a label: one of ours, or `other`."""
    return request.path if request.path in PATHS else "other"


def _of_http(error: web.HTTPException, request: web.Request) -> ServeError:
    """Return one of aiohttp's refusals as ours."""
    paths = ", ".join(PATHS)
    known = {
        404: ("E_SERVE_PATH", "no such path", f"take one of {paths}"),
        405: ("E_SERVE_METHOD", f"{request.method} is not taken here", "POST, and GET for /health"),
        413: ("E_SERVE_BODY", "the body is too long", "send fewer pending at a time"),
    }
    code, what, advice = known.get(error.status, ("E_SERVE_HTTP", error.reason, "send plain HTTP/1.1"))
    return ServeError(error.status, code, what, "", advice)
