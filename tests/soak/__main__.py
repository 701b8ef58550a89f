"""``python -m tests.soak``: real processes on a real store under random faults, judged by their history."""

import argparse
import contextlib
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.soak.plan import Plan
from tests.soak.report import report
from tests.soak.run import Soak
from tests.soak.sites import ClusterSite, RedisSite, SentinelSite, Site, SqliteSite

TRANSPORTS = ("redis", "sqlite", "sentinel", "cluster")


def site_of(transport: str, folder: Path, workers: int) -> Site:
    """The store of that name."""
    match transport:
        case "sqlite":
            return SqliteSite(folder)
        case "sentinel":
            return SentinelSite()
        case "cluster":
            return ClusterSite()
        case _:
            return RedisSite(workers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soak", description="Run jobs under random faults and judge what happened.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long there are faults")
    parser.add_argument("--seed", type=int, help="repeats what a run with that seed did, as far as processes allow")
    parser.add_argument("--transport", choices=TRANSPORTS, default="redis")
    parser.add_argument("--faults", default="", help="names, separated by commas; by default all that suit the store")
    parser.add_argument("--lease", type=int, default=2000, help="in ms; a short one shows many reclaims")
    parser.add_argument(
        "--calm", type=float, default=1.5, help="seconds between the beginnings of two faults, on average"
    )
    parser.add_argument("--rate", type=float, default=6.0, help="dispatches a second, of each of two producers")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument(
        "--folder", type=Path, help="where history and logs go; by default one that is removed if all is well"
    )
    return parser


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where all is well, 1 where something is wrong, 130 where it was interrupted."""
    parser = _parser()
    given = parser.parse_args(arguments)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="heracles-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"--folder: {folder} is not empty")
    plan = Plan(
        transport=given.transport,
        faults=(),
        seed=secrets.randbelow(1_000_000) if given.seed is None else given.seed,
        seconds=given.minutes * 60,
        lease_ms=given.lease,
        calm_s=given.calm,
        rate=given.rate,
        workers=given.workers,
    )
    site = site_of(plan.transport, folder, plan.workers)
    chosen = tuple(name.strip() for name in given.faults.split(",") if name.strip())
    if unknown := sorted(set(chosen) - set(site.faults)):
        parser.error(f"--faults: {', '.join(unknown)} do not suit {plan.transport}: {', '.join(site.faults)}")
    plan = plan.with_faults(chosen or site.faults)
    # A plain kill ends the processes too.
    signal.signal(signal.SIGTERM, _interrupt)
    print(f"soak of {plan.transport}: seed {plan.seed}, {given.minutes:g} minutes, {folder}", flush=True)
    try:
        result = Soak(plan, site, folder, lambda line: print(line, flush=True)).run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(report(result))
    if result.is_well and given.folder is None:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    return 0 if result.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
