"""The regular expressions of KIP-848 subscriptions, read: RE2's syntax into a small program.

Kafka documents RE2's syntax (KIP-848; github.com/google/re2/wiki/Syntax) and matches a whole topic
name. Names are ASCII letters, digits, `.`, `_` and `-`, so a set of characters is a mask of 128
bits, and what lies outside of ASCII can be written but never matches.

    alternatives   one|other                groups        (..) (?:..) (?P<name>..) (?<name>..)
    repeats        * + ? {2} {2,} {2,5}     flags         (?i) (?i:..), m s U are read and change
                   each also lazy, *?                     nothing for names
    sets           . [a-z] [^a-z] [[:alpha:]] \\d \\w \\s \\D \\W \\S \\pL \\p{Lu} \\PL
    positions      ^ $ \\A \\z \\b \\B        escapes       \\n \\x41 \\x{41} \\101 \\. \\Q..\\E

Not in the language: backreferences and looking around; with them matching cannot be bounded.

    program   instructions, tuples (op, operand, next), and the one to begin with:
              CHARACTER mask next | SPLIT other next | POSITION kind next | MATCH

What a hostile expression can cost is bounded here: length of text and program (repeats are copied
out), depth of nesting. What it can cost to run is bounded in `regex`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

CHARACTER, SPLIT, POSITION, MATCH = range(4)
BEGIN, END, WORD_BOUNDARY, NO_WORD_BOUNDARY = range(4)

# An alternative of 200 topic names fits. Copied-out repeats are what reaches it.
INSTRUCTIONS_COUNT_MAX = 10_000
NESTING_MAX = 100
# 500 names of topics; read in some 50 ms.
TEXT_CHARACTERS_MAX = 20_000
REPEAT_MAX = 1000  # RE2's

ANY = (1 << 128) - 1

Instruction = tuple[int, int, int]


class PatternError(Exception):
    """The text is not an expression of this language; the message says why in RE2's words."""


class Node(NamedTuple):
    """A part of an expression. `kind` is one of "set", "position", "all", "any", "repeat".

    set: `number` is the mask; position: `number` is its kind; all, any: `parts` one after the
    other, or one of them; repeat: `parts[0]` at least `number` and at most `most` times (-1: no
    end).
    """

    kind: str
    number: int = 0
    parts: tuple[Node, ...] = ()
    most: int = 0


def mask_of(characters: str) -> int:
    """The set of these ASCII characters."""
    mask = 0
    for character in characters:
        mask |= 1 << ord(character)
    return mask


def _range_mask(low: int, high: int) -> int:
    return ((2 << min(high, 127)) - (1 << low)) if low < 128 else 0


def _both_cases(low: int, high: int) -> int:
    """The characters of a range and their other cases; two letters beyond ASCII have one in it."""
    mask = _range_mask(low, high)
    for beyond, letter in ((0x17F, "s"), (0x212A, "k")):  # long s, Kelvin sign
        if low <= beyond <= high:
            mask |= mask_of(letter)
    return mask | (mask & UPPER) << 32 | (mask & LOWER) >> 32


DIGITS = mask_of("0123456789")
LOWER = _range_mask(ord("a"), ord("z"))
UPPER = _range_mask(ord("A"), ord("Z"))
WORD = DIGITS | LOWER | UPPER | mask_of("_")
SPACE = mask_of("\t\n\f\r ")
_PUNCTUATION = _range_mask(33, 126) & ~(DIGITS | LOWER | UPPER)
_CONTROL = _range_mask(0, 31) | 1 << 127

_PERL = {"d": DIGITS, "w": WORD, "s": SPACE}
_POSIX = {
    "alnum": DIGITS | LOWER | UPPER,
    "alpha": LOWER | UPPER,
    "ascii": ANY,
    "blank": mask_of("\t "),
    "cntrl": _CONTROL,
    "digit": DIGITS,
    "graph": _range_mask(33, 126),
    "lower": LOWER,
    "print": _range_mask(32, 126),
    "punct": _PUNCTUATION,
    "space": SPACE | mask_of("\v"),
    "upper": UPPER,
    "word": WORD,
    "xdigit": DIGITS | mask_of("abcdefABCDEF"),
}
_ESCAPES = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_POSITIONS = {"A": BEGIN, "z": END, "b": WORD_BOUNDARY, "B": NO_WORD_BOUNDARY}
# General categories of Unicode, by their letters.
_CATEGORY = re.compile("C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?")

_REPEAT = re.compile(r"\{(\d{1,9})(,(\d{1,9})?)?\}", re.ASCII)
_GROUP_NAME = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>", re.ASCII)
_FLAGS = re.compile(r"\(\?([imsU]*)(?:(-)([imsU]+))?([:)])")
_POSIX_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_UNICODE_CLASS = re.compile(r"\\([pP])(?:([A-Z])|\{(\^?)([A-Za-z_]+)\})")
_HEXADECIMAL = re.compile(r"\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,8})\})")
_OCTAL = re.compile(r"\\(0[0-7]{0,2}|[1-7][0-7]{1,2})")


