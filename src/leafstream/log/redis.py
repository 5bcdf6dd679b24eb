"""The log in Redis or Valkey, shared by the processes of many machines.

A stream an answer; every change is one script, so that it is atomic, and one call a flush. A holder
is alive as long as its key is, which it renews well before the server lets it expire: the server's
clock is the only one asked. How much a crash of the server itself may lose is the server's setting
(`appendonly yes`, `appendfsync always` for nothing).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Collection, Sequence
from importlib.resources import files
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from leafstream.errors import LogUnavailable, SetupError
from leafstream.log.records import Opening, Record, decode_opening, decode_record, encode_opening
from leafstream.log.storage import Head, Outcome, Retention, Write

LEASE_MS = 3000
RENEW_SECONDS = 0.7
NEWS_SECONDS = 1.0
CONNECTIONS = 16
_SCRIPTS = ("create", "write", "claim", "forget")


class RedisStorage:
    """One server, one holder. Made by `open`."""

    durable = True

    def __init__(self, client: Any, prefix: str) -> None:
        self._redis = client
        self._prefix = prefix
        self._name = secrets.token_hex(8)
        folder = files("leafstream.log") / "scripts"
        self._scripts = {
            name: client.register_script((folder / f"{name}.lua").read_text()) for name in _SCRIPTS
        }
        self._news: Any = None
        self._renewing: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, prefix: str = "leafstream:") -> RedisStorage:
        """Connect and take a lease. Raises SetupError with what to do."""
        try:
            # Who finds all connections busy waits for one, as for any other part of the server.
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=20,
                socket_timeout=10,
                socket_connect_timeout=5,
                health_check_interval=15,
            )
            storage = cls(redis.asyncio.Redis.from_pool(pool), prefix)
            await storage._renew()
        except (RedisError, OSError, ValueError, LogUnavailable) as error:
            # A ValueError quotes a password that looks like a port.
            why = "it is no URL of a Redis" if isinstance(error, ValueError) else error
            raise SetupError(
                f"the Redis of LEAFSTREAM_ANSWERS_URL cannot be used: {why}; start it, or check "
                "the URL: redis://[:password@]host:port/number"
            ) from None
        storage._renewing = asyncio.create_task(storage._renew_always(), name="log lease")
        return storage

    def _key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    async def _renew(self) -> None:
        async with _errors():
            await self._redis.set(self._key("holder", self._name), 1, px=LEASE_MS)

    async def _renew_always(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with contextlib.suppress(LogUnavailable):  # the next write says so too
                await self._renew()

    async def _run(self, script: str, *values: str | bytes | float) -> Any:
        async with _errors():
            return await self._scripts[script](keys=[self._prefix], args=[*values])

    async def create(self, opening: Opening) -> Opening:
        ask = opening.ask
        kept = await self._run(
            "create",
            opening.id,
            encode_opening(opening),
            self._name,
            f"{ask.owner}:{opening.key}" if opening.key is not None else "",
            ask.conversation or "",
        )
        return decode_opening(kept)

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        values: list[str | bytes | float] = []
        for write in writes:
            values += [write.answer, write.epoch, write.last, int(write.ended), write.body]
        outcomes = await self._run("write", *values)
        return [outcome.decode() for outcome in outcomes]

    async def sync(self) -> None:
        """The server synced before it answered, or not, as its settings say."""

    async def head(self, answer: str) -> Head | None:
        async with _errors():
            found = await self._redis.hmget(
                self._key("answer", answer), "opening", "last", "ended", "epoch", "holder"
            )
        opening, last, ended, epoch, holder = found
        if opening is None:
            return None
        mine = holder == self._name.encode()
        return Head(decode_opening(opening), int(last), ended is not None, int(epoch), mine)

    async def records(self, answer: str, after: int = 0, limit: int | None = None) -> list[Record]:
        async with _errors():
            found = await self._redis.xrange(
                self._key("records", answer), min=f"({after}", max="+", count=limit
            )
        return [decode_record(int(name.split(b"-")[0]), body[b"b"]) for name, body in found]

    async def earlier(self, owner: str, key: str) -> Opening | None:
        async with _errors():
            answer = await self._redis.hget(self._key("keys"), f"{owner}:{key}")
        head = None if answer is None else await self.head(answer.decode())
        return None if head is None else head.opening

    async def claim(self, answer: str) -> int | None:
        epoch = await self._run("claim", answer, self._name)
        return int(epoch) or None

    async def release(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})
            self._renewing = None
        async with _errors():
            await self._redis.delete(self._key("holder", self._name))

    async def orphans(self) -> list[str]:
        async with _errors():
            held = await self._redis.hgetall(self._key("running"))
            holders = sorted(set(held.values()))
            alive = [
                await self._redis.exists(self._key("holder", holder.decode())) for holder in holders
            ]
        dead = {holder for holder, is_alive in zip(holders, alive, strict=True) if not is_alive}
        dead.add(self._name.encode())
        return [answer.decode() for answer, holder in held.items() if holder in dead]

    async def unfinished(self, conversation: str) -> list[str]:
        async with _errors():
            found = await self._redis.lrange(self._key("turns", conversation), 0, -1)
        return [answer.decode() for answer in found]

    async def want_cancel(self, answer: str) -> None:
        async with _errors():
            key = self._key("answer", answer)
            if await self._redis.exists(key) and not await self._redis.hexists(key, "ended"):
                await self._redis.hset(key, "cancel", "1")
                await self._redis.sadd(self._key("cancels"), answer)

    async def wanted_cancels(self) -> list[str]:
        async with _errors():
            wanted = list(await self._redis.smembers(self._key("cancels")))
            held = await self._redis.hmget(self._key("running"), wanted) if wanted else []
        mine = self._name.encode()
        return [a.decode() for a, holder in zip(wanted, held, strict=True) if holder == mine]

    async def see(self, answers: Collection[str]) -> None:
        async with _errors():
            pipe = self._redis.pipeline(transaction=False)
            for answer in answers:
                pipe.set(self._key("seen", answer), await self._now(), ex=120)
            await pipe.execute()

    async def seen(self, answer: str, within: float) -> bool:
        async with _errors():
            at: bytes | None = await self._redis.get(self._key("seen", answer))
            return at is not None and await self._now() - float(at) < within

    async def _now(self) -> float:
        seconds, micros = await self._redis.time()
        return float(seconds) + float(micros) / 1e6

    async def grown(self) -> Collection[str] | None:
        async with _errors():
            if self._news is None:
                news = self._redis.pubsub(ignore_subscribe_messages=True)
                await news.subscribe(self._key("news"))
                self._news = news
                return None
            try:
                message = await self._news.get_message(timeout=NEWS_SECONDS)
            except (RedisError, OSError):
                # What was said while the line was down is lost: look at everything again.
                await self._news.aclose()
                self._news = None
                raise
        return [] if message is None else message["data"].decode().split(" ")

    async def delete(self, answer: str) -> bool:
        return int(await self._run("forget", 0, -1, answer)) > 0

    async def forget(self, kept: Retention) -> int:
        size = -1 if kept.size is None else kept.size
        return int(await self._run("forget", kept.age, size))

    async def close(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        if self._news is not None:
            await self._news.aclose()
        await self._redis.aclose()


@contextlib.asynccontextmanager
async def _errors() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise LogUnavailable(f"Redis, which keeps the log, does not answer: {error}") from error
