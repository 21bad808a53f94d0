"""What the programs say about themselves in --help and --version, as data. A line that is not understood is an error, so
that nothing that a program tells gets lost."""

import re
import subprocess
from dataclasses import dataclass, field


@dataclass
class Option:
    name: str
    letter: str = ""
    value: str = ""  # what help calls it; "" for a flag of `sutra`
    help: str = ""
    default: str = ""

    @property
    def words(self):
        """The words of a choice."""
        return self.value.split("|") if "|" in self.value else []


@dataclass
class Command:
    name: str
    operands: str
    summary: str
    details: list = field(default_factory=list)  # paragraphs
    options: list = field(default_factory=list)


@dataclass
class Release:
    version: str
    date: str


@dataclass
class Tool:
    """`sutra`: commands, and options that all of them take."""

    release: Release
    commands: list
    options: list
    notes: list  # paragraphs at the end


@dataclass
class Server:
    name: str
    release: Release
    summary: str
    options: list


def ask(program, *arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def release(program):
    _, version, date = ask(program, "--version").split()
    return Release(version, date.strip("()"))


def _paragraphs(lines):
    text = "\n".join(lines).strip()
    return [" ".join(part.split()) for part in text.split("\n\n")] if text else []


_TOOL_OPTION = re.compile(r"  (?:-(?P<letter>\w), |    )--(?P<name>[a-z][a-z-]*)(?: (?P<value>[^\s]+))?(?:\s{2,}(?P<help>\S.*))?$")
_DEFAULT = re.compile(r"(?P<help>.*) \(default (?P<default>[^()]+)\)$")
_CONTINUED = " " * 30


def _tool_options(lines):
    options = []
    for line in lines:
        if line.startswith(_CONTINUED) and options:
            options[-1].help = f"{options[-1].help} {line.strip()}".strip()
            continue
        found = _TOOL_OPTION.match(line)
        if not found:
            raise SystemExit(f"reference: not an option of sutra: '{line}'")
        options.append(Option(**{key: value or "" for key, value in found.groupdict().items()}))
    for option in options:
        if found := _DEFAULT.match(option.help):
            option.help, option.default = found["help"], found["default"]
    return options


def _sections(text, titles):
    """Lines before the first of the titles under "", others under their title; an empty line ends a titled one."""
    sections, name = {"": []}, ""
    for line in text.splitlines():
        if line.rstrip(":") in titles and line.endswith(":"):
            name = line.rstrip(":")
            sections[name] = []
        elif not line and name:
            name = ""
        else:
            sections[name].append(line)
    return sections


def _command(program, name, summary):
    sections = _sections(ask(program, name, "--help"), ("Options", "Options of every command"))
    usage, _, repeated, *details = sections[""]
    prefix = f"Usage: sutra {name} [OPTIONS]"
    if not usage.startswith(prefix) or repeated != summary:
        raise SystemExit(f"reference: help of 'sutra {name}' begins with '{usage}', '{repeated}'")
    return Command(name, usage.removeprefix(prefix).strip(), summary, _paragraphs(details), _tool_options(sections.get("Options", [])))


def tool(program):
    sections = _sections(ask(program, "--help"), ("Commands", "Options"))
    commands = [_command(program, *line.split(maxsplit=1)) for line in sections["Commands"]]
    return Tool(release(program), commands, _tool_options(sections["Options"]), _paragraphs(sections[""][1:]))


_SERVER_OPTION = re.compile(r"  --(?P<name>[a-z0-9-]+)(?: (?P<value>[A-Z]+))? +(?P<help>\S.*?)(?: \[(?P<default>[^\]]*)\])?$")


def _server_option(line):
    found = _SERVER_OPTION.match(line)
    if not found:
        raise SystemExit(f"reference: not an option of a server: '{line}'")
    return Option(**{key: value or "" for key, value in found.groupdict().items()})


def server(program):
    title, _, _, *options = ask(program, "--help").splitlines()
    name, summary = title.split(": ", 1)
    return Server(name, release(program), summary, [_server_option(line) for line in options if line])
