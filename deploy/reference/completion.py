#!/usr/bin/env python3
"""Completion of `sutra` for bash, zsh and fish, from what it says about itself: completion.py SUTRA FOLDER

A choice completes to its words, an option or operand called FILE to files; of other values nothing is known.
"""

import pathlib
import sys

import programs

BASH = """\
# Completion of sutra for bash; made by deploy/reference/completion.py.

# What may stand behind option $2 of command $1: 'files', words, or nothing; fails for what takes no value.
_sutra_value() {{
    case "$1 $2" in
{values}
    *) return 1 ;;
    esac
}}

_sutra_options() {{
    case $1 in
{options}
    esac
    echo {globals}
}}

_sutra_operands() {{
    case $1 in
{operands}
    esac
}}

# Without bash's own breaks at '=' and ':', which would part --color=auto and host:port.
_sutra() {{
    local line=${{COMP_LINE:0:COMP_POINT}} words word current command='' previous='' found=''
    local broken=${{COMP_WORDS[COMP_CWORD]}}
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=('')
    word=${{words[-1]}}
    unset 'words[-1]'
    for current in "${{words[@]:1}}"; do
        if [ -n "$previous" ]; then
            previous=''
        elif [[ $current == -* ]]; then
            ! _sutra_value "$command" "$current" >/dev/null || previous=$current
        elif [ -z "$command" ]; then
            command=$current
        fi
    done
    current=$word
    if [ -n "$previous" ]; then
        found=$(_sutra_value "$command" "$previous")
    elif [[ $word == --*=* ]]; then
        found=$(_sutra_value "$command" "${{word%%=*}}")
        current=${{word#*=}}
    elif [[ $word == -* ]]; then
        found=$(_sutra_options "$command")
    elif [ -z "$command" ]; then
        found='{commands}'
    else
        found=$(_sutra_operands "$command")
    fi
    if [ "$found" = files ]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -W "$found" -- "$current")
    fi
    # bash replaces what stands behind its last break only
    [[ $broken == [=:] ]] && broken=''
    COMPREPLY=("${{COMPREPLY[@]#"${{current%"$broken"}}"}}")
}}

complete -F _sutra sutra
"""

ZSH = """\
#compdef sutra
# Completion of sutra for zsh; made by deploy/reference/completion.py.

_sutra() {{
    local context state state_descr line
    typeset -A opt_args
    _arguments -C \\
{globals}
        '1:command:->command' \\
        '*::argument:->arguments'
    case $state in
    command)
        local -a commands=(
{commands}
        )
        _describe command commands
        ;;
    arguments)
        case $line[1] in
{cases}
        esac
        ;;
    esac
}}

_sutra "$@"
"""

FISH = """\
# Completion of sutra for fish; made by deploy/reference/completion.py.

# The command on the line, behind options and their values; fails where there is none yet.
function __sutra_command
    set -l skip no
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
            continue
        end
        switch $word
            case {valued}
                set skip yes
            case '-*'
            case '*'
                echo $word
                return 0
        end
    end
    return 1
end

{completions}
"""


def _takes_file(text):
    return "FILE" in text.replace("…", "").split()


def _names(option):
    return ([f"-{option.letter}"] if option.letter else []) + [f"--{option.name}"]


def _bash_value(option):
    return "files" if _takes_file(option.value) else " ".join(option.words)


def _operand_words(command):
    """An operand in small letters is what has to be typed."""
    return [word for word in command.operands.split() if word.isalpha() and word.islower()]


