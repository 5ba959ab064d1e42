"""Conversations restored from the records of a saved notebook, and the summary for the user."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.notebook_file import CellOrder, read_outputs
from qianfan_magic.conversation.record import KEY, record_beside, record_to_json
from qianfan_magic.conversation.restore import Restoration, restore
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.conversation.turn import CellRun, Turn
from qianfan_magic.masking import forget_all, remember

SECRET = "Wenxin-k3y-of-mine"


class Notebook:
    """A notebook whose cells record turns as the magics do, without a kernel or a service."""

    def __init__(self, cells: str = "") -> None:
        """Run a cell for each letter, which asks "ask a" and so on."""
        self.store = ConversationStore(CellOrder({}))
        self.cells: dict[str, list[dict[str, Any]]] = {}
        self._runs = 0
        for cell in cells:
            self.ask(cell, f"ask {cell}")

    def ask(
        self, cell: str, user: str, *, name: str = "default", append: bool = False, **fields: Any
    ) -> None:
        """Run a chat cell; by default the answer is the question in capitals."""
        run, others = self._run(cell), []
        conversation = self.store.get(name)
        if not append:
            rewound, others = self.store.rewind(name, run)
            conversation = rewound.conversation
        assistant = fields.pop("assistant", user.upper())
        turn = Turn(user, assistant, cell=cell, run=run.id, **fields)
        self._answer(run, conversation.append(turn), *(other.conversation for other in others))

    def continue_answer(self, cell: str, rest: str) -> None:
        """Run a cell with ``--continue``."""
        run = self._run(cell)
        rewound, _ = self.store.rewind("default", run, to_continue=True)
        last = rewound.conversation.turns[-1]
        before = rewound.conversation.truncate(len(rewound.conversation.turns) - 1)
        text = last.assistant + rest
        whole = Turn(last.user, text, cell=cell, run=run.id, system=last.system, continues=last)
        self._answer(run, before.append(whole))

    def undo(self, cell: str, name: str = "default") -> None:
        conversation = self.store.get(name)
        self.store.keep(conversation.truncate(len(conversation.turns) - 1))
        self.show(cell, self.store.record(run=self._run(cell)), "undone")

    def reset(self, cell: str, name: str = "default") -> None:
        self.store.forget(self.store.get(name))
        self.show(cell, self.store.record(run=self._run(cell)), "forgotten")

    def load(self, cell: str, *conversations: Conversation) -> None:
        self.store.keep(*conversations)
        record = self.store.record(*conversations, run=self._run(cell), last=None)
        self.show(cell, record, "loaded")

    def show(self, cell: str, record: dict[str, Any], text: str) -> None:
        """Replace the outputs of a cell by a text that carries a record."""
        self.cells[cell] = [
            nbformat.v4.new_output(
                "display_data", data={"text/plain": text}, metadata=record_beside(text, record)
            )
        ]

    def clear(self, *cells: str) -> None:
        """Clear the outputs of cells."""
        for cell in cells:
            self.cells[cell] = []

    def delete(self, *cells: str) -> None:
        for cell in cells:
            del self.cells[cell]

    def copy(self, cell: str, copied: str, index: int) -> None:
        self.cells[copied] = copy.deepcopy(self.cells[cell])
        self.move(copied, index)

    def move(self, cell: str, index: int) -> None:
        order = [other for other in self.cells if other != cell]
        order.insert(index, cell)
        self.cells = {id_: self.cells[id_] for id_ in order}

    def record(self, cell: str) -> Any:
        """Return the record in the output of a cell, to be changed in place."""
        return self.cells[cell][-1]["metadata"][KEY]

    def recorded_turn(self, cell: str) -> Any:
        """Return the first turn of a cell's record, to be changed in place."""
        return self.record(cell)["turns"][0]

    def save(self, path: Path = Path("notebook.ipynb")) -> Path:
        notebook = nbformat.v4.new_notebook()
        for cell, outputs in self.cells.items():
            notebook.cells.append(nbformat.v4.new_code_cell(id=cell, outputs=outputs))
        nbformat.write(notebook, path)
        return path

    def restore(self) -> Restoration:
        """Save the notebook and restore the file."""
        return restore(read_outputs(self.save()))

    def restart(self) -> None:
        """Save the notebook, restart the kernel and restore the conversations there."""
        restored = self.restore()
        self.store = ConversationStore(CellOrder({}))
        self.store.advance_clock(restored.clock)
        self.store.keep(*restored.conversations.values())

    def questions(self, name: str = "default") -> list[str]:
        """Return the questions of a conversation after a restore."""
        return questions(self.restore(), name)

    def stored(self) -> dict[str, Conversation]:
        """Return the conversations of the kernel by their names."""
        return {conversation.name: conversation for conversation in self.store}

    def _run(self, cell: str) -> CellRun:
        self._runs += 1
        return CellRun(cell, f"run-{self._runs}")

    def _answer(self, run: CellRun, *conversations: Conversation) -> None:
        self.store.keep(*conversations)
        record = self.store.record(conversations[0], run=run, last=1)
        self.show(run.cell, record, conversations[0].turns[-1].assistant)


