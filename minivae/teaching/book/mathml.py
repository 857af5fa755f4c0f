"""LaTeX into MathML, for those words of LaTeX that the lessons use.

What a page is made of besides its formulas is markdown.py's.
"""

from __future__ import annotations

import re
from html import escape

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\S|\s+")
LETTERS = dict(
    sigma="σ", mu="μ", beta="β", theta="θ", pi="π", alpha="α", epsilon="ε", lambda_="λ", phi="φ",
    eta="η", infty="∞", ell="ℓ", nabla="∇",
)  # fmt: skip
OPERATORS = dict(
    mid="|", parallel="∥", partial="∂", leftarrow="←", Longrightarrow="⟹", ge="≥", le="≤",
    cdot="·", int="∫", times="×", approx="≈", sim="∼", to="→", odot="⊙", in_="∈", dots="…", neq="≠",
)  # fmt: skip
SPACES = {"\\,": 0.17, "\\;": 0.28, "\\ ": 0.28, "\\quad": 1.0, "\\qquad": 2.0}
FUNCTIONS = ("log", "max", "min", "tanh", "exp")
LARGE = {"sum": "∑", "prod": "∏"}


def mathml(latex: str, display: bool = False) -> str:
    r"""Return a formula as MathML.

    Raises
    ------
    ValueError
        If it holds a word that is not known here: ``\choose``.
    """
    shape = ' display="block"' if display else ""
    reader = _Reader(latex, display)
    content = reader.row()
    if reader.tokens:
        raise ValueError(f"{reader.tokens[0]!r} closes nothing in the formula {latex.strip()!r}")
    # The source stays in the page: for copying, and for a reader of screens without MathML.
    return f'<math{shape} alttext="{escape(" ".join(latex.split()))}">{content}</math>'


class _Reader:
    def __init__(self, latex: str, display: bool) -> None:
        self.latex, self.display = latex, display
        self.tokens = [token for token in TOKEN.findall(latex) if not token.isspace()]
        # \text{...} keeps its spaces: they are read from the source, in order.
        self.texts = re.findall(r"\\text\{([^}]*)\}", latex)

    def row(self, *ends: str) -> str:
        """Read up to one of the `ends`, which stays; return the parts in a row."""
        parts = []
        while self.tokens and self.tokens[0] not in (*ends, "}"):
            parts.append(self.scripted())
        return "<mrow>" + "".join(parts) + "</mrow>"

    def scripted(self) -> str:
        """Read one thing with its indices and exponents."""
        first = self.tokens[0]
        base = self.atom()
        scripts = {}
        while self.tokens and self.tokens[0] in "_^":
            mark = self.tokens.pop(0)
            scripts[mark] = self.digit()
        if not scripts:
            return base
        below = (first[1:] in LARGE and self.display) or first == "\\underbrace"
        names = ("munder", "mover") if below else ("msub", "msup")
        if len(scripts) == 2:
            name = "munderover" if below else "msubsup"
            return f"<{name}>{base}{scripts['_']}{scripts['^']}</{name}>"
        ((mark, script),) = scripts.items()
        name = names["_^".index(mark)]
        return f"<{name}>{base}{script}</{name}>"

    def atom(self) -> str:
        if not self.tokens:
            raise ValueError(f"something is missing at the end of the formula {self.latex!r}")
        token = self.tokens.pop(0)
        if token == "{":
            content = self.row()
            self.expect("}")
            return content
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token in SPACES:
            return f'<mspace width="{SPACES[token]}em"></mspace>'
        if token.startswith("\\"):
            return self.word(token[1:])
        if token == "'":
            return '<mo lspace="0" rspace="0">′</mo>'
        if token in "()[]|":
            return f'<mo stretchy="false">{token}</mo>'
        return f"<mo>{escape(token.replace('-', '−'))}</mo>"

    def digit(self) -> str:
        """Read one thing; of a number without braces only its first digit, as LaTeX does."""
        if self.tokens and self.tokens[0][0].isdigit():
            number = self.tokens.pop(0)
            self.tokens[:0] = [*number]
        return self.atom()

    def word(self, word: str) -> str:
        if word in LETTERS or word + "_" in LETTERS:
            return f"<mi>{LETTERS.get(word) or LETTERS[word + '_']}</mi>"
        if word in OPERATORS or word + "_" in OPERATORS:
            return f"<mo>{OPERATORS.get(word) or OPERATORS[word + '_']}</mo>"
        if word in LARGE:
            return f"<mo>{LARGE[word]}</mo>"
        if word in FUNCTIONS:
            gap = not self.tokens or self.tokens[0] not in ("(", "[", "_", "^", "\\left")
            return f"<mi>{word}</mi>" + '<mspace width="0.17em"></mspace>' * gap
        if word in ("frac", "tfrac"):
            above, below = self.digit(), self.digit()
            small = ' displaystyle="false"' if word == "tfrac" else ""
            return f"<mfrac{small}>{above}{below}</mfrac>"
        if word == "sqrt":
            return f"<msqrt>{self.atom()}</msqrt>"
        if word == "hat":
            return f'<mover accent="true">{self.atom()}<mo stretchy="false">^</mo></mover>'
        if word == "underbrace":
            return f'<mrow class="brace">{self.atom()}</mrow>'
        if word == "mathrel":  # \\mathrel{+}= is one sign
            self.group_word()
            self.expect("=")
            return "<mo>+=</mo>"
        if word in ("mathrm", "text"):
            return self.upright(word)
        if word == "left":
            return self.fence()
        if word == "begin":
            return self.matrix()
        raise ValueError(f"\\{word} is not known here: add it to mathml.py")

    def upright(self, word: str) -> str:
        self.expect("{")
        letters = []
        while self.tokens and self.tokens[0] != "}":
            letters.append(self.tokens.pop(0))
        self.expect("}")
        if word == "text":
            return f"<mtext>{escape(self.texts.pop(0))}</mtext>"
        return f'<mi mathvariant="normal">{escape("".join(letters))}</mi>'

    def fence(self) -> str:
        opening = self.tokens.pop(0)
        content = self.row("\\right")
        self.expect("\\right")
        closing = self.tokens.pop(0)
        return _fence(opening, content, closing)

    def matrix(self) -> str:
        name = self.group_word()
        rows, cells = [], []
        while True:
            cells.append(f"<mtd>{self.row('&', chr(92) * 2, chr(92) + 'end')}</mtd>")
            if not self.tokens:
                raise ValueError(f"\\begin{{{name}}} without \\end in {self.latex!r}")
            token = self.tokens.pop(0)
            if token != "&":
                rows.append(f"<mtr>{''.join(cells)}</mtr>")
                cells = []
            if token == "\\end":
                break
        self.group_word()
        return _fence("(", f"<mtable>{''.join(rows)}</mtable>", ")")

    def group_word(self) -> str:
        self.expect("{")
        end = self.tokens.index("}")
        word = "".join(self.tokens[:end])
        del self.tokens[: end + 1]
        return word

    def expect(self, token: str) -> None:
        if not self.tokens or self.tokens.pop(0) != token:
            raise ValueError(f"{token!r} is missing in the formula {self.latex.strip()!r}")


def _fence(opening: str, content: str, closing: str) -> str:
    """Return tall brackets: drawn by the style sheet, since few fonts can stretch theirs."""
    kind = {"()": "round", "[]": "square"}[opening + closing]
    return f'<mrow class="fence {kind}">{content}</mrow>'
