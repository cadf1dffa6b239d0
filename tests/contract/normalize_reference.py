"""A normalizer written from TEXT.md alone, to show that the page is complete, and held beside ours
over the vectors and over texts put together from their pieces. It makes the canonical bytes, not
their hash: two texts have one fingerprint with ours if and only if they have the same bytes here."""

import random
import re
import unittest

import normalize_program
import normalize_vectors

INPUT_MAX = 65536
TEXT_MAX = 16384
ROUNDS = 20000

SPACE = rb"[ \t\n\r\f\v]"
IDENTIFIER = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*"
TAG = rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$"
DIGITS = rb"[0-9](?:_?[0-9])*"
NUMBER = (rb"0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+"
          rb"|(?:" + DIGITS + rb"(?:\.(?!\.)(?:" + DIGITS + rb")?)?|\." + DIGITS + rb")"
          rb"(?:[eE][+-]?" + DIGITS + rb")?")
CONTINUED = rb"(?:" + SPACE.replace(rb"\v", b"") + rb"|--[^\n\r]*(?=[\n\r]))*'"
SPECIAL = set(b"~!@#^&|`?%")
BEFORE_OPERAND = set(
    b"all and as asymmetric between both by case check default distinct do else except fetch for "
    b"from having ilike in intersect leading like limit not offset on or return returning select "
    b"similar some symmetric then to trailing union using variadic when where".split())


class Token:
    def __init__(self, kind, text, spaced, is_open=False):
        self.kind, self.text, self.spaced, self.is_open = kind, text, spaced, is_open

    def word(self):
        return self.text.lower() if self.kind == "identifier" else None

    def is_self(self, text):
        return self.kind == "self" and self.text == text


def string_end(sql, at, quotes):
    """Behind the string whose text begins at @at; None if it is open."""
    inside = {"plain": rb"(?:[^']|'')*'", "backslash": rb"(?:[^'\\]|\\.|'')*'",
              "bits": rb"[^']*'"}[quotes]
    while True:
        found = re.compile(inside + rb"(?!')" if quotes != "bits" else inside, re.S).match(sql, at)
        if not found:
            return None
        at = found.end()
        more = re.compile(CONTINUED).match(sql, at)
        if not more or not re.search(rb"[\n\r]", more.group()):
            return at
        at = more.end()


def comment_end(sql, at):
    depth = 0
    while at < len(sql):
        if sql.startswith(b"/*", at):
            depth, at = depth + 1, at + 2
        elif sql.startswith(b"*/", at):
            depth, at = depth - 1, at + 2
            if not depth:
                return at
        else:
            at += 1
    return None


def operator(sql, at):
    run = re.compile(rb"[-~!@#^&|`?+*/%<>=]+").match(sql, at).group()
    cut = re.search(rb"--|/\*", run[1:])
    run = run[:cut.start() + 1] if cut else run
    while len(run) > 1 and run[-1] in b"+-" and not SPECIAL & set(run):
        run = run[:-1]
    return run


def first_token(sql, at, backslashes):
    """Kind and end, None if it is open, of what stands at @at."""
    plain = "backslash" if backslashes else "plain"
    for prefix, quotes in ((rb"[eE]", "backslash"), (rb"[bBxX]", "bits"), (rb"[nN]?", plain),
                           (rb"[uU]&", "plain")):
        found = re.compile(prefix + b"'").match(sql, at)
        if found:
            return "string", string_end(sql, found.end(), quotes)
    if re.compile(rb'([uU]&)?"').match(sql, at):
        found = re.compile(rb'([uU]&)?"(?:[^"]|"")*"(?!")', re.S).match(sql, at)
        return "quoted", found.end() if found else None
    found = re.compile(TAG).match(sql, at)
    if found:
        end = sql.find(found.group(), found.end())
        return "string", end + len(found.group()) if end >= 0 else None
    for kind, form in (("identifier", IDENTIFIER), ("number", NUMBER), ("parameter", rb"\$[0-9]+"),
                       ("operator", rb":="), ("self", rb"::|\.\.|[,()\[\].;:]")):
        found = re.compile(form).match(sql, at)
        if found:
            return kind, found.end()
    if sql[at] in b"~!@#^&|`?+-*/%<>=":
        return "operator", at + len(operator(sql, at))
    return "other", at + 1