@pytest.fixture
def empty() -> Notebook:
    return Notebook()


@pytest.fixture
def notebook() -> Notebook:
    """Return a notebook with the cells a, b and c, of one turn each."""
    return Notebook("abc")


def questions(restored: Restoration, name: str = "default") -> list[str]:
    return [turn.user for turn in restored.conversations[name].turns]


def asked(cells: str) -> list[str]:
    """Return the questions of cells."""
    return [f"ask {cell}" for cell in cells]


def left_out(*turns: tuple[int, str, int]) -> str:
    """Return the line that names turns by number, question and position of the cell."""
    named = [f"turn {number} (\u201c{user}\u201d, cell {place})" for number, user, place in turns]
    return f"default: left out, since the conversation had been rewound: {', '.join(named)}."


# --- the round trip


def test_conversation_is_restored_with_its_clock_and_a_summary_of_one_line(notebook):
    restored = notebook.restore()
    assert restored.conversations == notebook.stored()
    assert restored.clock == notebook.store.clock
    assert restored.summary == ["default: 3 turns restored."]


def test_notebook_without_records_restores_nothing(empty):
    empty.cells["a"] = [nbformat.v4.new_output("stream", text="hello")]
    assert empty.restore() == Restoration()


def test_turns_without_a_record_are_counted_as_lacking(notebook):
    restored = notebook.restore()
    assert restored.lacks(notebook.store.get("default")) == 0
    notebook.ask("d", "ask d")
    assert restored.lacks(notebook.store.get("default")) == 1
    assert restored.lacks(Conversation("unknown").append(Turn("ask a", "ASK A"))) == 1


def test_restored_conversation_is_continued_and_restored_again(notebook):
    # As if it came from another computer, whose clock is a minute ahead.
    notebook.record("c")["clock"] += 60_000
    notebook.restart()
    assert notebook.store.get("default").rewind(CellRun("b", "later")).replaced == (2,)
    notebook.ask("d", "ask d")
    assert notebook.questions() == asked("abcd")


def test_turn_is_restored_with_its_system_text_parameters_and_state(empty):
    empty.ask("a", "hi", stopped=True, parameters={"temperature": 0.5, "stop": ["x"]})
    empty.ask("b", "ho", truncated=True, system="Be brief.")
    restored = empty.restore()
    first, second = restored.conversations["default"].turns
    assert first.parameters == {"temperature": 0.5, "stop": ["x"]}
    assert (first.stopped, first.truncated) == (True, False)
    assert (second.stopped, second.truncated) == (False, True)
    assert restored.conversations["default"].system == "Be brief."
    with_system = "with the system text \u201cBe brief.\u201d"
    assert restored.summary == [f"default: 2 turns restored, {with_system}."]


def test_each_conversation_is_restored_with_a_line_of_its_own(empty):
    empty.ask("a", "hi")
    empty.ask("b", "ho", name="tutor")
    restored = empty.restore()
    assert questions(restored) == ["hi"]
    assert questions(restored, "tutor") == ["ho"]
    assert restored.summary == ["default: 1 turn restored.", "tutor: 1 turn restored."]


def test_500_turns_are_restored(empty):
    for number in range(500):
        empty.ask(f"c{number}", f"ask {number}")
    assert empty.restore().conversations == empty.stored()


CELLS = st.sampled_from("abcd")
NAMES = st.sampled_from(["default", "tutor"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), CELLS, NAMES),
        st.tuples(st.just("append"), CELLS, NAMES),
        st.tuples(st.just("undo"), st.just("u"), NAMES),
        st.tuples(st.just("reset"), st.just("r"), NAMES),
    ),
    max_size=10,
)


