"""Where the time and the memory of one Heracles job go, by part."""

import itertools
from collections.abc import Callable, Mapping, Sequence

from benchmarks.catalogue import System
from benchmarks.environments import Environment
from benchmarks.figures import Measurement, is_heracles
from benchmarks.figures.processing import jobs_of, preload
from benchmarks.measure import STALL_S, Bench
from benchmarks.servers import SCRIPT_CALLS, Calls, Server
from benchmarks.sizes import Size

#: What Redis spends outside of commands, and a script outside of the commands that it calls.
_OUTSIDE, _LUA = "reading, answering, waking up", "Lua"
#: Below this share of the whole a command is told with the rest.
_LEAST_SHARE = 0.01
_REST = "other commands"
#: Queued jobs of which memory is told by key.
_SAMPLE = 200
#: Entries of a stream by which the weight of one is told, and its name.
_ENTRIES, _COPY = 500, "copy"
#: As many as a queue keeps events of.
_FIRST = 10_000
#: Kinds of keys of which each waiting job has one, or a part.
_OF_EACH_JOB = ("status", "stream", "payload", "dispatch", "jobs")


def _profile(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    count = jobs_of(system, size)
    found: dict[str, float] = {}
    for series, what in (("profile-producer", "producer"), ("profile-bulk", "bulk")):
        with Bench(system, environment, size) as bench:
            parts = bench.run("benchmarks.profiling", what, str(count), seconds=STALL_S)
            found |= {f"{series}@{part}": value for part, value in parts.items()}
    with Bench(system, environment, size) as bench:
        preload(bench, count)
        parts = bench.run("benchmarks.profiling", "worker", str(count), seconds=STALL_S)
    return {**found, **{f"profile-worker@{part}": value for part, value in parts.items()}}


def _redis(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """By command, in time and in number."""
    count = jobs_of(system, size)
    found = {}
    with Bench(system, environment, size) as bench:
        preload(bench, 1)
        for phase in ("dispatch", "process"):
            bench.redis.forget_calls()
            cpu_s = bench.redis.cpu_s()
            if phase == "dispatch":
                preload(bench, count)
            else:
                with bench.worker() as process:
                    bench.await_count(count + 1, [process], timeout_s=STALL_S)
            us = (bench.redis.cpu_s() - cpu_s) * 1e6
            calls = bench.redis.calls()
            for part, value in _times(calls, us).items():
                found[f"profile-redis-{phase}@{part}"] = value / count
            for name, number in _counts(calls).items():
                found[f"calls-{phase}@{name}"] = number / count
    return found


def _times(calls: Mapping[str, Calls], total_us: float) -> dict[str, float]:
    """Microseconds by command; small ones together."""
    inner = {name: call.microseconds for name, call in calls.items() if name not in SCRIPT_CALLS}
    scripts_us = sum(call.microseconds for name, call in calls.items() if name in SCRIPT_CALLS)
    # Commands are timed by the clock on the wall. On a busy machine that runs on while the server is kept from running.
    held_up = max(1.0, scripts_us / total_us)
    small = {name for name, us in inner.items() if us < total_us * _LEAST_SHARE}
    found = {
        **{name: us / held_up for name, us in inner.items() if name not in small},
        _REST: sum(inner[name] for name in small) / held_up,
        _LUA: max(0.0, scripts_us - sum(inner.values())) / held_up,
    }
    return {**found, _OUTSIDE: max(0.0, round(total_us - sum(found.values())))}


def _counts(calls: Mapping[str, Calls]) -> dict[str, float]:
    most = max(call.count for call in calls.values())
    small = {name for name, call in calls.items() if call.count < most * _LEAST_SHARE and name not in SCRIPT_CALLS}
    rest = {_REST: float(sum(calls[name].count for name in small))}
    return {**{name: float(call.count) for name, call in calls.items() if name not in small}, **rest}


# ------------------------------------------------------------------------------------------------------------- memory


def _memory(system: System, environment: Environment, size: Size) -> Mapping[str, float]:
    """What the server says of each kind of key, and what a record takes without one of its fields."""
    count = max(_SAMPLE, jobs_of(system, size) // 10)
    with Bench(system, environment, size) as bench:
        # What a queue has but once, such as its latest events, comes with these.
        preload(bench, _FIRST)
        before = bench.redis.memory_bytes()
        preload(bench, count)
        whole = (bench.redis.memory_bytes() - before) / count
        keys = _keys_of(bench.redis)
        by_kind = {kind: _weight(bench.redis, names) * len(names) / (_FIRST + count) for kind, names in keys.items()}
        record = _record(bench.redis, keys["status"][0])
        entry = _entry(bench.redis, keys["stream"][0])
    by_kind["the server's table of keys"] = max(0.0, whole - sum(by_kind.values()))
    return {
        **{f"memory-keys@{kind}": value for kind, value in by_kind.items()},
        **{f"memory-record@{name}": value for name, value in record.items()},
        **{f"memory-entry@{name}": value for name, value in entry.items()},
    }


def _keys_of(server: Server) -> Mapping[str, Sequence[str]]:
    """The names of what each job has, by kind, the word before that of the queue."""
    found: dict[str, list[str]] = {}
    cursor = "0"
    while True:
        cursor, names = server.command("SCAN", cursor, "COUNT", 10_000)
        for name in names:
            kind = name.removeprefix("elysium:heracles:").partition(":")[0]
            if kind in _OF_EACH_JOB:
                found.setdefault(kind, []).append(name)
        if str(cursor) == "0":
            return found


def _weight(server: Server, names: Sequence[str]) -> float:
    """Bytes of one of them on the average."""
    some = names[:_SAMPLE]
    return sum(int(server.command("MEMORY", "USAGE", name, "SAMPLES", 0)) for name in some) / len(some)


def _record(server: Server, record: str) -> dict[str, float]:
    """Bytes of a record by field, as the server's allocator rounds."""

    def weight(fields: Mapping[str, str]) -> float:
        # Under a name of the same length.
        name = "_" * len(record)
        server.command("DEL", name)
        server.command("HSET", name, *itertools.chain(*fields.items()))
        return _weight(server, [name])

    return _by_field(server.command("HGETALL", record), weight, "its key, and what each hash has")


def _entry(server: Server, stream: str) -> dict[str, float]:
    """Bytes of a stream's entry by field: of many, as they share what holds them."""

    def weight(fields: Mapping[str, str]) -> float:
        server.command("DEL", _COPY)
        for _ in range(_ENTRIES):
            server.command("XADD", _COPY, "*", *itertools.chain(*fields.items()))
        return _weight(server, [_COPY]) / _ENTRIES

    ((_, fields),) = server.command("XRANGE", stream, "-", "+", "COUNT", 1)
    return _by_field(fields, weight, "its id, and what each entry has")


def _by_field(fields: Mapping[str, str], weight: Callable[[Mapping[str, str]], float], rest: str) -> dict[str, float]:
    """What leaving out each field would save, and what is left."""
    whole = weight(fields)
    saved = {name: whole - weight({other: fields[other] for other in fields if other != name}) for name in fields}
    return {**saved, rest: whole - sum(saved.values())}


MEASUREMENTS = (
    Measurement("profile", _profile, is_heracles, is_growth=True),
    Measurement("redis-parts", _redis, is_heracles, is_growth=True),
    Measurement("memory-parts", _memory, is_heracles, is_growth=True),
)
