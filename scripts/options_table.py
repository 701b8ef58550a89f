"""Write the table of docs/reference/options.md from the declared options, or check that it is current.

python scripts/options_table.py            write it
python scripts/options_table.py --check    exit 1 where it differs
"""

import sys
from pathlib import Path
from typing import Any

from heracles.options import OPTIONS, Option, Scope, Unit

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "options.md"
BEGIN = "<!-- begin: written by scripts/options_table.py -->\n"
END = "<!-- end -->\n"
HEAD = ("option", "what it does", "default", "value", "given to", "flag, configuration key")
VALUES = {
    Unit.MS: "ms",
    Unit.SECONDS: "s",
    Unit.BYTES: "bytes",
    Unit.FLAG: "true or false",
    Unit.TEXT: "text",
}


def code(text: Any) -> str:
    """As inline code; a bar would end the cell."""
    return "`" + str(text).replace("|", "\\|") + "`"


def value_of(option: Option) -> str:
    """What may be given, in words."""
    if option.unit is Unit.CHOICE:
        return " or ".join(code(choice) for choice in option.choices)
    if option.unit is Unit.COUNT:
        return f"{option.minimum} to {option.maximum:,}" if option.maximum < 2**53 else "a whole number"
    return VALUES[option.unit]


def default_of(option: Option) -> str:
    """The default as it is written, or a dash where nothing is assumed."""
    if option.default is None:
        return "–"
    return code(option.default)


def row_of(option: Option) -> tuple[str, ...]:
    """One line of the table."""
    keys = (*option.flags, *([option.config_key] if option.config_key else []))
    return (
        code(option.name),
        option.help,
        default_of(option),
        value_of(option),
        ", ".join(scope.value for scope in Scope if scope in option.scopes),
        ", ".join(code(key) for key in keys) or "–",
    )


def table() -> str:
    """All options, in the order of declaration."""
    rows = [HEAD, ("---",) * len(HEAD), *(row_of(option) for option in OPTIONS.values())]
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def with_table(page: str) -> str:
    """The page with its table replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + "\n" + table() + "\n" + END + after


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` compare."""
    page = PAGE.read_text(encoding="utf-8")
    current = with_table(page)
    if arguments == ["--check"]:
        if page != current:
            print(f"{PAGE.name} is not current: run python scripts/options_table.py", file=sys.stderr)
        return int(page != current)
    PAGE.write_text(current, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
