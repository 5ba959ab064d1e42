"""Whatever happens to the response of a server, a cell fails cleanly or has its answer.

Each fault is tried in a notebook's cell: at each point of a response, for answers that are
streamed or whole, of both kinds and both versions of the API, and for tokens. `docs/faults.md` has
the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.fault_matrix import ATTEMPTS, SECRET, Outcome, outcome
from support.fault_table import fault_table
from support.faulty_answers import Case, cases, odd_cases, tls_cases
from support.notebook import running_shell

from qianfan_magic import QianfanError

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"
Outcomes = dict[Case, Outcome]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("faults")
        patch.chdir(folder)
        for name in ("RETRY_BACKOFF_FACTOR", "RETRY_JITTER"):
            patch.setenv(f"QIANFAN_LLM_API_{name}", "0")
        patch.setenv("QIANFAN_DISABLE_CACHE", "true")
        with running_shell(patch, folder) as shell:
            yield _all_outcomes(shell)


def _all_outcomes(shell: InteractiveShell) -> Outcomes:
    shell.run_line_magic("load_ext", "qianfan_magic")
    return {case: outcome(shell, case) for case in (*cases(), *tls_cases(), *odd_cases())}


def wrong(outcomes: Outcomes, is_right: Callable[[Case, Outcome], object]) -> Outcomes:
    return {case: each for case, each in outcomes.items() if not is_right(case, each)}


def is_answered(case: Case) -> bool:
    return case.point == "odd" and bool(case.arrived)


def test_each_fault_is_an_error_of_the_package_that_says_what_to_do(outcomes):
    def is_right(case: Case, each: Outcome) -> object:
        if is_answered(case):
            return each.error is None
        return isinstance(each.error, QianfanError) and each.hint

    assert wrong(outcomes, is_right) == {}


def test_text_that_has_arrived_is_shown(outcomes):
    def is_right(case: Case, each: Outcome) -> object:
        is_partial = each.partial == ("" if is_answered(case) else case.arrived)
        return is_partial and case.arrived.strip() in each.shown

    assert wrong(outcomes, is_right) == {}


def test_conversation_has_the_answered_turns_alone(outcomes):
    def is_right(case: Case, each: Outcome) -> object:
        return each.turns == is_answered(case)

    assert wrong(outcomes, is_right) == {}


def test_no_connection_and_no_thread_is_left(outcomes):
    left = {str(case): each.left for case, each in outcomes.items() if each.left}
    assert left == {}


def test_no_secret_is_shown_or_logged(outcomes):
    assert wrong(outcomes, lambda _, each: SECRET not in each.shown + each.said) == {}


def test_request_is_sent_again_only_before_the_first_text(outcomes):
    def is_right(case: Case, each: Outcome) -> object:
        return 1 <= each.requests <= (1 if case.arrived else ATTEMPTS)

    assert wrong(outcomes, is_right) == {}


def test_table_of_the_documentation_is_what_happens(outcomes):
    stands = re.search(
        r"<!-- faults: begin -->\n\n(.*?)\n\n<!-- faults: end -->",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    table = fault_table(outcomes)
    print(table)
    assert stands[1] == table, f"The tables should be:\n{table}"
