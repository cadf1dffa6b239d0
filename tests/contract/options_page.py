"""Holds the page's table of pool options against options.def and the public struct.

options_page.py options.def pool.h CONFIGURATION.md
"""

import re
import sys

UNITS_MS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000}
WORDS = {
    "SWITCH": ["false", "true"],
    "RESET": ["changed", "all", "list", "nothing"],
    "PARAMETERS": ["off", "hashed", "redacted"],
}
CONSTANTS = {"WEIR_NEVER": "never", "WEIR_RESET_CHANGED": 0, "WEIR_PARAMETERS_OFF": 0}


def number_of(kind, text):
    """What a cell of the page means, as options.def would say it."""
    if text == "never":
        return text
    if kind in WORDS:
        return WORDS[kind].index(text)
    if kind == "PERCENT":
        assert text.endswith("%"), text
        return int(text[:-1])
    if kind == "COUNT":
        return int(text)
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * UNITS_MS[unit]


def options_defined(text):
    """(field, kind, default, least, most) of each OPTION, in order."""
    found = re.findall(r"^OPTION\((\w+), (\w+), (\w+), (\d+), (\d+), \".+\"\)$", text, re.M)
    assert len(found) == len(re.findall(r"^OPTION\(", text, re.M)), "an OPTION has another form"
    return [
        (field, kind, CONSTANTS[value] if value in CONSTANTS else int(value), int(least), int(most))
        for field, kind, value, least, most in found
    ]


def options_shown(page):
    """The cells of the table below `## libweir`, in order."""
    section = page.split("\n## libweir\n", 1)[1].split("\n## ", 1)[0]
    table = section.split("| option | default | range | meaning |\n|---|---|---|---|\n", 1)[1]
    rows = [row for row in table.split("\n\n", 1)[0].splitlines()]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def range_of(kind, text):
    """(least, most, whether it may be never) that a cell says."""
    if kind in WORDS:
        assert text.split(", ") == WORDS[kind], text
        return 0, len(WORDS[kind]) - 1, False
    text, comma, never = text.partition(", ")
    assert never == ("never" if comma else ""), text
    least, most = text.split(" to ")
    return number_of(kind, least), number_of(kind, most), bool(comma)


def main():
    defined, header, page = (open(path, encoding="utf-8").read() for path in sys.argv[1:4])
    options, rows = options_defined(defined), options_shown(page)
    struct = re.search(r"struct weir_pool_opts \{(.*?)\n\};", header, re.S).group(1)
    struct = re.sub(r"/\*.*?\*/", "", struct, flags=re.S)
    fields = [
        name.strip()
        for names in re.findall(r"int32_t ([^;]+);", struct)
        for name in names.split(",")
    ]

    assert len(options) > 20
    assert fields == [option[0] for option in options], "struct weir_pool_opts has other fields"
    assert len(rows) == len(options), f"{len(rows)} rows of {len(options)} options"
    for (field, kind, value, least, most), row in zip(options, rows):
        is_time = kind.startswith("TIME")
        assert field.endswith("_ms") == is_time, field
        name = field[: -len("_ms")] if is_time else field
        assert row[0] == f"`{name}`", f"{row[0]} stands where {name} should"
        assert number_of(kind, row[1].strip("`")) == value, f"{name}: default {row[1]}"
        assert range_of(kind, row[2]) == (least, most, kind == "TIME_OR_NEVER"), f"{name}: {row[2]}"
        assert row[3].endswith("."), f"{name} has no meaning"
    print(f"{len(options)} options agree")


if __name__ == "__main__":
    main()
