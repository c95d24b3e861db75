"""What a simulated world does not have, method by method, and what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from vss.simulation.errors import ForbiddenError

_BLOCKING = "do blocking work through the port 'blocking'"
_PROCESSES = "run programs through the port 'processes'"
_SIGNALS = "signals are handled by vss.simulation.run and vss.real.run_real"
_SOCKETS = "a simulated world has no sockets and pipes: let roles talk through queues, and to programs through 'processes'"

ADVICE = {
    "run_in_executor": _BLOCKING,
    "set_default_executor": _BLOCKING,
    "subprocess_exec": _PROCESSES,
    "subprocess_shell": _PROCESSES,
    "add_signal_handler": _SIGNALS,
    "remove_signal_handler": _SIGNALS,
    "add_reader": _SOCKETS,
    "add_writer": _SOCKETS,
    "connect_accepted_socket": _SOCKETS,
    "connect_read_pipe": _SOCKETS,
    "connect_write_pipe": _SOCKETS,
    "create_connection": _SOCKETS,
    "create_datagram_endpoint": _SOCKETS,
    "create_server": _SOCKETS,
    "create_unix_connection": _SOCKETS,
    "create_unix_server": _SOCKETS,
    "getaddrinfo": _SOCKETS,
    "getnameinfo": _SOCKETS,
    "remove_reader": _SOCKETS,
    "remove_writer": _SOCKETS,
    "sendfile": _SOCKETS,
    "sock_accept": _SOCKETS,
    "sock_connect": _SOCKETS,
    "sock_recv": _SOCKETS,
    "sock_recv_into": _SOCKETS,
    "sock_recvfrom": _SOCKETS,
    "sock_recvfrom_into": _SOCKETS,
    "sock_sendall": _SOCKETS,
    "sock_sendfile": _SOCKETS,
    "sock_sendto": _SOCKETS,
    "start_tls": _SOCKETS,
}
"""Loop methods that are refused, and the advice given."""


def refusal(method: str) -> Callable[..., NoReturn]:
    """Return a method that refuses at the call, not only when awaited."""

    def refuse(self: object, *args: object, **options: object) -> NoReturn:
        raise ForbiddenError(f"loop.{method} is not available in a simulated world", hint=ADVICE[method])

    refuse.__name__ = method
    refuse.__qualname__ = f"StepLoop.{method}"
    return refuse
