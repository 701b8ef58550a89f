"""What one queue was given in code, and its transport."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from heracles.errors import OptionError
from heracles.model import Value
from heracles.options import Scope, check_options
from heracles.queue.serving import used
from heracles.transport import Transport
from heracles.wiring import build_transport


class Given(Value, frozen=True, kw_only=True):
    """One set of options of ``Queue.get``, checked."""

    settings: Mapping[str, Any]
    transport: Transport | None
    transport_options: Mapping[str, Any]
    """Without a transport: for whatever the default one is."""

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any],
        transport: type[Transport] | Transport | None,
        transport_options: Mapping[str, Any] | None,
    ) -> "Given":
        """Raises OptionError where a value is not allowed, those of a transport class included."""
        # A transport connects to nothing when it is made; the default one is only known at first use.
        made = None if transport is None else build_transport(transport, transport_options)
        return cls(
            settings=check_options(settings, Scope.QUEUE, "Queue.get"),
            transport=made,
            transport_options=dict(transport_options or {}) if made is None else {},
        )

    @property
    def is_empty(self) -> bool:
        """Whether this was a bare get."""
        return not self.settings and self.transport is None and not self.transport_options


class QueueSettings:
    """The options of one queue: given once, before the transport is first used. Safe from several threads."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._given = Given(settings={}, transport=None, transport_options={})
        self._used: Transport | None = None

    def give(self, given: Given) -> None:
        """Take these options, unless others were given before.

        Raises:
            OptionError: others were, or the transport is in use already.
        """
        with self._lock:
            if given.is_empty or given == self._given:
                return
            if not self._given.is_empty:
                raise OptionError(
                    f"queue {self._name!r} was given other options before: give them once, and get it with Queue.get"
                    f"({self._name!r}) elsewhere"
                )
            if self._used is not None:
                raise OptionError(
                    f"queue {self._name!r} is in use, on {self._used.identity}: give its options before its first use"
                )
            self._given = given

    @property
    def given(self) -> Mapping[str, Any]:
        """The checked settings that were given: concurrency, max_retries, retry_delay, pause_on_error."""
        return MappingProxyType(dict(self._given.settings))

    @property
    def declared_transport(self) -> Transport | None:
        """The transport, where code named one or gave it options."""
        if self._given.transport is None and self._given.transport_options:
            return self.transport
        return self._given.transport

    @property
    def transport(self) -> Transport:
        """The transport in use from now on.

        Raises:
            ConfigurationError: the environment names a store that cannot be used.
        """
        # Without the lock once it is known: every call comes here.
        if self._used is None:
            with self._lock:
                if self._used is None:
                    self._used = self._given.transport or build_transport(None, self._given.transport_options)
                    used(self._name, self._used.identity)
        return self._used
