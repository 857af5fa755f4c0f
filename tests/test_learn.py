"""The book: Markdown and formulas into pages, pages that hold everything, notebooks that run."""

import contextlib
import io
import json
import re

import click
import pytest
from click.testing import CliRunner
from test_lessons import PAGES, blocks, difference

from minivae.cli import COMMANDS, main
from minivae.looking.pages import page
from minivae.teaching.book import book, notebooks
from minivae.teaching.book.markdown import Markdown
from minivae.teaching.book.mathml import mathml

SITE = {name: content.decode() for name, content in book().items()}
HTML = {name: text for name, text in SITE.items() if name.endswith(".html")}


def plain(text):
    """Convert with figures, links and pictures that show their names."""
    return Markdown(str.upper, lambda file: f"data:{file}", lambda name: f"<{name}>").html(text)


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        ("x_{bi}^2", "<msubsup><mi>x</mi><mrow><mi>b</mi><mi>i</mi></mrow><mn>2</mn></msubsup>"),
        ("-1.5", "<mo>−</mo><mn>1.5</mn>"),
        (r"\frac{a}2", "<mfrac><mrow><mi>a</mi></mrow><mn>2</mn></mfrac>"),
        (
            r"\tfrac12 x^23",
            '<mfrac displaystyle="false"><mn>1</mn><mn>2</mn></mfrac>'
            "<msup><mi>x</mi><mn>2</mn></msup><mn>3</mn>",
        ),
        (r"a \mathrel{+}= b", "<mi>a</mi><mo>+=</mo><mi>b</mi>"),
        (r"\log x", '<mi>log</mi><mspace width="0.17em"></mspace><mi>x</mi>'),
        (r"\text{so that }", "<mtext>so that </mtext>"),
        (r"\mathrm{nll}", '<mi mathvariant="normal">nll</mi>'),
        ("a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"),
        (
            r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
            '<mrow class="fence round"><mtable>'
            "<mtr><mtd><mrow><mn>1</mn></mrow></mtd><mtd><mrow><mn>2</mn></mrow></mtd></mtr>"
            "<mtr><mtd><mrow><mn>3</mn></mrow></mtd><mtd><mrow><mn>4</mn></mrow></mtd></mtr>"
            "</mtable></mrow>",
        ),
    ],
)
def test_formulas_become_mathml(latex, expected):
    content = re.fullmatch(r"<math [^>]*><mrow>(.*)</mrow></math>", mathml(latex))[1]
    assert content == expected


def test_sums_carry_their_limits_below_where_there_is_room():
    assert "<munder><mo>∑</mo><mi>b</mi></munder>" in mathml(r"\sum_b x", display=True)
    assert "<msub><mo>∑</mo><mi>b</mi></msub>" in mathml(r"\sum_b x")


@pytest.mark.parametrize("latex", [r"\choose", "{a", "a}", r"\left( a", "x_", r"\begin{pmatrix} 1"])
def test_formulas_that_cannot_be_read_are_named(latex):
    with pytest.raises((ValueError, IndexError)):
        mathml(latex)


def test_markdown_becomes_html():
    assert plain("# A *b*\n\ntext **c** `d`\nmore") == (
        '<h1 id="a-b">A <em>b</em></h1>\n<p>text <strong>c</strong> <code>d</code>\nmore</p>'
    )
    assert plain("- one\n  and\n- two\n") == "<ul><li>one\nand</li><li>two</li></ul>"
    assert "<td>1</td><td></td>" in plain("| a | b |\n|---|---|\n| 1 | |")
    assert plain("```text f()\n<b>\n```") == '<pre class="text"><code>&lt;b&gt;</code></pre>'
    assert plain("[a](b.md) ![c](d.png)") == (
        '<p><a href="B.MD">a</a> <img src="data:d.png" alt="c"></p>'
    )
    assert plain("<!-- live: valley -->") == "<valley>"
    folded = plain("<details>\n<summary>Why `x`?</summary>\n\nBecause.\n</details>")
    assert "<summary>Why <code>x</code>?</summary><p>Because.</p>" in folded


def test_a_line_of_formulas_may_break_at_spaces_and_outer_signs_of_equality():
    made = plain("```math\nf(a = 1) = \\frac{b = c}{d} = e \\qquad\\qquad g \\mathrel{+}= h\n```")
    parts = [re.findall('alttext="(.*?)"', span) for span in re.findall("<span>.*?</span>", made)]
    assert parts == [["f(a = 1)", r"= \frac{b = c}{d}", "= e"], [r"g \mathrel{+}= h"]]


