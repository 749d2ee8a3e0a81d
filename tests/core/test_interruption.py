import signal

import pytest

from rl_experiments.core import interruption
from rl_experiments.core.interruption import Interruption

pytestmark = pytest.mark.usefixtures("same_handlers_after")


def test_what_ends_right_after_a_signal_does_not_hear_the_next() -> None:
    held = Interruption()
    with held.listening():
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)
    assert held.name == "SIGINT"


def test_after_the_moment_the_handlers_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "_MOMENT", 0.0)
    held = Interruption()
    with held.listening():
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_signal_the_handlers_are_as_before() -> None:
    with Interruption().listening():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
