"""Work for child processes that behaves badly."""

import ctypes
import os
import signal
import subprocess
import sys
import time

from lofi.brief import InputError, LofiError
from lofi.music import RejectedError

ERRORS = {"InputError": InputError, "LofiError": LofiError, "RejectedError": RejectedError}


def about(_arguments, _report):
    print("said aloud", flush=True)
    return {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "niceness": os.nice(0),
        "threads": os.environ["OMP_NUM_THREADS"],
        "interrupted": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
    }


def refuse(arguments, _report):
    if arguments["kind"] in ERRORS:
        raise ERRORS[arguments["kind"]](arguments["message"])
    return {}[arguments["message"]]


def segfault(_arguments, _report):
    ctypes.string_at(0)


def leave(arguments, _report):
    sys.exit(arguments["status"])


def bad_result(_arguments, _report):
    return object()


def _offspring(arguments):
    """A process of its own that knows nothing of any parent; its number goes to a file."""
    other = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
    with open(arguments["told"] + ".part", "w") as file:  # noqa: PTH123
        file.write(f"{os.getpid()} {other.pid}")
    os.replace(arguments["told"] + ".part", arguments["told"])  # noqa: PTH105


def hang(arguments, report):
    _offspring(arguments)
    report("hanging", 0.5)
    while True:
        time.sleep(1)


def hang_in_native_code(arguments, _report):
    """Holding the interpreter's lock, so that no thread of this process can do anything."""
    _offspring(arguments)
    ctypes.PyDLL(None).sleep(600)


def chatter(arguments, report):
    for i in range(arguments["times"]):
        report("chattering", i / arguments["times"])
        time.sleep(0.001)
    return arguments["times"]


def be_silent(arguments, _report):
    time.sleep(arguments["seconds"])


WORK = {
    f.__name__: f
    for f in (
        *(about, refuse, segfault, leave, bad_result),
        *(hang, hang_in_native_code, chatter, be_silent),
    )
}