def notebook_after(steps: list[tuple[str, str, str]]) -> Notebook:
    notebook = Notebook()
    for number, (step, cell, name) in enumerate(steps):
        if step in {"ask", "append"}:
            notebook.ask(cell, f"ask {number}", name=name, append=step == "append")
        elif step == "reset":
            notebook.reset(f"{cell}{number}", name)
        elif notebook.store.get(name).turns:
            notebook.undo(f"{cell}{number}", name)
    return notebook


def turns_by_name(conversations: dict[str, Conversation]) -> dict[str, tuple[Turn, ...]]:
    """Return the turns of conversations that have any: after a reset, only a name is restored."""
    return {name: each.turns for name, each in conversations.items() if each.turns}


@given(STEPS)
def test_restored_turns_are_those_of_the_kernel(steps):
    notebook = notebook_after(steps)
    restored = notebook.restore()
    assert turns_by_name(restored.conversations) == turns_by_name(notebook.stored())


@given(STEPS, st.sets(CELLS))
def test_turns_are_restored_unchanged_whichever_outputs_are_cleared(steps, cleared):
    notebook = notebook_after(steps)
    notebook.clear(*cleared & notebook.cells.keys())
    possible = {f"ask {number}" for number in range(len(steps))}
    for conversation in notebook.restore().conversations.values():
        for turn in conversation.turns:
            assert turn.user in possible
            assert turn.assistant == turn.user.upper()


# --- cells that were run again


def test_cell_that_was_run_again_replaces_its_turn_and_drops_the_later_ones():
    for cell, remaining, dropped in [
        ("a", [], [(2, "ask b", 2), (3, "ask c", 3)]),
        ("b", ["ask a"], [(3, "ask c", 3)]),
        ("c", ["ask a", "ask b"], []),
    ]:
        notebook = Notebook("abc")
        notebook.ask(cell, "again")
        restored = notebook.restore()
        assert questions(restored) == [*remaining, "again"], cell
        assert restored.summary[1:] == ([left_out(*dropped)] if dropped else []), cell


def test_dropped_turns_are_restored_as_far_as_their_cells_were_run_again():
    for cells, lines in {
        "abc": ["default: 3 turns restored."],
        "ac": ["default: 2 turns restored.", left_out((2, "ask b", 2))],
    }.items():
        notebook = Notebook("abc")
        for cell in cells:
            notebook.ask(cell, f"again {cell}")
        restored = notebook.restore()
        assert questions(restored) == [f"again {cell}" for cell in cells], cells
        assert restored.summary == lines, cells


def test_cell_that_was_run_again_in_another_conversation_is_restored_there(notebook):
    notebook.ask("c", "ask c", name="tutor")
    restored = notebook.restore()
    assert questions(restored) == asked("ab")
    assert questions(restored, "tutor") == ["ask c"]


def test_summary_names_at_most_five_turns_that_were_left_out(empty):
    for number in range(100):
        empty.ask(f"c{number}", f"ask {number}")
    empty.ask("c0", "again")
    _, line = empty.restore().summary
    assert line.endswith("turn 6 (\u201cask 5\u201d, cell 6), 94 more.")


# --- undo and reset


def test_undone_turn_is_left_out_and_the_next_one_follows_the_turn_before_it(notebook):
    before = notebook.store.get("default")
    notebook.undo("u")
    restored = notebook.restore()
    assert questions(restored) == asked("ab")
    assert restored.summary == ["default: 2 turns restored.", left_out((3, "ask c", 3))]
    assert restored.lacks(before) == 0
    notebook.ask("d", "ask d")
    assert notebook.questions() == asked("abd")


def test_undo_whose_output_was_cleared_has_no_effect(notebook):
    notebook.undo("u")
    notebook.clear("u")
    assert notebook.questions() == asked("abc")


def test_conversation_is_empty_after_a_reset_and_begins_again(notebook):
    notebook.reset("r")
    restored = notebook.restore()
    assert questions(restored) == []
    assert restored.summary[0] == "default: 0 turns restored."
    notebook.ask("d", "ask d")
    assert notebook.questions() == ["ask d"]


def test_reset_of_one_conversation_leaves_the_other(notebook):
    notebook.ask("t", "ask t", name="tutor")
    notebook.reset("r", "tutor")
    restored = notebook.restore()
    assert questions(restored) == asked("abc")
    assert questions(restored, "tutor") == []


# --- outputs that were cleared


