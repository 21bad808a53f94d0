"""A Dockerfile as stages of instructions: as much of its language as deploy/container/Dockerfile uses; anything else is refused."""

import json
import pathlib
import re
import shlex
from dataclasses import dataclass, field

STEPS = ("COPY", "RUN")
SETTINGS = ("ENV", "LABEL", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD")


class DockerfileError(Exception):
    """What is wrong, with its line."""


@dataclass
class Stage:
    base: str
    name: str
    steps: list = field(default_factory=list)  # (instruction, rest), of STEPS, in order
    environment: dict = field(default_factory=dict)
    labels: dict = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    healthcheck: list = field(default_factory=list)
    command: list = field(default_factory=list)


def instructions(path):
    """(word, rest) of each, continuation lines joined."""
    text = re.sub(r"^\s*#.*\n", "", pathlib.Path(path).read_text(encoding="utf-8"), flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, rest = line.strip().split(None, 1)
            yield word.upper(), rest.strip()


def pairs(text):
    return dict(word.split("=", 1) for word in shlex.split(text))


def words(text):
    """The exec form, the only one that needs no shell."""
    if not text.startswith("["):
        raise DockerfileError(f"not in exec form: {text}")
    return json.loads(text)


def apply(stage, word, rest):
    if word in STEPS:
        stage.steps.append((word, rest))
    elif word == "ENV":
        stage.environment.update(pairs(rest))
    elif word == "LABEL":
        stage.labels.update(pairs(rest))
    elif word == "WORKDIR":
        stage.workdir = rest
    elif word == "USER":
        stage.user = rest
    elif word == "HEALTHCHECK":
        stage.healthcheck = words(rest[rest.index("CMD") + 3 :].strip())
    elif word == "CMD":
        stage.command = words(rest)
    elif word not in SETTINGS:
        raise DockerfileError(f"{word} is not known here")


def parse(path):
    """The stages, in order."""
    arguments, stages = {}, []
    for word, rest in instructions(path):
        if word == "ARG" and not stages:
            arguments.update(pairs(rest))
        elif word == "FROM":
            base, _, name = re.fullmatch(r"(\S+)(\s+AS\s+(\S+))?", rest).groups()
            stages.append(Stage(re.sub(r"\$\{(\w+)\}", lambda m: arguments[m[1]], base), name or ""))
        elif not stages:
            raise DockerfileError(f"{word} before the first FROM")
        else:
            apply(stages[-1], word, rest)
    return stages
