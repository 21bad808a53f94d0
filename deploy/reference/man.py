#!/usr/bin/env python3
"""Manual pages of the built programs, from what these say about themselves: man.py SUTRA SERVER… FOLDER

Only what no program says of itself stands here: descriptions, files, signals, examples.
"""

import pathlib
import re
import sys

import programs

DESCRIPTIONS = {
    "sutra": ["Sutra stores concepts: pieces of text with an embedding, a strength and a confidence, tied to other concepts by typed, weighted "
              "associations. *sutra* asks a server, a router or a single shard, and prints the answer as text or as JSON.",
              "Options may stand before and behind the command. A long option takes its value from the same argument, behind '=', or from the "
              "next one; '--' ends the options."],
    "sutra-shard": ["*sutra-shard* keeps the concepts of some slots in a folder of its own and answers every public verb over gRPC. Alone it is a "
                    "whole store. With a topology it is one of several shards, and routers ask it for its part.",
                    "What is acknowledged is in the synced log: a kill or a power cut loses no answered write."],
    "sutra-router": ["*sutra-router* answers every public verb over all shards of a topology. It keeps nothing, so that any number may run side by "
                     "side."],
    "sutra-embed": ["*sutra-embed* turns texts into vectors for routers and shards that have no model in their own process, which name it with "
                    "*--embedder*."],
}

SERVER_EXAMPLES = {
    "sutra-shard": ["sutra-shard --data /var/lib/sutra",
                    "sutra-shard --topology t.json --shard 0 --listen 127.0.0.1:7401 --data /var/lib/sutra --embedder 127.0.0.1:7399"],
    "sutra-router": ["sutra-router --shards 127.0.0.1:7401,127.0.0.1:7402", "sutra-router --config /etc/sutra/router.conf --print-config"],
    "sutra-embed": ["sutra-embed --threads 8", "SUTRA_LISTEN=127.0.0.1:7399 sutra-embed"],
}

TOOL_EXAMPLES = ['sutra learn "Tides are caused by the moon."', 'sutra search "why does the sea rise and fall" -k 3',
                 "sutra import wordnet /usr/share/wordnet", "sutra list --json > everything.jsonl"]

TOOL_FILES = [("~/.cache/sutra", "Where imports note what is settled, for *--resume*.")]

SERVER_FILES = [("/etc/sutra/{short}.conf", "Configuration of the packaged service."),
                ("/var/lib/sutra", "Data and model of the packaged services, the home of their user."),
                ("~/.cache/sutra/all-MiniLM-L6-v2", "The embedding model, unless *--model* names another folder.")]

SIGNALS = [("SIGTERM, SIGINT", "Stop: health turns NOT_SERVING; after *--drain-ms* new calls are refused, calls in progress may go on for "
                               "*--grace-ms*, and the process exits with 0. A second signal ends it at once.")]

EVERY_PAGE = ("sutra(1)", "sutra-shard(8)", "sutra-router(8)", "sutra-embed(8)")