def tokenize(sql, backslashes):
    """The tokens, and whether something was left open."""
    tokens, at, spaced, is_open = [], 0, False, False
    while at < len(sql):
        found = re.compile(SPACE + rb"+|--[^\n\r]*").match(sql, at)
        if found:
            at, spaced = found.end(), True
            continue
        if sql.startswith(b"/*", at):
            end = comment_end(sql, at)
            at, spaced, is_open = end or len(sql), True, is_open or end is None
            continue
        kind, end = first_token(sql, at, backslashes)
        is_open = is_open or end is None
        tokens.append(Token(kind, sql[at:end], spaced, end is None))
        at, spaced = end or len(sql), False
    return tokens, is_open


def take_sign(tokens, at):
    """Is the minus at @at the sign of the number behind it, if an operand comes there?"""
    if tokens[at].kind != "operator" or tokens[at].text != b"-":
        return False
    if at + 1 >= len(tokens) or tokens[at + 1].kind != "number":
        return False
    return at + 2 >= len(tokens) or not (
        tokens[at + 2].kind == "self" and tokens[at + 2].text in (b"::", b"[", b"."))


def operand_comes(before):
    if before is None or before.kind == "operator":
        return True
    if before.kind == "self":
        return before.text not in (b")", b"]", b".", b"..", b"::")
    return before.word() in BEFORE_OPERAND


def take_constants(tokens, at, close):
    """Behind an opening bracket: the constants up to @close as (first token, token behind it), and
    where the bracket stands; or None."""
    constants = []
    while True:
        begin = at
        if at < len(tokens) and take_sign(tokens, at):
            at += 2
        elif at < len(tokens) and not tokens[at].is_open and (
                tokens[at].kind in ("string", "number", "parameter")
                or tokens[at].word() in (b"true", b"false", b"null")):
            at += 1
        else:
            return None
        constants.append(begin)
        if at < len(tokens) and tokens[at].is_self(close):
            return constants, at
        if at >= len(tokens) or not tokens[at].is_self(b","):
            return None
        at += 1


def take_rows(tokens, at):
    """Behind VALUES: where the first row ends and where the last does; or None."""
    ends = []
    while True:
        if at >= len(tokens) or not tokens[at].is_self(b"("):
            return None
        taken = take_constants(tokens, at + 1, b")")
        if not taken:
            return None
        at = taken[1] + 1
        ends.append(at)
        if at >= len(tokens) or not tokens[at].is_self(b","):
            return (ends[0], ends[-1]) if len(ends) > 1 else None
        at += 1


def generated_names(tokens):
    """The places of the names that fold."""
    forms = [
        rb"(?:savepoint|declare|close|prepare|execute|listen|unlisten|notify) ",
        rb"release (?:savepoint )?", rb"rollback (?:(?:work|transaction) )*to (?:savepoint )?",
        rb"deallocate (?:prepare )?", rb"(?:fetch|move) (?:(?!from |in |; )\S+ )*(?:from|in) ",
        rb"create (?:(?:global|local) )*(?:temp|temporary) table (?:(?:if|not|exists) )*",
    ]
    places, begin = set(), 0
    for end in [i for i, token in enumerate(tokens) if token.is_self(b";")] + [len(tokens)]:
        # One word a token; what is no word is told by its kind.
        words = [token.word() or (b";" if token.is_self(b";") else b"<" + token.kind.encode() + b">")
                 for token in tokens[begin:end]]
        line = b"".join(text + b" " for text in words)
        for form in forms:
            found = re.match(form, line)
            place = begin + found.group().count(b" ") if found else end
            if place < end and tokens[place].kind in ("identifier", "quoted"):
                places.add(place)
        begin = end + 1
    return places


def is_identifier_byte(byte):
    return bool(re.match(rb"[A-Za-z0-9_$\x80-\xff]", bytes([byte])))