def parse(text: str) -> Node:
    """The expression as a tree. Raises PatternError."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise PatternError("expression too large")
    parser = _Parser(text)
    node = parser.alternatives(0)
    if parser.position < len(text):
        raise PatternError("unexpected )")
    return node


class _Parser:
    """A reader of one expression: `position` is what was read of `text`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.fold = False  # (?i)

    def alternatives(self, depth: int) -> Node:
        if depth > NESTING_MAX:
            raise PatternError("expression nests too deeply")
        branches = [self._sequence(depth)]
        while self._peek() == "|":
            self.position += 1
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else Node("any", 0, tuple(branches))

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while (character := self._peek()) and character not in "|)":
            if character in "*+?" or _REPEAT.match(self.text, self.position):
                if not parts:
                    raise PatternError("missing argument to repetition operator")
            elif self.text.startswith("\\Q", self.position):
                parts += self._quoted()
                if not parts:
                    continue
            else:
                node = self._atom(character, depth)
                if node is None:
                    continue
                parts.append(node)
            parts[-1] = self._repeats(parts[-1])
        return Node("all", 0, tuple(parts))

    def _repeats(self, node: Node) -> Node:
        """The node with the repetition that follows it, if one does.

        As in RE2, flags in between, `a(?i)*`, do not part the two.
        """
        bounds = self._repeat()
        if bounds is None:
            return node
        low, high = bounds
        if high > REPEAT_MAX or low > REPEAT_MAX or -1 < high < low:
            raise PatternError("invalid repeat count")
        if self._peek() == "?":
            self.position += 1
        if self._repeat() is not None:
            raise PatternError("invalid nested repetition operator")
        return Node("repeat", low, (node,), high)

    def _repeat(self) -> tuple[int, int] | None:
        character = self._peek()
        simple = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}.get(character)
        if simple is not None:
            self.position += 1
            return simple
        match = _REPEAT.match(self.text, self.position) if character == "{" else None
        if match is None:
            return None
        self.position = match.end()
        low = int(match[1])
        if match[2] is None:
            return low, low
        return low, int(match[3]) if match[3] else -1

    def _atom(self, character: str, depth: int) -> Node | None:
        """One character, set, position or group; None for flags alone."""
        if character == "(":
            return self._group(depth)
        if character == "[":
            return Node("set", self._set())
        if character == "\\":
            return self._escape()
        self.position += 1
        if character == ".":
            return Node("set", ANY)
        if character in "^$":
            return Node("position", BEGIN if character == "^" else END)
        return Node("set", self._range(character, character))

    def _range(self, low: str, high: str) -> int:
        return (_both_cases if self.fold else _range_mask)(ord(low), ord(high))

    def _quoted(self) -> list[Node]:
        end = self.text.find("\\E", self.position)
        literal = self.text[self.position + 2 : end if end >= 0 else len(self.text)]
        self.position = end + 2 if end >= 0 else len(self.text)
        return [Node("set", self._range(character, character)) for character in literal]

    def _group(self, depth: int) -> Node | None:
        outer = self.fold
        if self.text.startswith("(?", self.position):
            match = _GROUP_NAME.match(self.text, self.position)
            flags = match or _FLAGS.match(self.text, self.position)
            if flags is None or flags[0] in ("(?)", "(?-)"):
                raise PatternError("invalid or unsupported Perl syntax")
            self.position = flags.end()
            if match is None:
                self.fold = (self.fold or "i" in flags[1]) and "i" not in (flags[3] or "")
                if flags[4] == ")":
                    return None  # up to the end of the group that we are in
        else:
            self.position += 1
        node = self.alternatives(depth + 1)
        if self._peek() != ")":
            raise PatternError("missing closing )")
        self.position += 1
        self.fold = outer
        return node

    def _escape(self) -> Node:
        letter = self.text[self.position + 1 : self.position + 2]
        if letter in _POSITIONS and letter:
            self.position += 2
            return Node("position", _POSITIONS[letter])
        if letter == "C":
            self.position += 2
            return Node("set", ANY)
        mask = self._class_escape()
        if mask is None:
            character = self._character_escape()
            mask = self._range(character, character)
        return Node("set", mask)

    def _class_escape(self) -> int | None:
        r"""The set of `\d`, `\PN` and their kind; None: it is a character."""
        letter = self.text[self.position + 1 : self.position + 2]
        if letter and letter.lower() in _PERL:
            self.position += 2
            perl = _PERL[letter.lower()]
            return perl if letter.islower() else ANY & ~perl
        if letter not in ("p", "P"):
            return None
        match = _UNICODE_CLASS.match(self.text, self.position)
        mask = None if match is None else _unicode_mask(match[2] or match[4])
        if match is None or mask is None:
            raise PatternError("invalid character class range")
        self.position = match.end()
        if self.fold and mask & (LOWER | UPPER):
            mask |= LOWER | UPPER
        return ANY & ~mask if (match[1] == "P") != (match[3] == "^") else mask

    def _character_escape(self) -> str:
        text, position = self.text, self.position
        letter = text[position + 1 : position + 2]
        if not letter:
            raise PatternError("trailing backslash at end of expression")
        octal, hexadecimal = _OCTAL.match(text, position), _HEXADECIMAL.match(text, position)
        if octal is not None:
            self.position = octal.end()
            return chr(int(octal[1], 8))
        if hexadecimal is not None:
            code = int(hexadecimal[1] or hexadecimal[2], 16)
            if code > 0x10FFFF:
                raise PatternError("invalid escape sequence")
            self.position = hexadecimal.end()
            return chr(code)
        if letter in _ESCAPES:
            self.position += 2
            return _ESCAPES[letter]
        if not letter.isascii() or letter.isalnum():
            raise PatternError("invalid escape sequence")
        self.position += 2
        return letter

    def _set(self) -> int:
        """A set in brackets; a `]` right at its beginning is one of its characters."""
        self.position += 1
        negated = self._peek() == "^"
        self.position += negated
        mask, first = 0, True
        while first or self._peek() != "]":
            if not self._peek():
                raise PatternError("missing closing ]")
            mask |= self._set_item()
            first = False
        self.position += 1
        return ANY & ~mask if negated else mask

    def _set_item(self) -> int:
        text = self.text
        posix = _POSIX_CLASS.match(text, self.position)
        if posix is not None:
            if posix[2] not in _POSIX:
                raise PatternError("invalid character class range")
            self.position = posix.end()
            mask = _POSIX[posix[2]]
            return ANY & ~mask if posix[1] else mask
        if self._peek() == "\\" and (mask_or_none := self._class_escape()) is not None:
            return mask_or_none
        low = self._set_character()
        high = low
        if self._peek() == "-" and text[self.position + 1 : self.position + 2] not in ("]", ""):
            self.position += 1
            high = self._set_character()
        if high < low:
            raise PatternError("invalid character class range")
        return self._range(low, high)

    def _set_character(self) -> str:
        character = self._peek()
        if not character:
            raise PatternError("missing closing ]")
        if character == "\\":
            return self._character_escape()
        self.position += 1
        return character


