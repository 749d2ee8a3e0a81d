"""What every command does around its one call: errors to exit codes, interrupts, warnings."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from rl_experiments.core.background import is_busy
from rl_experiments.core.errors import RLExperimentsError
from rl_experiments.core.interruption import ignore_signals

DEBUG_FLAG = "--debug"


def run_command(command: Callable[[], int | None]) -> int:
    """
    Call a command, and turn what it raises into a message and an exit code.

    :return: 0, what the command returned, 2 for an error of the user's, 130 for Ctrl-C, 143 for SIGTERM, 1 for a
        mistake of ours
    """
    debug = DEBUG_FLAG in sys.argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that the terminal has no letters for are no error
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        return command() or 0
    except RLExperimentsError as error:
        if debug:
            traceback.print_exc()
        print(f"Error: {on_one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print("Interrupted", file=sys.stderr)
        return getattr(stop, "exit_code", 130)
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # the disk is full, or a file may not be read or written
        if debug:
            traceback.print_exc()
        where = f" ({error.filename})" if error.filename else ""
        print(f"Error: {on_one_line(error.strerror or error)}{where}", file=sys.stderr)
        return 1
    except MemoryError:
        print(
            "Error: there is not enough memory. A smaller replay buffer needs less: -params buffer_size:10000",
            file=sys.stderr,
        )
        return 1
    except Exception as error:  # of the user's environment, as a rule
        if debug:
            traceback.print_exc()
        print(f"Error: {type(error).__name__}: {on_one_line(error)} ({DEBUG_FLAG} shows where)", file=sys.stderr)
        return 1


def run_and_exit(command: Callable[[], int | None]) -> NoReturn:
    """End this process with what :func:`run_command` makes of a command."""
    code = run_command(command)
    ignore_signals()
    if is_busy():  # who has asked to stop does not wait for a compiler
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def on_one_line(text: object) -> str:
    """:return: the text without line breaks, and without what a terminal would take for a command"""
    joined = " ".join(line.strip() for line in str(text).splitlines())
    return "".join(character if character.isprintable() else "?" for character in joined)
