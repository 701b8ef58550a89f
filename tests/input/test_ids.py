"""Ids and names that could mean something else to a store, a terminal or a reader: refused everywhere."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heracles import Job, OptionError, Queue, Worker, job
from heracles.cli.main import main
from heracles.options import check_id, check_queue_name
from tests.input.jobs import double

FORBIDDEN = "{}*?[]\\"
#: Parts that no id may have.
BAD_PARTS = [
    *FORBIDDEN,
    *" \t\n\r\x0b\x0c\0\x1b\x7f\x85\xa0\u2028\u2029\u3000",
    *"\u200b\u200c\u200d\u200e\u202e\u2060\u2066\ufeff\u00ad\u061c\U000e0041",
    "\ud800",
]
BAD_IDS: list[Any] = ["", "x" * 257, 7, b"x", None.__class__, *(f"a{part}b" for part in BAD_PARTS)]
GOOD_IDS = ["a", "x" * 256, "user:17", "ünï-çødé", "日本語", "a/b%2F#'\"$`;&|<>!~^@=+,.()", "\U0001f680"]
BAD_QUEUES = ["", "x" * 129, "a:b", "a/b", "ü", "a,b", *(f"a{part}b" for part in BAD_PARTS)]


@pytest.mark.parametrize("id", BAD_IDS)
async def test_a_bad_id_is_refused_everywhere(local: Queue, id: Any) -> None:
    for call in (
        local.dispatch(double, [1], job_id=id),
        local.dispatch(double, [1], dispatch_id=id),
        local.cancel_job(id),
        local.get_job(id),
        local.retry_job(id),
    ):
        with pytest.raises(OptionError, match=r"is not allowed: give 1 to 256 characters") as caught:
            await call
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500
    assert sum((await local.counts()).values()) == 0


@pytest.mark.parametrize("id", [id for id in BAD_IDS if isinstance(id, str)])
async def test_a_bad_id_that_a_class_makes_or_has(local: Queue, id: str) -> None:
    with pytest.raises(OptionError, match="name="):
        Job.register(name=id)
    with pytest.raises(OptionError, match="name="):
        job(name=id)

    @Job.register(name=f"makes-ids-{BAD_IDS.index(id)}")
    class MakesIds(Job):
        @classmethod
        def generate_job_id(cls, *args: Any, **kwargs: Any) -> str:
            return id

        def execute(self) -> None: ...

    with pytest.raises(OptionError, match="job_id="):
        await local.dispatch(MakesIds())


async def test_a_colon_is_for_job_ids_alone(local: Queue) -> None:
    with pytest.raises(OptionError, match="a dispatch id has no ':'"):
        await local.dispatch(double, [1], dispatch_id="a:b")


async def test_good_ids_lead_to_their_job(queue: Queue) -> None:
    for number, id in enumerate(GOOD_IDS):
        handle = await queue.dispatch(double, [1], job_id=id, dispatch_id=id.replace(":", f"-{number}"))
        for known_as in (id, handle.dispatch_id, handle):
            info = await queue.get_job(known_as)
            assert info is not None
            assert (info.job_id, info.dispatch_id) == (id, handle.dispatch_id)
        assert await queue.cancel_job(id)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text(st.characters(codec=None), max_size=300) | st.text(st.sampled_from([*BAD_PARTS, *"ab:é"]), max_size=5))
def test_any_text_as_an_id(text: str) -> None:
    may_be = 0 < len(text) <= 256 and not any(
        character.isspace()
        or character in FORBIDDEN
        or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        for character in text
    )
    try:
        assert check_id(text) == text
    except OptionError:
        assert not may_be
    else:
        assert may_be


@pytest.mark.parametrize("name", BAD_QUEUES)
async def test_a_bad_queue_name_is_refused_everywhere(name: str) -> None:
    for call in (
        lambda: Queue.get(name),
        lambda: job(queue=name),
        lambda: Job.register(queue=name),
        lambda: check_queue_name(name),
    ):
        with pytest.raises(OptionError, match="give 1 to 128 letters") as caught:
            call()
        assert str(caught.value).isprintable()
    worker = Worker(id="input")
    with pytest.raises(OptionError, match="give 1 to 128 letters"):
        await worker.create_queue(name=name)
    assert not Queue.exists(name)


ARGUMENTS = [
    *(("retry", id) for id in BAD_IDS if isinstance(id, str)),
    *(("cancel", id) for id in BAD_IDS if isinstance(id, str)),
    *((command, f"--queues={name}") for command in ("status", "cleanup") for name in BAD_QUEUES if name != "a,b"),
    *((command, "x", f"--queue={name}") for command in ("retry", "cancel") for name in BAD_QUEUES),
    *(("jobs", f"--queue={name}") for name in BAD_QUEUES),
    *(("work", "--id=a", f"--queues={name}") for name in BAD_QUEUES if name != "a,b"),
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_on_the_command_line(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.isprintable()
    assert "is not allowed" in line