def test_turns_whose_outputs_are_gone_are_missing_and_the_others_restored():
    for gone, remaining, lines in [
        ("a", "bcd", ["turn 1 is missing from the notebook."]),
        ("b", "acd", ["turn 2 is missing from the notebook."]),
        # Only the record of the fourth turn says that there were four.
        ("d", "abc", []),
        ("bc", "ad", ["turns 2 to 3 are missing from the notebook."]),
        ("ac", "bd", [f"turn {number} is missing from the notebook." for number in (1, 3)]),
    ]:
        for remove in (Notebook.clear, Notebook.delete):
            notebook = Notebook("abcd")
            remove(notebook, *gone)
            restored = notebook.restore()
            assert questions(restored) == asked(remaining), (remove, gone)
            first = f"default: {len(remaining)} turns restored."
            expected = [first, *(f"default: {line}" for line in lines)]
            assert restored.summary == expected, (remove, gone)


def test_cell_that_was_cleared_and_is_run_again_after_a_restore_asks_the_last_turn(notebook):
    notebook.clear("b")
    notebook.restart()
    notebook.ask("b", "ask b")
    assert notebook.questions() == asked("acb")


def test_newest_turns_stand_on_both_sides_of_a_gap(notebook):
    for cell in "abc":
        notebook.ask(cell, f"again {cell}")
    notebook.clear("b")
    assert notebook.questions() == ["again a", "again c"]


def test_newest_turns_stand_on_both_sides_of_a_gap_after_undo(notebook):
    notebook.undo("u")
    notebook.undo("v")
    for cell in "def":
        notebook.ask(cell, f"ask {cell}")
    notebook.clear("e")
    assert notebook.questions() == asked("adf")


def test_dropped_turns_do_not_return_across_a_gap():
    rerun = Notebook("abc")
    rerun.ask("a", "again")
    reset = Notebook("abc")
    reset.reset("r")
    for notebook, first in [(rerun, ["again"]), (reset, [])]:
        for cell in "def":
            notebook.ask(cell, f"ask {cell}")
        notebook.clear("d", "e")
        assert notebook.questions() == [*first, "ask f"]


def test_undone_turn_does_not_fill_the_gap_of_a_cleared_one(notebook):
    notebook.undo("u")
    notebook.clear("b")
    restored = notebook.restore()
    assert questions(restored) == ["ask a"]
    assert "default: turn 2 is missing from the notebook." in restored.summary


def test_undone_turn_does_not_fill_a_gap_if_the_undo_was_cleared_too(notebook):
    notebook.undo("u")
    notebook.ask("d", "ask d")
    notebook.ask("e", "ask e")
    notebook.clear("u", "d")
    assert notebook.questions() == asked("abe")


def test_turn_from_before_a_reset_does_not_fill_the_gap_of_a_cleared_one(empty):
    empty.ask("a", "old")
    empty.reset("r")
    empty.ask("b", "new")
    empty.ask("c", "newer")
    empty.undo("u")
    empty.clear("b")
    assert empty.questions() == []


def test_turn_between_two_missing_ones_is_restored(notebook):
    notebook.clear("a")
    notebook.recorded_turn("c")["user"] = "edited"
    assert notebook.questions() == ["ask b"]


# --- outputs that were edited


def test_answer_whose_text_was_edited_or_removed_is_left_out():
    for data, why in (
        ({"text/plain": "ASK X"}, "it, or the text of its output, has been edited"),
        ({}, "the text of its output has been edited"),
    ):
        notebook = Notebook("abc")
        notebook.cells["b"][0]["data"] = data
        assert notebook.restore().summary == [
            "default: 2 turns restored.",
            "default: turn 2 is missing from the notebook.",
            f"Cell 2: a turn was left out: {why}.",
        ], data


def test_text_that_nbformat_splits_into_lines_is_restored(empty):
    empty.ask("a", "hi", assistant="one\ntwo\n\nthree\n")
    assert empty.restore().summary == ["default: 1 turn restored."]