def bash(tool):
    values = [(f"*\\ {name}", option) for option in tool.options if option.value for name in _names(option)]
    values += [(f"{command.name}\\ {name}", option) for command in tool.commands for option in command.options if option.value
               for name in _names(option)]
    options = [f"    {command.name}) echo {' '.join(name for option in command.options for name in _names(option))} ;;"
               for command in tool.commands if command.options]
    operands = [f"    {command.name}) echo {'files' if _takes_file(command.operands) else ' '.join(_operand_words(command))} ;;"
                for command in tool.commands if _takes_file(command.operands) or _operand_words(command)]
    return BASH.format(values="\n".join(f"    {pattern}) echo '{_bash_value(option)}' ;;" for pattern, option in values),
                       options="\n".join(options), operands="\n".join(operands),
                       globals=" ".join(name for option in tool.options for name in _names(option)),
                       commands=" ".join(command.name for command in tool.commands))


def _quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def _zsh_text(text):
    """Inside a specification of _arguments or _describe."""
    for c in "\\:[]":
        text = text.replace(c, "\\" + c)
    return text


def _zsh_action(value):
    return "_files" if _takes_file(value) else f"({value.replace('|', ' ')})" if "|" in value else " "


def _zsh_option(option, indent):
    argument = f":{_zsh_text(option.value if not option.words else option.name)}:{_zsh_action(option.value)}" if option.value else ""
    names = _names(option)
    before = f"'({' '.join(names)})'" if len(names) > 1 else ""
    # "-k3" and "-k 3"; "--count=3" and "--count 3"
    suffixes = ("+", "=") if option.value else ("", "")
    spelled = [name + (suffixes[1] if name.startswith("--") else suffixes[0]) for name in names]
    spelled = "{" + ",".join(spelled) + "}" if len(names) > 1 else spelled[0]
    return f"{' ' * indent}{before}{spelled}{_quoted('[' + _zsh_text(option.help) + ']' + argument)} \\"


def _zsh_operands(command):
    words = _operand_words(command)
    action = "_files" if _takes_file(command.operands) else f"({' '.join(words)})" if words else " "
    return f"                {_quoted('*:' + _zsh_text(command.operands) + ':' + action)}" if command.operands else "                '*: : '"


def _zsh_case(command, tool):
    options = "\n".join(_zsh_option(option, 16) for option in command.options + tool.options)
    return f"        {command.name})\n            _arguments \\\n{options}\n{_zsh_operands(command)}\n            ;;"


def zsh(tool):
    return ZSH.format(globals="\n".join(_zsh_option(option, 8) for option in tool.options),
                      commands="\n".join(f"            {_quoted(command.name + ':' + _zsh_text(command.summary))}" for command in tool.commands),
                      cases="\n".join(_zsh_case(command, tool) for command in tool.commands))


def _fish_string(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _fish_option(option, condition):
    letter = f" -s {option.letter}" if option.letter else ""
    value = ""
    if option.value:
        value = " -r -F" if _takes_file(option.value) else f" -x -a {_fish_string(' '.join(option.words))}" if option.words else " -x"
    return f"complete -c sutra{condition}{letter} -l {option.name}{value} -d {_fish_string(option.help)}"


def _fish_operands(command, condition):
    if _takes_file(command.operands):
        return [f"complete -c sutra{condition} -F"]
    words = _operand_words(command)
    return [f"complete -c sutra{condition} -a {_fish_string(' '.join(words))}"] if words else []


def fish(tool):
    lines = ["complete -c sutra -f"]
    lines += [_fish_option(option, "") for option in tool.options]
    for command in tool.commands:
        condition = f" -n '__sutra_command | string match -q {command.name}'"
        lines.append(f"complete -c sutra -n 'not __sutra_command >/dev/null' -a {command.name} -d {_fish_string(command.summary)}")
        lines += [_fish_option(option, condition) for option in command.options]
        lines += _fish_operands(command, condition)
    valued = " ".join(name for option in tool.options if option.value for name in _names(option))
    return FISH.format(valued=valued, completions="\n".join(lines))


def main():
    program, folder = sys.argv[1:]
    tool = programs.tool(program)
    for name, write in (("sutra.bash", bash), ("_sutra", zsh), ("sutra.fish", fish)):
        (pathlib.Path(folder) / name).write_text(write(tool), encoding="utf-8")


if __name__ == "__main__":
    main()
