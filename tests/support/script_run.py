"""A script of this repository run as a test runs it: watched, interrupted, and looked after for what it leaves."""

import atexit
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE_S = 300
LINGER_S = 2


class ScriptRun:
    """One run of a script of this repository, in a session and a temporary folder of its own."""

    def __init__(self, script, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="sutra-script-test-")
        self.process = subprocess.Popen(
            [ROOT / script, *options],
            env=os.environ | {"TMPDIR": self.folder.name},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
            # A background job of a script ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        atexit.register(self.kill)
        self.output = b""

    def read_until(self, marker):
        """Reads on until the output contains marker; False at its end."""
        deadline = time.monotonic() + PATIENCE_S
        while marker is None or marker not in self.output:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"nothing more within {PATIENCE_S} s:\n{self.text()}")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return False
            self.output += piece
        return True

    def text(self):
        return self.output.decode(errors="replace")

    def end(self):
        """Its exit status, once it has ended and its output is read."""
        self.read_until(None)
        return self.process.wait(PATIENCE_S)

    def survivors(self):
        """Processes of its session that still run."""
        found = []
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                name, fields = stat.read_text().rsplit(")", 1)
            except OSError:
                continue
            state, _, _, session = fields.split()[:4]
            if int(session) == self.process.pid and state != "Z":
                found.append(name)
        return found

    def kill(self):
        """Ends what a failed test would leave."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait(PATIENCE_S)

    def check_nothing_left(self):
        # What a script was just running ("dirname") may see the end of it a moment later.
        deadline = time.monotonic() + LINGER_S
        while (left := self.survivors()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, f"still running: {left}\n{self.text()}"
        files = os.listdir(self.folder.name)
        assert not files, f"left behind: {files}\n{self.text()}"
        self.folder.cleanup()


def control_c(pid):
    os.killpg(pid, signal.SIGINT)


def terminate(pid):
    os.kill(pid, signal.SIGTERM)