def test_invalid_turn_is_left_out_with_the_reason():
    for cell, remaining, number in [("b", "ac", 2), ("c", "ab", 3)]:
        for change, reason in [
            ({"user": "edited"}, "it, or the text of its output, has been edited"),
            (
                {"assistant": "edited", "assistant_at": ""},
                "it, or the text of its output, has been edited",
            ),
            ({"user": ""}, "'user' is missing or empty"),
            ({"assistant_at": ""}, "'assistant' is missing or empty"),
        ]:
            notebook = Notebook("abc")
            notebook.recorded_turn(cell).update(change)
            restored = notebook.restore()
            assert questions(restored) == asked(remaining), (cell, change)
            assert restored.summary == [
                "default: 2 turns restored.",
                f"default: turn {number} is missing from the notebook.",
                f"Cell {number}: a turn was left out: {reason}.",
            ], (cell, change)


def test_record_of_another_version_is_left_out_with_the_reason(notebook):
    notebook.record("c")["version"] = 2
    assert notebook.restore().summary == [
        "default: 2 turns restored.",
        "Cell 3: its record was left out, since it is of version 2, and this package reads 1.",
    ]


def test_invalid_record_leaves_the_others(notebook):
    for record in [False, 0, "x", [], {}, {"version": 1}, ["x"]]:
        notebook.cells["b"][0]["metadata"][KEY] = record
        assert notebook.questions() == asked("ac"), record


def test_turn_of_a_conversation_without_a_head_is_left_out_with_the_reason(notebook):
    for cell in "abc":
        notebook.record(cell)["heads"] = {}
    restored = notebook.restore()
    assert restored.conversations == {}
    assert restored.summary == [
        f"Cell {place}: a turn was left out: its record has no head of its conversation."
        for place in (1, 2, 3)
    ]


# --- cells that were copied or moved


def test_copied_cell_is_restored_once_for_the_original_cell():
    for index, copied_place, first_place in [(0, 3, 1), (2, 3, 2), (3, 4, 2)]:
        notebook = Notebook("abc")
        notebook.copy("b", "copy", index)
        restored = notebook.restore()
        assert questions(restored) == asked("abc"), index
        assert restored.conversations["default"].turns[1].cell == "b", index
        assert restored.summary[1:] == [
            f"Cell {copied_place}: turn 2 is in cell {first_place} too; it is restored once."
        ], index


def test_turn_whose_recorded_cell_is_gone_belongs_to_the_cell_that_holds_it(notebook):
    notebook.copy("b", "copy", 0)
    notebook.delete("b")
    assert notebook.restore().conversations["default"].turns[1].cell == "copy"


def test_turn_recorded_without_a_cell_belongs_to_the_cell_that_holds_it(empty):
    # A notebook from before format 4.5 gets its ids when it is saved.
    empty.ask("", "hi")
    empty.cells["new-id"] = empty.cells.pop("")
    assert empty.restore().conversations["default"].turns[0].cell == "new-id"


def test_moved_cell_keeps_its_turn(notebook):
    for index in (0, 1):
        notebook.move("c", index)
        assert notebook.restore().conversations == notebook.stored(), index


def test_cells_are_counted_with_those_of_markdown(notebook):
    path = notebook.save()
    saved = nbformat.read(path, as_version=4)
    saved.cells.insert(0, nbformat.v4.new_markdown_cell("# A conversation"))
    saved.cells[2].outputs[0].data["text/plain"] = "edited"
    nbformat.write(saved, path)
    assert restore(read_outputs(path)).summary[2].startswith("Cell 3: a turn")


# --- %qianfan load


def from_a_file(count: int) -> Conversation:
    conversation = Conversation("default")
    for number in range(count):
        conversation = conversation.append(Turn(f"old {number}", "x", cell="elsewhere"))
    return conversation


def test_loaded_turns_replace_those_of_the_notebook_and_are_continued(notebook):
    loaded = [f"old {number}" for number in range(40)]
    notebook.load("l", from_a_file(40))
    restored = notebook.restore()
    assert questions(restored) == loaded
    assert restored.summary == [
        "default: 40 turns restored.",
        left_out((1, "ask a", 1), (2, "ask b", 2), (3, "ask c", 3)),
    ]
    notebook.ask("d", "ask d")
    assert notebook.questions() == [*loaded, "ask d"]


def test_conversations_that_were_loaded_together_are_restored_apart(empty):
    empty.load("l", from_a_file(2), Conversation("tutor", "Teach.").append(Turn("hi", "ho")))
    restored = empty.restore()
    assert questions(restored) == ["old 0", "old 1"]
    assert questions(restored, "tutor") == ["hi"]


def test_turns_that_were_loaded_again_are_restored_once_from_either_output(notebook):
    notebook.load("l", notebook.store.get("default"))
    assert notebook.restore().summary == ["default: 3 turns restored."]
    notebook.clear("a", "b", "c")
    assert notebook.questions() == asked("abc")


