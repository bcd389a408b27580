"""Each promise of the page beside has tests, and these bear its number."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_each_promise_names_tests_that_exist_and_bear_its_number() -> None:
    """S1 to S24, none left out."""
    rows = re.findall(r"^\| S(\d+) \|.*\|(.*)\|$", (ROOT / "tests/contracts/README.md").read_text(), flags=re.M)
    faults = []
    for number, tests in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        if not named:
            faults.append(f"S{number} names no test")
        for path, name in named:
            source = (ROOT / path).read_text() if (ROOT / path).exists() else ""
            found = re.search(rf"def {name}\(.*?(?=\n(?:async )?def |\n@|\Z)", source, flags=re.S)
            if found is None:
                faults.append(f"S{number}: {path}::{name} is not there")
            elif f"_s{int(number):02}_" not in name and not re.search(rf"\bS{number}\b", found[0]):
                faults.append(f"S{number}: {path}::{name} does not bear its number")

    assert [] == faults
    assert [str(number) for number in range(1, 25)] == [number for number, _ in rows]
