"""The page's table of SQLSTATEs says what the code's table says: `sqlstate_page.py POOL.md sqlstate.def`."""

import re
import sys

RULE = re.compile(r'^(CLASS|CODE)\("(\w+)", (\w+), (\w+), "([^"]*)"\)$', re.M)
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (yes|) *\| (.*) \|$", re.M)


def main(page_path, table_path):
    with open(page_path, encoding="utf-8") as page, open(table_path, encoding="utf-8") as table:
        shown = ROW.findall(page.read())
        rules = RULE.findall(table.read())
    expected = [(code, category, "yes" if again == "RETRY" else "", why)
                for _, code, category, again, why in rules]
    for row in expected:
        if row not in shown:
            sys.exit(f"{page_path} lacks: | `{row[0]}` | {row[1]} | {row[2]} | {row[3]} |")
    for row in shown:
        if row not in expected:
            sys.exit(f"{page_path} says more than {table_path}: {row}")
    if not expected:
        sys.exit(f"{table_path} has no rule")
    print(f"{len(expected)} rules agree")


main(*sys.argv[1:])