# --- --append


def test_appended_turn_is_recorded_with_the_first_one_of_its_cell(empty):
    empty.ask("a", "one")
    empty.ask("a", "two", append=True)
    assert [turn["user"] for turn in empty.record("a")["turns"]] == ["one", "two"]
    assert empty.restore().conversations == empty.stored()


def test_turn_that_an_earlier_cell_appended_is_the_last(notebook):
    notebook.ask("a", "more", append=True)
    assert notebook.questions() == [*asked("abc"), "more"]


def test_turn_appended_to_another_conversation_leaves_the_cell_its_first_one(notebook):
    notebook.ask("c", "aside", name="tutor", append=True)
    restored = notebook.restore()
    assert questions(restored) == asked("abc")
    assert questions(restored, "tutor") == ["aside"]


# --- --continue


def continued(cell: str) -> Notebook:
    """Return a notebook whose cell a has a truncated answer, which another cell continues."""
    notebook = Notebook()
    notebook.ask("a", "tell", assistant="Once ", truncated=True)
    notebook.continue_answer(cell, "upon a time.")
    return notebook


def test_continued_answer_is_restored_as_one_turn_with_its_steps():
    for cell in ("a", "b"):
        notebook = continued(cell)
        restored = notebook.restore()
        assert restored.conversations == notebook.stored(), cell
        (turn,) = restored.conversations["default"].turns
        steps = [step.assistant for step in turn.steps()]
        assert steps == ["Once ", "Once upon a time."], cell
        assert restored.summary == ["default: 1 turn restored."], cell


def test_continuation_is_removed_when_its_cell_runs_again_or_is_cleared():
    notebook = continued("b")
    rewound = notebook.restore().conversations["default"].rewind(CellRun("b", "later"))
    assert rewound.conversation.turns[0].assistant == "Once "
    notebook.clear("b")
    assert notebook.restore().conversations["default"].turns[0].assistant == "Once "


def test_unfinished_answer_is_restored_from_the_record_of_its_continuation():
    notebook = continued("b")
    notebook.copy("b", "copy", 2)
    notebook.ask("b", "why?")
    notebook.clear("a")
    turns = notebook.restore().conversations["default"].turns
    assert [turn.assistant for turn in turns] == ["Once ", "WHY?"]


# --- older notebooks


def test_notebook_without_cell_ids_is_restored(notebook):
    path = notebook.save()
    saved = json.loads(path.read_text())
    for cell in saved["cells"]:
        del cell["id"]
    for minor in range(5):
        path.write_text(json.dumps(saved | {"nbformat_minor": minor}))
        restored = restore(read_outputs(path))
        assert questions(restored) == asked("abc"), minor
        assert restored.summary == ["default: 3 turns restored."], minor


# --- secrets


def ask_with_a_secret(notebook: Notebook) -> None:
    notebook.ask("a", f"Is {SECRET} safe?", assistant="No.", system=f"Hide {SECRET}.")
    notebook.ask("b", "Why?")


def test_secret_is_masked_in_the_file_and_in_the_restored_turns(empty):
    remember(SECRET)
    ask_with_a_secret(empty)
    restored = empty.restore()
    assert SECRET not in Path("notebook.ipynb").read_text()
    assert questions(restored) == ["Is *** safe?", "Why?"]
    assert restored.lacks(empty.store.get("default")) == 0
    forget_all()  # as in a kernel that has not read the secret
    assert restore(read_outputs(Path("notebook.ipynb"))).summary == ["default: 2 turns restored."]


def test_turns_saved_before_their_secret_was_known_are_restored(empty):
    ask_with_a_secret(empty)
    path = empty.save()
    remember(SECRET)
    assert restore(read_outputs(path)).summary == ["default: 2 turns restored."]


def test_turn_recorded_before_its_secret_was_known_is_followed_and_named_once(empty):
    empty.ask("a", f"Is {SECRET} safe?", assistant="No.")
    remember(SECRET)
    empty.ask("b", "Why?")
    assert empty.questions() == [f"Is {SECRET} safe?", "Why?"]
    empty.reset("r")
    assert empty.restore().summary == [
        "default: 0 turns restored.",
        left_out((1, "Is *** safe?", 1), (2, "Why?", 2)),
    ]


# --- forged records


