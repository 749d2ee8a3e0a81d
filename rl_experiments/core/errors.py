"""Errors that a command shows as one message, without a traceback."""

from __future__ import annotations


class RLExperimentsError(Exception):
    """
    Base of every error that is the user's to mend.

    The message says what was wrong, what was found, what was expected and, where there is one, the nearest valid name.
    """

    exit_code = 2


class ConfigurationError(RLExperimentsError):
    """A hyperparameter, an option or a combination of them that cannot work."""


class NotFoundError(RLExperimentsError):
    """A file, run, model, environment or algorithm that does not exist."""


class UntrustedError(RLExperimentsError):
    """A file that could only be read by running code that it brings or names."""


class MissingPackageError(RLExperimentsError):
    """
    A package that an extra installs is not there.

    :param what: what needs it, as the subject of a sentence
    :param package: import name of the missing package
    :param extra: our extra that installs it
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs the package '{package}': pip install 'rl_experiments[{extra}]'")


class TrainingError(RLExperimentsError):
    """Training stopped on an error of the environment or of the algorithm."""

    exit_code = 1


class Terminated(KeyboardInterrupt):
    """
    A signal that ends a command as Ctrl-C does: what is open is closed, and what was reached is told.

    :param number: of the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number