@lru_cache(maxsize=64)  # all there are: an expression may name them thousands of times
def _unicode_mask(name: str) -> int | None:
    """The ASCII part of a general category or of one of the scripts that have any."""
    letters = LOWER | UPPER
    scripts = {"Any": ANY, "Latin": letters, "Common": ANY & ~letters}
    if name in scripts:
        return scripts[name]
    if not _CATEGORY.fullmatch(name):
        return None
    members = (chr(code) for code in range(128))
    return mask_of("".join(c for c in members if unicodedata.category(c).startswith(name)))


class Program(NamedTuple):
    """Instructions and the number of the one to begin with."""

    instructions: list[Instruction]
    entry: int


def compile_program(text: str) -> Program:
    """The program of an expression. Raises PatternError."""
    compiler = _Compiler()
    entry = compiler.emit(parse(text), 0)
    return Program(compiler.instructions, entry)


class _Compiler:
    """A program while it is written, from its end on: each part knows where it goes on."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = [(MATCH, 0, 0)]
        self._parts_count = 0

    def emit(self, node: Node, following: int) -> int:
        """Append what `node` is and goes on at `following`; returns where it begins."""
        self._parts_count += 1  # an empty group repeated a thousand times is no instruction
        if self._parts_count > 4 * INSTRUCTIONS_COUNT_MAX:
            raise PatternError("expression too large")
        if node.kind == "set":
            return self._append((CHARACTER, node.number, following))
        if node.kind == "position":
            return self._append((POSITION, node.number, following))
        if node.kind == "all":
            for part in reversed(node.parts):
                following = self.emit(part, following)
            return following
        if node.kind == "any":
            entry = self.emit(node.parts[-1], following)
            for part in reversed(node.parts[:-1]):
                entry = self._append((SPLIT, entry, self.emit(part, following)))
            return entry
        return self._emit_repeat(node, following)

    def _emit_repeat(self, node: Node, following: int) -> int:
        part = node.parts[0]
        entry = following
        if node.most < 0:
            entry = self._append((SPLIT, following, following))
            self.instructions[entry] = (SPLIT, following, self.emit(part, entry))
        for _ in range(node.most - node.number):
            entry = self._append((SPLIT, following, self.emit(part, entry)))
        for _ in range(node.number):
            entry = self.emit(part, entry)
        return entry

    def _append(self, instruction: Instruction) -> int:
        if len(self.instructions) >= INSTRUCTIONS_COUNT_MAX:
            raise PatternError("expression too large")
        self.instructions.append(instruction)
        return len(self.instructions) - 1
