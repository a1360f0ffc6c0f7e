"""Makes a run folder, works in it until it is asked to stop, and says so: `fake_search.py TEMPLATE --out RUN ...`.

With `--seed 7` it fails before there is a folder; with `--seed 8` it leaves without a word.
"""

import fcntl
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Work as a search does, seen from outside."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Also where a shell runs the tests in the background, and what they start ignores Ctrl-C.
        signal.signal(number, signal.default_int_handler)
    template, *words = sys.argv[1:]
    option = "--out" if "--out" in words else "--resume"
    folder, seed = Path(words[words.index(option) + 1]), words[words.index("--seed") + 1] if "--seed" in words else "0"
    if seed == "7":
        sys.exit("error: `--dataset` must be there, but it is not: look for it.")
    folder.mkdir(exist_ok=True)
    lock = os.open(folder / ".lock", os.O_WRONLY | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for name in ("search.sqlite", "config.json"):
        shutil.copy(Path(template) / name, folder)
    with open(folder / "events.jsonl", "a") as events:

        def tell(kind: str, **figures: object) -> None:
            events.write(json.dumps({"at": time.time(), "kind": kind} | figures) + "\n")
            events.flush()

        tell("command_started", command=" ".join(sys.argv), pid=os.getpid(), process_start=0, machine="here")
        if seed == "8":
            os._exit(1)
        try:
            while True:
                time.sleep(0.05)
        except KeyboardInterrupt:
            tell("command_ended", ending="stopped", seconds=1.0, reason="SIGINT", traceback=None)


if __name__ == "__main__":
    main()