def plain(text):
    """Any text as troff shows it: nothing in it is a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    text = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in text)
    return re.sub(r"^\.", r"\\&.", text, flags=re.M)


def prose(text):
    """The same with *words* in bold, which only the texts of this file use."""
    return re.sub(r"\*(.+?)\*", r"\\fB\1\\fR", plain(text))


class Page:
    def __init__(self, name, section, release):
        self.name, self.section = name, section
        self.lines = [f'.TH {plain(name.upper())} {section} {release.date} "Sutra {release.version}" "Sutra"']

    def title(self, text):
        self.lines.append(f'.SH {plain(text)}' if " " not in text else f'.SH "{plain(text)}"')

    def subtitle(self, text):
        self.lines.append(f'.SS "{plain(text)}"')

    def paragraphs(self, texts, form=prose):
        for i, text in enumerate(texts):
            self.lines += ([".PP"] if i else []) + [form(text)]

    def entry(self, term, text):
        self.lines += [".TP", term, text or "\\&"]

    def entries(self, pairs):
        for term, text in pairs:
            self.entry(f"\\fB{plain(term)}\\fR", prose(text))

    def example(self, lines):
        self.lines += [".EX", *(plain(line) for line in lines), ".EE"]

    def see_also(self):
        self.title("SEE ALSO")
        own = f"{self.name}({self.section})"
        others = [each.rstrip(")").split("(") for each in EVERY_PAGE if each != own]
        self.lines += [f".BR {plain(name)} ({section}){',' if i + 1 < len(others) else ''}" for i, (name, section) in enumerate(others)]

    def save(self, folder):
        (folder / f"{self.name}.{self.section}").write_text("\n".join(self.lines) + "\n", encoding="ascii")


def _signature(option):
    value = f" \\fI{plain(option.value)}\\fR" if option.value else ""
    letter = f"\\fB\\-{option.letter}\\fR{value}, " if option.letter else ""
    return f"{letter}\\fB\\-\\-{plain(option.name)}\\fR{value}"


def _sentence(text):
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _entry(page, option):
    default = f" (default {option.default})" if option.default else ""
    page.entry(_signature(option), plain(option.help + default))


def _exit_codes(notes):
    """From "Exit codes: 0 done; 1 not found, …; 130 interrupted."."""
    text = next(note for note in notes if "Exit codes:" in note).split("Exit codes:")[1].strip().rstrip(".")
    return [part.strip().split(" ", 1) for part in text.split(";")]


def _environment(options):
    """Every $NAME in the help of an option, with that option."""
    return [(name, f"See *--{option.name}*.") for option in options for name in re.findall(r"\$([A-Z_]+)", option.help)]


def _begin(page, name, summary, synopses):
    page.title("NAME")
    page.lines.append(f"{plain(name)} \\- {plain(summary)}")
    page.title("SYNOPSIS")
    for i, synopsis in enumerate(synopses):
        page.lines += ([".br"] if i else []) + [f"\\fB{plain(name)}\\fR {synopsis}"]
    page.title("DESCRIPTION")
    page.paragraphs(DESCRIPTIONS[name])


def _command_part(page, command):
    page.subtitle(f"sutra {command.name} [OPTIONS] {command.operands}".strip())
    page.paragraphs([_sentence(command.summary), *command.details], plain)
    for option in command.options:
        _entry(page, option)


def tool_page(tool):
    page = Page("sutra", 1, tool.release)
    _begin(page, "sutra", "ask a concept store", ["[\\fIOPTIONS\\fR] \\fICOMMAND\\fR ..."])
    page.title("OPTIONS")
    page.paragraphs(["Every command takes these."])
    for option in tool.options:
        _entry(page, option)
    page.title("COMMANDS")
    for command in tool.commands:
        _command_part(page, command)
    page.title("EXIT STATUS")
    page.entries((code, text) for code, text in _exit_codes(tool.notes))
    page.title("ENVIRONMENT")
    page.entries(_environment(tool.options))
    page.title("FILES")
    page.entries(TOOL_FILES)
    page.title("EXAMPLES")
    page.example(TOOL_EXAMPLES)
    page.see_also()
    return page


def server_page(server):
    page = Page(server.name, 8, server.release)
    _begin(page, server.name, server.summary, ["[\\fIOPTIONS\\fR]"])
    page.title("OPTIONS")
    page.paragraphs(["Every option but *--config*, *--print-config* and *--version* also comes from the environment, as *SUTRA_* and its name in capitals with "
                     "'_' for '-' (*--grace-ms* is *SUTRA_GRACE_MS*), or from a file. A flag wins over the environment, which wins over the "
                     "file. Options that are true or false mean true where a flag has no value."])
    for option in server.options:
        _entry(page, option)
    page.title("CONFIGURATION FILE")
    page.paragraphs(["Lines like *key = value*, where the key is the name of an option without the dashes; empty lines and lines that begin with '#' are "
                     "skipped. An unknown key or a value out of range is an error, and nothing starts."])
    page.title("SIGNALS")
    page.entries(SIGNALS)
    page.title("EXIT STATUS")
    page.entries([("0", "Stopped by a signal, or answered *--help*, *--version* or *--print-config*."), ("1", "Could not start; standard error says why.")])
    page.title("FILES")
    page.entries((path.format(short=server.name.removeprefix("sutra-")), text) for path, text in SERVER_FILES)
    page.title("EXAMPLES")
    page.example(SERVER_EXAMPLES[server.name])
    page.see_also()
    return page


def main():
    tool, *servers, folder = sys.argv[1:]
    pages = [tool_page(programs.tool(tool)), *(server_page(programs.server(each)) for each in servers)]
    for page in pages:
        page.save(pathlib.Path(folder))


if __name__ == "__main__":
    main()
