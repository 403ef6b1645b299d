"""`liveroom catalogue check`: what an author reads before uploading."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.cli import DATA, FAILED, main


def check(*words: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(main, ["catalogue", "check", *words])
    return result.exit_code, result.output


def test_a_good_file_says_how_much_is_in_it(tmp_path: Path) -> None:
    """Exit code 0, and the number of rows."""
    file = tmp_path / "a.csv"
    file.write_text("product,price\np1,9.9\np2,39\n", encoding="utf-8-sig")

    assert check(str(file)) == (0, f"{file}: 2 products, nothing to mend\n")


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("a.csv", "product,price\np1,9.999\n", (), "a.csv:2: price: '9.999' has 3 decimals, CNY has 2"),
        (
            "a.csv",
            "product,price\np1,9.9\n",
            ("--currency", "JPY"),
            "a.csv:2: price: '9.9' has 1 decimals, JPY has none",
        ),
        ("a.toml", "[[products]]\nname = 'a'\n", (), "a.toml: table 1, product: is missing"),
        ("a.TOML", "[[products]\n", (), "a.TOML: not valid TOML (line 1)"),
        ("a.csv", "order,product\n1,a\n1,b\n", ("--rundown",), "a.csv:3: order: is already in row 2"),
    ],
)
def test_each_problem_is_a_line_that_an_editor_can_follow(
    tmp_path: Path, name: str, text: str, options: tuple[str, ...], said: str
) -> None:
    """file:line: column: problem, and the exit code of bad data."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    code, output = check(str(file), *options)

    assert code == DATA
    assert output.startswith(str(tmp_path / said))


def test_a_file_that_is_not_there_is_the_operators_error(tmp_path: Path) -> None:
    """No traceback: the message says what to give."""
    code, output = check(str(tmp_path / "none.csv"))

    assert code == FAILED
    assert "give a CSV or TOML file" in output
