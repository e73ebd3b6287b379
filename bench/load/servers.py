"""The servers: how each is started, when it is ready, what memory it takes, how it ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from engines import Failed, run

READY_TIMEOUT_S = 300
END_TIMEOUT_S = 120
# What a prompt of 128 tokens and an answer of 64 need of a peer's context, rounded up.
SLOT_TOKENS = 256


class Server:
    """A running server on loopback; it ends with the block."""

    def __init__(self, command, env, health, address=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(part) for part in command], env=env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)
        try:
            self.address = address or self.told_address()
            self.wait_until_ready(health)
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def told_address(self):
        line = self.process.stdout.readline()
        if "http://" not in line:
            raise Failed(f"the server told no address: {self.last_words()}")
        return line.split("http://")[1].split(";")[0].split()[0]

    def wait_until_ready(self, health):
        until = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"the server ended: {self.last_words()}")
            try:
                if self.get(health) == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise Failed(f"the server is not ready after {READY_TIMEOUT_S} s")

    def last_words(self):
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no log"

    def get(self, path):
        """The status of a short request."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def post(self, path, body):
        """The JSON that answers."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except OSError as problem:
            raise Failed(f"{path}: {problem}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise Failed(f"{path}: status {response.status}: {answer[:200].decode(errors='replace')}")
        return json.loads(answer)

    def rss_mib(self, field="VmRSS"):
        """Resident memory now, or with `VmHWM` at its highest."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        for line in status.splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise Failed("the server has gone")

    def ask_to_end(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        """Asks it to end, if it has not; the exit code."""
        if self.process.poll() is None:
            self.ask_to_end()
        return self.ended()

    def ended(self):
        """The exit code of one that was asked to end: asked twice, it would end at once."""
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        return self.process.returncode


class Terang:
    """The server of this repository with its default settings but for those given."""

    name = "terang"

    def __init__(self, program, model, threads, settings):
        self.program, self.model, self.threads = program, model, threads
        self.settings = settings

    def version(self):
        version = run([self.program, "--version"])[0].split()[-1]
        return " ".join([version, *self.settings])

    def start(self, _clients=1):
        settings = [word for setting in self.settings for word in ("--set", setting)]
        # Settings and keys of whoever runs this are not what is measured.
        env = {name: value for name, value in os.environ.items() if not name.startswith("TERANG_")}
        with tempfile.TemporaryDirectory() as folder:
            env["TERANG_DATA_DIR"] = folder
            return Server([self.program, "--threads", self.threads, "serve", "--listen",
                           "127.0.0.1:0", "--model", f"model={self.model}", *settings],
                          env, "/health/ready")


class LlamaServer:
    """llama.cpp's server with a slot for each client."""

    name = "llama.cpp"

    def __init__(self, folder, model, threads, origin="a build that was given"):
        self.folder, self.model, self.threads = Path(folder).resolve(), model, threads
        self.origin = origin
        self.env = {**os.environ, "LD_LIBRARY_PATH": str(self.folder)}

    def version(self):
        out, err, _ = run([self.folder / "llama-server", "--version"], self.env)
        told = [line for line in (out + err).splitlines() if line.startswith("version")]
        return ", ".join([self.origin, *told[:1]])

    def start(self, clients=1):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        # Prompts do not come again here: what it would keep of them in memory is left out in its favour.
        return Server([self.folder / "llama-server", "-m", self.model, "-t", self.threads,
                       "-np", clients, "-c", clients * SLOT_TOKENS, "-cb", "--cache-ram", 0,
                       "--host", "127.0.0.1", "--port", port],
                      self.env, "/health", f"127.0.0.1:{port}")
