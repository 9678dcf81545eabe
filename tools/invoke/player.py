"""Plays samples on a stage: what comes before one in the story, then the sample itself, each function in a fresh process
under the emulator. Used by `make invoke` and by the test of all samples.
"""
from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import samples
from rie import ROOT, Answer, Failed, Rie, emulator
from samples import Sample
from stage import Stage


class Binaries:
    """Where the functions' programs are: `release` and `local` are cargo's profiles, `package` is what
    `make package` made for this machine's architecture."""

    def __init__(self, profile: str, build: bool) -> None:
        self.profile, self.build = profile, build
        target = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/konstruct/target")
        self.folder = target / profile

    def path(self, function: str) -> Path:
        packaged = ROOT / "target/lambda" / function / "bootstrap"
        if self.profile == "package" or (self.profile == "release" and self.build and is_current(packaged)):
            path, how = packaged, "make package ARCH=x86_64"
        else:
            path, how = self.folder / function, f"cargo build --profile {self.profile}"
            if self.build:
                # Cargo knows whether what is there is still what the source says. The local ones share what they are
                # made of with the stack's.
                what = ["--workspace", "--bin", function] if self.profile == "local" else ["--package", function]
                subprocess.run(["cargo", "build", "--quiet", "--profile", self.profile, *what], cwd=ROOT, check=True)
        if not path.exists():
            raise Failed(f"{path} is missing: {how}")
        return path


def is_current(packaged: Path) -> bool:
    """Whether a packaged binary runs here and no source is newer."""
    if not packaged.exists() or packaged.read_bytes()[18:20] != Path(os.path.realpath("/proc/self/exe")).read_bytes()[18:20]:
        return False
    sources = [ROOT / "Cargo.lock", *(path for part in ("crates", "functions", "migrations") for path in (ROOT / part).rglob("*"))]
    return packaged.stat().st_mtime > max(path.stat().st_mtime for path in sources if path.is_file())


@dataclass
class Played:
    """What came of a sample."""

    answer: Answer
    posts: list[tuple[str, str, str]]
    queued: list[Any]


class Player:
    """Plays on one stage with one set of binaries."""

    def __init__(self, stage: Stage, binaries: Binaries) -> None:
        self.stage, self.binaries, self.emulator = stage, binaries, emulator()
        self.expected = samples.expectations()
        stage.prepare(self._migrate)

    def _migrate(self, variables: dict[str, str]) -> None:
        answer = self.run("migrate", variables, {})
        if answer.error:
            raise Failed(f"migrate: {answer.error}\n{answer.log}")

    def run(self, function: str, variables: dict[str, str], event: Any) -> Answer:
        with Rie(self.emulator, self.binaries.path(function), variables, self.stage.timeout_s(function)) as rie:
            return rie.invoke(json.dumps(event).encode())

    def play(self, sample: Sample) -> Played:
        """The sample, from the story's beginning."""
        self.stage.fresh()
        answers: dict[str, Any] = {}
        for name in self.chapters(sample):
            before = samples.load(name, self.expected)
            answer = self._one(before, answers)
            if answer.error:
                raise Failed(f"{name}, before {sample.name}: {answer.error}\n{answer.log}")
            answers[name] = answer.value
        self.stage.posts()
        self.stage.queued()
        answer = self._one(sample, answers)
        return Played(answer, self.stage.posts(), self.stage.queued())

    def chapters(self, sample: Sample) -> list[str]:
        """What comes before, each with what comes before it, each once."""
        found: list[str] = []
        for name in sample.before:
            for one in [*self.chapters(samples.load(name, self.expected)), name]:
                if one not in found:
                    found.append(one)
        return found

    def _one(self, sample: Sample, answers: dict[str, Any]) -> Answer:
        variables = self.stage.variables(sample.function)
        event = samples.refreshed(sample.event, variables, answers, self.stage.management.url)
        return self.run(sample.function, variables, event)
