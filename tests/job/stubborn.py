"""Classes whose own code gets in the way."""

from dataclasses import dataclass


@dataclass
class Explodes:
    x: int

    def __post_init__(self) -> None:
        raise KeyError("out of order")


@dataclass(eq=False, repr=False)
class NoRepr:
    x: int

    def __post_init__(self) -> None:
        # Never twice the same, so that what arrives differs.
        self.x += 1

    def __repr__(self) -> str:
        raise RuntimeError("no text")
