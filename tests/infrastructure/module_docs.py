"""The tables of inputs and outputs in the READMEs of terraform/ and its examples, as terraform-docs lays them out, from the files.

`python -m tests.infrastructure.module_docs` writes them anew; a test holds them against the files. terraform-docs itself is
in none of the package registries that the project installs from.
"""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "terraform"
BEGIN, END = "<!-- BEGIN_TF_DOCS -->", "<!-- END_TF_DOCS -->"


def readmes() -> list[Path]:
    """Those that have tables."""
    return sorted(path for path in FOLDER.rglob("README.md") if BEGIN in path.read_text(encoding="utf-8"))


def written(path: Path) -> str:
    """A README with its tables made anew."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{_tables(path.parent)}\n{END}{after}"


def _tables(folder: Path) -> str:
    inputs = [
        f"| `{name}` | {_description(body)} | `{_of(body, 'type')}` | {_default(body)} |"
        for name, body in _blocks(folder, "variable")
    ]
    outputs = [f"| `{name}` | {_description(body)} |" for name, body in _blocks(folder, "output")]
    return "\n".join(
        [
            "### Inputs\n\n| name | description | type | default |\n|---|---|---|---|",
            *inputs,
            "\n### Outputs\n\n| name | description |\n|---|---|",
            *outputs,
        ]
    )


def _blocks(folder: Path, kind: str) -> list[tuple[str, str]]:
    found = [
        (match[1], match[2])
        for path in sorted(folder.glob("*.tf"))
        for match in re.finditer(
            rf'^{kind} "(\w+)" \{{\n(.*?)^\}}', path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    ]
    return sorted(found)


def _description(body: str) -> str:
    match = re.search(r'^  description = "(.*)"$', body, re.MULTILINE)
    assert match, body
    return match[1].replace('\\"', '"').replace("|", "\\|")


def _of(body: str, argument: str) -> str:
    """An argument's value on one line; of an object, what it is made of."""
    match = re.search(rf"^  {argument}\s+= (.*?)(?=\n(?:  \w|\n|\Z))", body, re.MULTILINE | re.DOTALL)
    assert match, body
    text = re.sub(r"\s+", " ", re.sub(r"(\S)\n\s+(?=\w)", r"\1, ", match[1])).strip()
    return text.replace("({, ", "({ ").replace("|", "\\|")


def _default(body: str) -> str:
    return f"`{_of(body, 'default')}`" if re.search(r"^  default\s+=", body, re.MULTILINE) else "required"


if __name__ == "__main__":
    for each in readmes():
        each.write_text(written(each), encoding="utf-8")