def test_what_is_no_mark_is_shown_as_text():
    name = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{facts}}&"
    for text in (name, f"# {name}", f"- {name}", f"| {name} |\n|---|\n| {name} |", f"`{name}`"):
        assert not re.search(r"<(script|img|/script)", plain(text))
    with pytest.raises(ValueError, match="files beside them"):
        plain("[a](javascript:alert)")
    whole = page(name, "<p>body</p>", ["p {}"], ["facts;"], {"name": name})
    assert whole.count("<script") == 3
    assert whole.count("</script>") == 3
    assert json.loads(re.search(r'id="facts">(.*?)</script>', whole)[1])["name"] == name


def test_the_site_leads_everywhere_and_needs_nothing_else():
    assert {f"{lesson.stem}.html" for lesson in PAGES} | {"index.html"} <= set(HTML)
    for name, text in HTML.items():
        targets = {
            target
            for target in re.findall(r"""\b(?:href|src)="([^"]*)""", text)
            if not target.startswith("data:")
        }
        assert {target.partition("#")[0] for target in targets} <= set(SITE), name
        assert "default-src 'none'" in text
        assert "unsafe" not in text
        assert not re.search(
            r"\b(fetch|XMLHttpRequest|import|WebSocket)\s*\(|https?://(?!www\.w3)", text
        )
        assert "{{" not in text
        content = re.sub(r"<(code|script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
        assert "$" not in content
        assert "```" not in content


def test_every_lesson_has_a_live_figure_and_a_question_to_predict():
    for lesson in PAGES:
        made = HTML[f"{lesson.stem}.html"]
        assert 'data-figure="' in made, lesson.stem
        assert "<summary>Predict: " in made, lesson.stem


def test_the_pages_hold_what_the_lessons_hold():
    for lesson in PAGES:
        text, made = lesson.read_text(), HTML[f"{lesson.stem}.html"]
        inline = len(re.findall(r"\$`[^`\n]+`\$", text))
        assert len(re.findall("<math (?!display)", made)) == inline
        assert made.count('<div class="formula">') == text.count("```math")
        assert made.count("<h2") == len(re.findall("^## ", text, re.MULTILINE))
        assert made.count("<pre") == text.count("```") // 2 - text.count("```math")


@pytest.mark.parametrize("lesson", [PAGES[i] for i in (0, 1, 4)], ids=lambda lesson: lesson.stem)
def test_a_notebook_prints_what_its_lesson_quotes(lesson):
    made = json.loads(notebooks()[f"{lesson.stem}.ipynb"])
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in made["cells"]}) == len(made["cells"])
    names, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for cell in made["cells"]:
            if cell["cell_type"] == "code":
                exec(cell["source"], names)
    output = printed.getvalue().splitlines()
    assert [difference(block, output) for block in blocks(lesson, "text")].count(None) == len(
        blocks(lesson, "text")
    )
    prose = "".join(cell["source"] for cell in made["cells"] if cell["cell_type"] == "markdown")
    assert "$`" not in prose
    assert "```math" not in prose
    assert any("attachments" in cell for cell in made["cells"])


def test_every_block_that_a_script_prints_has_its_cell():
    for lesson in PAGES:
        called = re.findall(r"^```text (?!long)(.*)$", lesson.read_text(), re.MULTILINE)
        assert len(called) >= 3, lesson
        for code in called:
            compile(code, lesson.name, "exec")


def test_the_command_writes_and_opens(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(click, "launch", opened.append)
    folder = tmp_path / "new" / "book"
    done = CliRunner().invoke(main, ["learn", "--out", str(folder), "--notebook"])
    assert done.exit_code == 0, done.output
    assert opened == [str(folder / "index.html")]
    made = {path.name for path in folder.iterdir()}
    assert made == {*SITE, *(f"{lesson.stem}.ipynb" for lesson in PAGES)}
    assert (folder / "index.html").read_text() == SITE["index.html"]
    done = CliRunner().invoke(main, ["learn", "--no-open", "--out", str(folder)])
    assert done.exit_code == 0
    assert len(opened) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = CliRunner().invoke(main, ["learn", "--no-open", "--out", str(tmp_path / "file" / "x")])
    assert done.exit_code == 1
    assert re.fullmatch(
        r"Error: .*file/x/index.html cannot be written: Not a directory\n", done.stderr
    )


def test_help_says_whole_sentences():
    for arguments in ([], ["exercise"]):
        text = CliRunner().invoke(main, [*arguments, "--help"]).output
        assert "..." not in text.partition("Commands:")[2]
    for name, (_, says) in COMMANDS.items():  # which are not imported for it
        assert main.commands[name].get_short_help_str(limit=1000) == says
    text = " ".join(CliRunner().invoke(main, ["train", "--help"]).output.split())
    for option in ("--beta", "--latent", "--hidden", "--lr"):
        words = text.partition(f" {option} ")[2].partition("[default")[0]
        assert len(words.split()) > 5, option