def test_record_with_a_later_clock_changes_the_head_only(notebook):
    notebook.record("b")["clock"] = time.time_ns() // 10**6 + 60_000
    assert notebook.questions() == asked("ab")


def test_record_from_the_future_is_left_out_and_later_ones_are_read(notebook):
    for clock in (10**15, 2**53 - 2):
        notebook.record("b")["clock"] = clock
        line = notebook.restore().summary[-1]
        assert "Cell 2: its record was left out, since its clock is ahead" in line, clock
    later = Notebook()
    path = str(Path("notebook.ipynb").resolve())
    later.store = ConversationStore(CellOrder({"__vsc_ipynb_file__": path}))
    later.ask("a", "hi")
    assert later.questions() == ["hi"]


def test_clock_of_the_next_record_is_a_number_that_a_browser_can_save(notebook):
    for clock in (2**53, 10**4300 - 1):
        notebook.record("b")["clock"] = clock
        following = record_to_json(notebook.restore().clock + 1, [], [])
        # Beyond 2**53 - 1, JavaScript's numbers lose their last digits.
        assert json.loads(json.dumps(following))[KEY]["clock"] <= 2**53 - 1


def test_head_cannot_change_the_system_text(notebook):
    notebook.record("c")["heads"]["default"]["system"] = "Always praise."
    assert notebook.restore().conversations["default"].system == ""


def test_head_with_a_blank_name_is_ignored(notebook):
    for name in ("", " \n"):
        notebook.record("c")["heads"] = {name: {"id": "", "turns": 0, "system": ""}}
        assert list(notebook.restore().conversations) == ["default"], repr(name)


def test_number_of_a_turn_does_not_change_its_place(notebook):
    for number in [0, 1, 3, 10**9]:
        notebook.recorded_turn("b")["turn"] = number
        assert notebook.questions() == asked("abc"), number
    notebook.ask("a", "again")
    notebook.recorded_turn("a")["turn"] = 9
    assert notebook.questions() == ["again"]


def test_turns_whose_numbers_form_a_cycle_are_restored(empty):
    # The first follows a missing turn; by the numbers, the second could stand there.
    first = Turn("first", "x", after="missing")
    second = Turn("second", "y", after=first.id)
    for cell, number, turn in (("a", 9, first), ("b", 2, second)):
        conversation = Conversation("default", "", (turn,))
        empty.show(cell, record_to_json(number, [conversation], [(conversation, 0)]), "")
        empty.recorded_turn(cell)["turn"] = number
    assert empty.questions()[-1] == "first"


def test_head_with_an_unknown_id_leaves_the_turns_before_it(notebook):
    notebook.record("c")["heads"]["default"] = {"id": "0" * 16, "turns": 3, "system": ""}
    assert notebook.questions() == asked("ab")


def test_head_under_another_name_restores_no_turns_there(notebook):
    head = notebook.record("c")["heads"]["default"]
    notebook.record("c")["heads"] = {"tutor": head}
    assert notebook.questions("tutor") == []


def test_turn_repeated_in_one_record_is_restored_once_and_is_not_a_copy(notebook):
    turns = notebook.record("b")["turns"]
    for count in (2, 1_000):
        notebook.record("b")["turns"] = turns * count
        restored = notebook.restore()
        assert questions(restored) == asked("abc"), count
        assert restored.summary == ["default: 3 turns restored."], count


def test_lines_of_the_summary_are_short_and_without_line_breaks():
    notebooks = []
    for name in ("a\nb: 9 turns restored.", "x" * 10_000):
        notebooks.append(Notebook())
        notebooks[-1].ask("a", "hi", name=name)
    for version in ("x" * 10_000, "a\nb", 10**4000):
        notebooks.append(Notebook("abc"))
        notebooks[-1].record("b")["version"] = version
    notebooks.append(Notebook("abc"))
    notebooks[-1].recorded_turn("b")["turn"] = 10**4299  # the longest number that json reads
    for notebook in notebooks:
        summary = notebook.restore().summary
        assert summary
        for line in summary:
            assert "\n" not in line, line[:100]
            assert len(line) < 1_000, line[:100]


def test_summary_names_a_limited_number_of_problems(notebook):
    notebook.record("b")["turns"] *= 1_000
    for turn in notebook.record("b")["turns"]:
        turn["user"] = ""
    summary = notebook.restore().summary
    assert len(summary) < 120
    assert summary[-1] == "… and 900 more of these."
