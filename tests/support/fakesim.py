"""A simulator with selectable faults, run as a program of its own.

    python fakesim.py once|lines FAULT THRESHOLD [X0 X1]

It maps (x0, x1) to (x0 x0 + x1, x0 - x1); where x0 is above the threshold, the fault strikes. FAULT
may be `flag=PATH`: then it exits with 3 for as long as that file exists.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path


def forever() -> None:
    while True:
        time.sleep(3600)


def exit_code() -> None:
    sys.stderr.write("no licence\n")
    sys.exit(1)


def nothing() -> None:
    sys.stdout.flush()
    os._exit(0)


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    forever()


def deaf() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    forever()


def flood(descriptor: int) -> None:
    while True:
        os.write(descriptor, b"warning: step too small\n" * 1000)


def half() -> None:
    sys.stdout.write("1.2")
    nothing()


def say(text: str) -> None:
    print(text, flush=True)


def detach() -> None:
    """Leave a process behind that nobody waits for, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            forever()
        os._exit(0)
    os.wait()


def escape() -> None:
    detach()
    forever()


def eat() -> None:
    held = []
    while True:
        held.append(bytearray(1 << 24))


def litter() -> None:
    for number in range(10**9):
        with open(f"rubbish-{number}", "wb") as file:  # noqa: PTH123
            file.write(b"x" * (1 << 28))


FAULTS = {
    "exit": exit_code,
    "nothing": nothing,
    "segfault": segfault,
    "hang": forever,
    "deaf": deaf,
    "stderr": lambda: flood(2),
    "stdout": lambda: flood(1),
    "half": half,
    "nan": lambda: say("nan 1"),
    "shape": lambda: say("1 2 3"),
    "garbage": lambda: say("no convergence in 50 steps"),
    "range": lambda: say("1 -999.99"),
    "escape": escape,
    "eat": eat,
    "litter": litter,
}


def answer(fault: str, threshold: float, x0: float, x1: float) -> None:
    if fault.startswith("flag="):
        if Path(fault.removeprefix("flag=")).exists():
            sys.exit(3)
    elif x0 > threshold and fault == "daemon":
        detach()
    elif x0 > threshold and fault != "chatter":
        FAULTS[fault]()
        if fault not in ("nan", "shape", "garbage", "range"):
            sys.exit(9)
        return
    chat = "\nby the way" if x0 > threshold and fault == "chatter" else ""
    say(f"{x0 * x0 + x1!r} {x0 - x1!r}{chat}")


def main() -> None:
    mode, fault, threshold, *values = sys.argv[1:]
    if mode == "once":
        answer(fault, float(threshold), *map(float, values))
        return
    for line in sys.stdin:
        answer(fault, float(threshold), *map(float, line.split()))


if __name__ == "__main__":
    main()
