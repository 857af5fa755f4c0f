"""Every lesson's script runs, and its page quotes what the script prints.

A block of a page marked ```text or ```text CODE holds lines of the output (CODE is what a notebook
runs there), one marked ```text long lines of the output with --long (under the marker `slow`).
"""

import re
import runpy
import sys
from pathlib import Path

import pytest
from runs import thinned
from threadpoolctl import threadpool_limits

LESSONS = Path(__file__).parent.parent / "minivae" / "teaching" / "lessons"
PAGES = sorted(LESSONS.glob("[0-9]*.md"))
NUMBER = re.compile(r"~?-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
THOUSANDS = re.compile(r"\b(\d{1,3})[,_](\d{3})\b")
printed_by: dict[Path, list[str]] = {}  # each script runs once
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def run(page, capsys, *arguments):
    script = page.with_suffix(".py")
    old = sys.argv
    sys.argv = [str(script), *map(str, arguments)]
    try:
        with threadpool_limits(1):  # small arrays: more threads would only wait for one another
            runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv = old
    return capsys.readouterr().out.splitlines()


def output_of(page, capsys):
    if page not in printed_by:
        printed_by[page] = run(page, capsys)
    return printed_by[page]


def blocks(page, mark):
    found = re.findall(r"^```(.*)\n((?:.*\n)*?)```$", page.read_text(), flags=re.MULTILINE)
    kind = {
        info: "text long" if info == "text long" else info.split()[0] for info, _ in found if info
    }
    return [text.splitlines() for info, text in found if kind.get(info) == mark]


def words(line):
    return " ".join(NUMBER.sub("#", line).split())


def close(quoted, printed, slack):
    """Whether two numbers agree as printed.

    Between machines float64 results differ by some 1e-12, so a printed digit may be rounded the
    other way: one unit of the last place. A number after ~ is rounding noise: its size is held.
    """
    if quoted.startswith("~"):
        a, b = float(quoted[1:]), float(printed.lstrip("~"))
        return printed.startswith("~") and max(a, b) <= 10 * min(a, b)
    if not re.search(r"[.e]", quoted):
        return abs(int(quoted) - float(printed)) <= slack * abs(int(quoted))
    mantissa, _, exponent = quoted.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    unit = max(10.0**-decimals, slack * abs(float(quoted)))
    return abs(float(quoted) - float(printed)) <= 1.01 * unit


def agree(quoted, printed, slack=0.0):
    pairs = zip(NUMBER.findall(quoted), NUMBER.findall(printed), strict=True)
    return all(close(one, two, slack) for one, two in pairs)


def difference(block, output, slack=0.0):
    """Return what is wrong with a block of quoted lines, or None."""
    shapes = [words(line) for line in output]
    want = [words(line) for line in block]
    places = [i for i in range(len(output)) if shapes[i : i + len(want)] == want]
    if not places:
        return f"not printed by the script: {block}"
    for i in places:
        rows = list(zip(block, output[i : i + len(block)], strict=True))
        wrong = [row for row in rows if not agree(*row, slack)]
        if not wrong:
            return None
    return f"quoted {wrong[0][0]!r}, printed {wrong[0][1]!r}"


@by_page
def test_a_page_quotes_its_script(page, capsys):
    output = output_of(page, capsys)
    quoted = blocks(page, "text")
    assert quoted
    assert [difference(block, output) for block in quoted] == [None] * len(quoted)


@by_page
def test_numbers_in_the_text_stand_in_script_or_output(page, capsys):
    known = "\n".join([*output_of(page, capsys), page.with_suffix(".py").read_text()])
    known += "\n".join(line for block in blocks(page, "text long") for line in block)
    printed = set(re.findall(r"\d+(?:\.\d+)?", THOUSANDS.sub(r"\1\2", known)))
    printed |= {f"{float(number):.0f}" for number in printed}  # "about 17" of 16.78
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    # Formulas and code count too; links, years of papers and numbers of exercises do not.
    others = r"\[.*?\]\([^)]*\)|, (?:19|20)\d\d\b|exercise start \d+|\\t?frac\d\d"
    prose = THOUSANDS.sub(r"\1\2", re.sub(others, "", text))
    numbers = re.findall(r"\d+\.\d+|\d{2,}", prose)
    assert [number for number in numbers if number not in printed | {"10"}] == []


LONG = next(page for page in PAGES if page.stem.startswith("08"))  # its picture is trained


@pytest.mark.parametrize(
    "page", thinned([page for page in PAGES if page != LONG], 3), ids=lambda page: page.stem
)
def test_pictures_can_be_drawn(page, capsys, tmp_path):
    run(page, capsys, "--picture", tmp_path / "new.png")
    assert (tmp_path / "new.png").read_bytes().startswith(b"\x89PNG")


@by_page
def test_a_page_shows_a_small_picture_says_what_for_and_leads_on(page):
    text = page.read_text()
    assert f"({page.stem}.png)" in text
    assert page.with_suffix(".png").stat().st_size < 60_000
    assert "**After this page**" in text and "## You can now" in text
    assert re.search(r"\*\*Exercises?:\*\* `minivae exercise start \d+`", text)
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all((page.parent / link).exists() for link in links)


def test_the_list_of_lessons_leads_to_each():
    text = (LESSONS / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert sorted(links) == sorted(
        file.name for page in PAGES for file in [page, page.with_suffix(".py")]
    )


@by_page
def test_formulas_stand_where_no_markdown_is_read_in_them(page):
    """Between $` and `$ or in a block ```math: elsewhere `\\,` may be taken for Markdown."""
    text = page.read_text()
    formulas = re.findall(r"^```math\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    formulas += re.findall(r"\$`([^`\n]+)`\$", text)
    assert "$" not in re.sub(r"\$`[^`\n]+`\$|`[^`\n]*`", "", text)
    assert len(formulas) > 3
    for formula in formulas:
        assert formula.count("{") == formula.count("}")
        assert len(re.findall(r"\\left[(\[]", formula)) == formula.count(r"\right")


@pytest.mark.slow
def test_the_long_run_of_a_lesson(capsys):
    """float32 and threads: other last digits on other machines, the same table within 3 in 100."""
    output = run(LONG, capsys, "--long")
    (block,) = blocks(LONG, "text long")
    rows = list(zip(block, output, strict=True))
    for quoted, printed in rows:
        for one, two in zip(quoted.split()[:-1], printed.split()[:-1], strict=True):
            same = one == two
            assert same or abs(float(one) - float(two)) <= max(0.5, 0.03 * float(one))


def test_the_comparison_itself_can_fail():
    assert difference(["loss 1.25 of 3"], ["x", "loss 1.26 of 3"]) is None
    assert difference(["loss 1.25 of 3"], ["loss 1.27 of 3"])
    assert difference(["loss 1.25 of 3"], ["loss 1.25 of 4"])
    assert difference(["loss 1.25"], ["cost 1.25"])
    assert difference(["~2e-05"], ["~9e-06"]) is None
    assert difference(["~2e-05"], ["~9e-08"])