class Writer:
    def __init__(self, tokens):
        numbers = [int(token.text[1:]) for token in tokens if token.kind == "parameter"]
        self.next = max([n for n in numbers if n <= 2147483647], default=0) + 1
        self.text, self.canonical, self.is_cut = b"", [], False

    def put(self, text, spaced, canonical):
        self.canonical.append(canonical)
        if self.text and (spaced or (is_identifier_byte(self.text[-1])
                                     and is_identifier_byte(text[0]))):
            text = b" " + text
        self.is_cut = self.is_cut or len(self.text) + len(text) > TEXT_MAX
        if not self.is_cut:
            self.text += text

    def literal(self, spaced):
        self.put(b"$%d" % self.next, spaced, b"$")
        self.next += 1

    def token(self, token, folds):
        if token.kind in ("string", "number"):
            self.literal(token.spaced)
        elif token.kind == "parameter":
            self.put(token.text, token.spaced, b"$")
        elif token.kind == "quoted" and token.is_open:
            self.put(b'""', True, b'""')
        else:
            text = token.text
            if folds:
                folded = re.sub(rb"[0-9]+", b"0", text)
                text = folded if len(folded) <= 256 else text
            self.put(text, token.spaced and not token.is_self(b";"),
                     text.lower() if token.kind == "identifier" else text)


def normalize(sql, backslashes):
    """(canonical bytes, flags, text)."""
    flags = ["cut"] if len(sql) > INPUT_MAX else []
    tokens, is_open = tokenize(sql[:INPUT_MAX], backslashes)
    writer = Writer(tokens)
    while tokens and tokens[-1].is_self(b";"):
        tokens.pop()
    names, jumps, at, before = generated_names(tokens), {}, 0, None
    while at < len(tokens):
        token = tokens[at]
        if operand_comes(before) and take_sign(tokens, at):
            writer.literal(token.spaced)
            before, at = tokens[at + 1], at + 2
        else:
            writer.token(token, at in names)
            opens = {b"in": b"(", b"array": b"["}.get(before and before.word())
            at += 1
            taken = None
            if opens and token.is_self(opens):
                taken = take_constants(tokens, at, {b"(": b")", b"[": b"]"}[opens])
            if taken and len(taken[0]) > 1:
                first = tokens[taken[0][0]]
                if first.kind == "parameter":
                    writer.token(first, False)
                else:
                    writer.literal(first.spaced)
                at, token = taken[1], tokens[taken[1] - 1]
            if token.word() == b"values":
                rows = take_rows(tokens, at)
                if rows:
                    jumps[rows[0]] = rows[1]
            before = token
        at = jumps.get(at, at)
    if writer.is_cut and "cut" not in flags:
        flags.append("cut")
    if is_open and len(sql) <= INPUT_MAX:
        flags.append("malformed")
    canonical = b"".join(token + b"\0" for token in writer.canonical)
    return canonical, flags, writer.text


class Reference(unittest.TestCase):
    def compare(self, statements):
        fingerprints, canonicals = {}, {}
        answers = normalize_program.normalize(statements)
        for (options, sql), (fingerprint, _, flags, text) in zip(statements, answers):
            canonical, own_flags, own_text = normalize(sql, options)
            if (own_text, own_flags) != (text, flags):
                self.fail(f"{sql!r}\nours {text!r} {flags}\nhere {own_text!r} {own_flags}")
            self.assertEqual(fingerprints.setdefault(canonical, fingerprint), fingerprint, sql)
            self.assertEqual(canonicals.setdefault(fingerprint, canonical), canonical, sql)

    def vectors(self):
        return [(int("options" in vector), normalize_vectors.statement(vector))
                for vector in normalize_vectors.read()]

    def test_vectors(self):
        self.compare(self.vectors())

    def test_pieces(self):
        draw = random.Random(17)
        texts = [sql for _, sql in self.vectors() if len(sql) < 200]
        statements = []
        for _ in range(ROUNDS):
            sql = b""
            for _ in range(draw.randint(1, 4)):
                text = draw.choice(texts)
                begin = draw.choice([0, draw.randint(0, len(text))])
                sql += text[begin:draw.choice([len(text), draw.randint(begin, len(text))])]
                sql += draw.choice([b"", b"", b" ", b"\n", b";", b"/**/", b", ", b"-", b"'"])
            statements.append((draw.randint(0, 1), sql))
        self.compare(statements)


if __name__ == "__main__":
    unittest.main()
