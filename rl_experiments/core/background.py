"""Running what hears no signal (a compiler) in a thread, so that the program does meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

_MOMENT = 0.1
_RUNNING: set[threading.Event] = set()


def wait_for(function: Callable[[], Any], on_moment: Callable[[float], None]) -> Any:
    """
    Run a function in a thread and wait for it; what a signal raises here leaves it behind.

    :param on_moment: called several times a second with the seconds so far
    :return: what the function returned
    """
    result: dict[str, Any] = {}
    done = threading.Event()

    def work() -> None:
        try:
            result["value"] = function()
        except BaseException as error:  # for who waits
            result["error"] = error
        finally:
            _RUNNING.discard(done)
            done.set()

    began = time.monotonic()
    _RUNNING.add(done)
    threading.Thread(target=work, name="compiler").start()
    # Not join: of a thread that a signal interrupts there, Python 3.11 believes that it has ended.
    while not done.wait(_MOMENT):
        on_moment(time.monotonic() - began)
    if "error" in result:
        raise result["error"]
    return result["value"]


def is_busy() -> bool:
    """Whether something was left behind that still runs, for which Python would wait at its end."""
    return bool(_RUNNING)
