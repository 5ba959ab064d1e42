"""Conversations restored from notebooks on disk, and the summary for the user."""

from __future__ import annotations

import copy
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.conversation.conversation import Conversation
from qianfan_magic.conversation.notebook_file import CellOrder, read_outputs
from qianfan_magic.conversation.record import KEY, record_to_json, with_digest
from qianfan_magic.conversation.restore import Restoration, restore
from qianfan_magic.conversation.store import ConversationStore
from qianfan_magic.conversation.turn import CellRun, Turn
from qianfan_magic.masking import forget_all, remember

SECRET = "Wenxin-k3y-of-mine"


class Notebook:
    """A notebook whose cells chat, as the magics have them do it, without the asking."""

    def __init__(self) -> None:
        self.store = ConversationStore(CellOrder({}))
        self.cells: dict[str, list[dict[str, Any]]] = {}
        self._runs = 0

    def ask(
        self, cell: str, user: str, *, name: str = "default", append: bool = False, **said: Any
    ) -> None:
        """Run a chat cell; the answer is the question in capitals."""
        run, others = self._run(cell), []
        conversation = self.store.get(name)
        if not append:
            rewound, others = self.store.rewind(name, run)
            conversation = rewound.conversation
        turn = Turn(user, said.pop("assistant", user.upper()), cell=cell, run=run.id, **said)
        self._took(run, conversation.append(turn), *(other.conversation for other in others))

    def go_on(self, cell: str, rest: str) -> None:
        """Run a cell with ``--continue``."""
        run = self._run(cell)
        rewound, _ = self.store.rewind("default", run, to_continue=True)
        last = rewound.conversation.turns[-1]
        before = rewound.conversation.truncate(len(rewound.conversation.turns) - 1)
        whole = Turn(
            last.user, last.assistant + rest, cell=cell, run=run.id, system=last.system,
            continues=last,
        )  # fmt: skip
        self._took(run, before.append(whole))

    def undo(self, cell: str, name: str = "default") -> None:
        conversation = self.store.get(name)
        left = conversation.truncate(len(conversation.turns) - 1)
        self.store.keep(left)
        self._shows(cell, self.store.record(run=self._run(cell)), "undone")

    def reset(self, cell: str, name: str = "default") -> None:
        self.store.forget(self.store.get(name))
        self._shows(cell, self.store.record(run=self._run(cell)), "forgotten")

    def load(self, cell: str, *conversations: Conversation) -> None:
        self.store.keep(*conversations)
        record = self.store.record(*conversations, run=self._run(cell), last=None)
        self._shows(cell, record, "loaded")

    def clear(self, *cells: str) -> None:
        for cell in cells:
            self.cells[cell] = []

    def record(self, cell: str) -> Any:
        """Return a cell's record, to be changed."""
        return self.cells[cell][-1]["metadata"][KEY]

    def move(self, cell: str, place: int) -> None:
        order = [one for one in self.cells if one != cell]
        order.insert(place, cell)
        self.cells = {one: self.cells[one] for one in order}

    def save(self, path: Path | None = None) -> Path:
        """Write the file; by default notebook.ipynb in this folder."""
        path = path or Path("notebook.ipynb")
        notebook = nbformat.v4.new_notebook()
        for cell, outputs in self.cells.items():
            notebook.cells.append(nbformat.v4.new_code_cell(id=cell, outputs=outputs))
        nbformat.write(notebook, path)
        return path

    def restore(self) -> Restoration:
        return restore(read_outputs(self.save()))

    def said(self, name: str = "default") -> list[str]:
        """Save, restore, and list the questions of a conversation."""
        return [turn.user for turn in self.restore().conversations[name].turns]

    def summary(self) -> list[str]:
        return self.restore().summary

    def _run(self, cell: str) -> CellRun:
        self._runs += 1
        return CellRun(cell, f"run-{self._runs}")

    def _took(self, run: CellRun, *conversations: Conversation) -> None:
        self.store.keep(*conversations)
        record = self.store.record(conversations[0], run=run, last=1)
        self._shows(run.cell, record, conversations[0].turns[-1].assistant)

    def _shows(self, cell: str, record: dict[str, Any], text: str) -> None:
        made = nbformat.v4.new_output(
            "display_data", data={"text/plain": text}, metadata=with_digest(record, text)
        )
        self.cells[cell] = [made]


@pytest.fixture
def empty() -> Notebook:
    return Notebook()


@pytest.fixture
def notebook() -> Notebook:
    """Give a notebook whose cells a, b and c have asked."""
    made = Notebook()
    for cell in "abc":
        made.ask(cell, f"ask {cell}")
    return made


def left_out(*turns: tuple[int, str, int]) -> str:
    named = [f"turn {number} (\u201c{said}\u201d, cell {cell})" for number, said, cell in turns]
    return f"default: left out, since the conversation had been rewound: {', '.join(named)}."


# --- there and back


def test_conversation_comes_back_as_it_was(notebook):
    assert notebook.restore().conversations == {one.name: one for one in notebook.store}


def test_summary_of_a_whole_conversation_is_one_line(notebook):
    assert notebook.summary() == ["default: 3 turns restored."]


def test_summary_of_one_turn_is_in_the_singular(empty):
    empty.ask("a", "hi")
    assert empty.summary() == ["default: 1 turn restored."]


def test_notebook_without_records_restores_nothing(empty):
    empty.cells["a"] = [nbformat.v4.new_output("stream", text="hello")]
    assert empty.restore() == Restoration()


def test_clock_is_that_of_the_newest_record(notebook):
    assert notebook.restore().clock == notebook.store.clock


def test_restored_conversation_lacks_nothing(notebook):
    assert notebook.restore().lacks(notebook.store.get("default")) == 0


def test_turns_that_were_not_saved_are_lacking(notebook):
    restored = notebook.restore()
    notebook.ask("d", "ask d")
    assert restored.lacks(notebook.store.get("default")) == 1


def test_turns_of_an_unknown_conversation_are_lacking(notebook):
    stranger = Conversation("stranger").append(Turn("ask a", "ASK A"))
    assert notebook.restore().lacks(stranger) == 1


def test_dropped_turns_are_not_lacking(notebook):
    before = notebook.store.get("default")
    notebook.undo("u")
    assert notebook.restore().lacks(before) == 0


def test_restored_conversation_goes_on_and_comes_back(notebook):
    restored = notebook.restore()
    notebook.store = ConversationStore(CellOrder({}))
    notebook.store.advance_clock(restored.clock)
    notebook.store.keep(*restored.conversations.values())
    notebook.ask("d", "ask d")
    assert notebook.said() == ["ask a", "ask b", "ask c", "ask d"]


def test_restored_cell_is_known_when_it_runs_again(notebook):
    conversation = notebook.restore().conversations["default"]
    assert conversation.rewind(CellRun("b", "later")).replaced == (2,)


def test_system_text_comes_back(empty):
    empty.ask("a", "hi", system="Be brief.")
    assert empty.restore().conversations["default"].system == "Be brief."


def test_parameters_come_back(empty):
    empty.ask("a", "hi", parameters={"temperature": 0.5, "stop": ["x"]})
    turn = empty.restore().conversations["default"].turns[0]
    assert turn.parameters == {"temperature": 0.5, "stop": ["x"]}


def test_two_conversations_come_back_apart(empty):
    empty.ask("a", "hi")
    empty.ask("b", "ho", name="tutor")
    assert (empty.said("default"), empty.said("tutor")) == (["hi"], ["ho"])


def test_two_conversations_have_a_line_each(empty):
    empty.ask("a", "hi")
    empty.ask("b", "ho", name="tutor")
    assert empty.summary() == ["default: 1 turn restored.", "tutor: 1 turn restored."]


def test_500_turns_come_back(empty):
    for number in range(500):
        empty.ask(f"c{number}", f"ask {number}")
    assert empty.restore().conversations == {one.name: one for one in empty.store}


CELLS = st.sampled_from("abcd")
NAMES = st.sampled_from(["default", "tutor"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), CELLS, NAMES),
        st.tuples(st.just("append"), CELLS, st.just("default")),
        st.tuples(st.just("undo"), st.just("u"), NAMES),
        st.tuples(st.just("reset"), st.just("r"), NAMES),
    ),
    max_size=10,
)


def follow(steps: list[tuple[str, str, str]], notebook: Notebook) -> None:
    for number, (step, cell, name) in enumerate(steps):
        if step in {"ask", "append"}:
            notebook.ask(cell, f"ask {number}", name=name, append=step == "append")
        elif step == "reset":
            notebook.reset(f"{cell}{number}", name)
        elif notebook.store.get(name).turns:
            notebook.undo(f"{cell}{number}", name)


def kept(conversations: dict[str, Conversation]) -> dict[str, tuple[Turn, ...]]:
    return {name: one.turns for name, one in conversations.items() if one.turns}


@given(STEPS.filter(lambda steps: len({n for s, _, n in steps if s in {"ask", "append"}}) < 2))
def test_whatever_was_done_one_conversation_comes_back(steps):
    notebook = Notebook()
    follow(steps, notebook)
    with tempfile.TemporaryDirectory() as folder:
        restored = restore(read_outputs(notebook.save(Path(folder) / "n.ipynb")))
    assert kept(restored.conversations) == kept({one.name: one for one in notebook.store})


@given(STEPS.map(lambda steps: [step for step in steps if step[0] != "append"]))
def test_whatever_was_done_two_conversations_come_back(steps):
    notebook = Notebook()
    follow(steps, notebook)
    with tempfile.TemporaryDirectory() as folder:
        restored = restore(read_outputs(notebook.save(Path(folder) / "n.ipynb")))
    assert kept(restored.conversations) == kept({one.name: one for one in notebook.store})


@given(STEPS, st.sets(CELLS))
def test_whatever_is_cleared_restored_turns_are_genuine(steps, cleared):
    notebook = Notebook()
    follow(steps, notebook)
    asked = {f"ask {number}" for number in range(len(steps))}
    notebook.clear(*cleared & notebook.cells.keys())
    with tempfile.TemporaryDirectory() as folder:
        restored = restore(read_outputs(notebook.save(Path(folder) / "n.ipynb")))
    turns = [turn for one in restored.conversations.values() for turn in one.turns]
    assert all(t.user in asked and t.assistant == t.user.upper() for t in turns)


# --- cells that were run again


def test_turn_that_was_asked_again_comes_back_once(notebook):
    notebook.ask("c", "again")
    assert notebook.said() == ["ask a", "ask b", "again"]


def test_stale_turns_stay_dropped(notebook):
    notebook.ask("a", "again")
    assert notebook.said() == ["again"]


def test_stale_turns_are_named(notebook):
    notebook.ask("b", "again")
    assert notebook.summary() == ["default: 2 turns restored.", left_out((3, "ask c", 3))]


def test_stale_branch_that_was_asked_again_comes_back(notebook):
    for cell in "abc":
        notebook.ask(cell, f"again {cell}")
    assert notebook.summary() == ["default: 3 turns restored."]


def test_stale_branch_that_was_asked_again_in_part_is_left_out_in_part(notebook):
    notebook.ask("a", "again a")
    notebook.ask("c", "again c")
    assert notebook.summary() == ["default: 2 turns restored.", left_out((2, "ask b", 2))]


def test_cell_that_went_to_another_conversation_comes_back_there(notebook):
    notebook.ask("c", "ask c", name="tutor")
    assert (notebook.said(), notebook.said("tutor")) == (["ask a", "ask b"], ["ask c"])


def test_many_stale_turns_are_named_in_one_line(empty):
    for number in range(100):
        empty.ask(f"c{number}", f"ask {number}")
    empty.ask("c0", "again")
    _, line = empty.summary()
    assert line.endswith("turn 6 (\u201cask 5\u201d, cell 6), 94 more.")


# --- undo, reset


def test_undone_turn_stays_undone(notebook):
    notebook.undo("u")
    assert notebook.said() == ["ask a", "ask b"]


def test_undone_turn_is_named(notebook):
    notebook.undo("u")
    assert notebook.summary()[1:] == [left_out((3, "ask c", 3))]


def test_conversation_goes_on_after_undo(notebook):
    notebook.undo("u")
    notebook.ask("d", "ask d")
    assert notebook.said() == ["ask a", "ask b", "ask d"]


def test_cleared_undo_is_forgotten(notebook):
    notebook.undo("u")
    notebook.clear("u")
    assert notebook.said() == ["ask a", "ask b", "ask c"]


def test_reset_conversation_is_empty(notebook):
    notebook.reset("r")
    assert notebook.said() == []


def test_reset_conversation_has_a_summary(notebook):
    notebook.reset("r")
    assert notebook.summary()[0] == "default: 0 turns restored."


def test_conversation_goes_on_after_reset(notebook):
    notebook.reset("r")
    notebook.ask("d", "ask d")
    assert notebook.said() == ["ask d"]


def test_reset_of_one_conversation_leaves_the_other(notebook):
    notebook.ask("t", "ask t", name="tutor")
    notebook.reset("r", "tutor")
    assert (notebook.said(), notebook.said("tutor")) == (["ask a", "ask b", "ask c"], [])


# --- cleared outputs


@pytest.mark.parametrize(
    ("cleared", "said"), [("a", ["ask b", "ask c"]), ("b", ["ask a", "ask c"])]
)
def test_turn_whose_output_was_cleared_is_missing(notebook, cleared, said):
    notebook.clear(cleared)
    assert notebook.said() == said


@pytest.mark.parametrize(("cleared", "number"), [("a", 1), ("b", 2)])
def test_summary_says_which_turn_is_missing(notebook, cleared, number):
    notebook.clear(cleared)
    assert notebook.summary() == [
        "default: 2 turns restored.",
        f"default: turn {number} is missing from the notebook.",
    ]


def test_conversation_ends_before_a_last_output_that_was_cleared(notebook):
    notebook.clear("c")
    assert notebook.said() == ["ask a", "ask b"]


def test_summary_says_which_turns_are_missing(notebook):
    notebook.ask("d", "ask d")
    notebook.clear("b", "c")
    assert notebook.summary() == [
        "default: 2 turns restored.",
        "default: turns 2 to 3 are missing from the notebook.",
    ]


def test_summary_lists_gaps_separately(notebook):
    notebook.ask("d", "ask d")
    notebook.clear("a", "c")
    assert notebook.summary()[1:] == [
        "default: turn 1 is missing from the notebook.",
        "default: turn 3 is missing from the notebook.",
    ]


def test_cell_that_was_cleared_and_run_again_after_restore_is_the_last(notebook):
    notebook.clear("b")
    restored = notebook.restore()
    notebook.store = ConversationStore(CellOrder({}))
    notebook.store.advance_clock(restored.clock)
    notebook.store.keep(*restored.conversations.values())
    notebook.ask("b", "ask b")
    assert notebook.said() == ["ask a", "ask c", "ask b"]


def test_gap_is_bridged_by_the_newest_answer(notebook):
    notebook.ask("a", "again a")
    notebook.ask("b", "again b")
    notebook.ask("c", "again c")
    notebook.clear("b")
    assert notebook.said() == ["again a", "again c"]


def test_gap_is_bridged_by_the_newest_of_two_turns_of_a_number(notebook):
    notebook.undo("u")
    notebook.undo("v")
    for cell in "def":
        notebook.ask(cell, f"ask {cell}")
    notebook.clear("e")
    assert notebook.said() == ["ask a", "ask d", "ask f"]


def test_dropped_turn_does_not_come_back_over_a_gap(notebook):
    notebook.ask("a", "again")
    for cell in "def":
        notebook.ask(cell, f"ask {cell}")
    notebook.clear("d", "e")
    assert notebook.said() == ["again", "ask f"]


def test_forgotten_turn_does_not_come_back_over_a_gap(notebook):
    notebook.reset("r")
    for cell in "def":
        notebook.ask(cell, f"ask {cell}")
    notebook.clear("d", "e")
    assert notebook.said() == ["ask f"]


def test_forgotten_turn_does_not_come_back_in_the_place_of_a_cleared_one(empty):
    empty.ask("a", "old")
    empty.reset("r")
    empty.ask("b", "new")
    empty.ask("c", "newer")
    empty.undo("u")
    empty.clear("b")
    assert empty.said() == []


def test_undone_turn_does_not_come_back_in_the_place_of_a_cleared_one(notebook):
    notebook.undo("u")
    notebook.clear("b")
    assert notebook.said() == ["ask a"]


def test_summary_says_that_the_last_turn_is_missing(notebook):
    notebook.undo("u")
    notebook.clear("b")
    assert "missing from the notebook" in " ".join(notebook.summary())


def test_turn_between_two_that_are_gone_is_restored(notebook):
    notebook.clear("a")
    notebook.record("c")["turns"][0]["assistant"] = "edited"
    assert notebook.said() == ["ask b"]


# --- outputs that were edited


def test_answer_whose_shown_text_was_edited_counts_as_it_came(notebook):
    notebook.cells["b"][0]["data"]["text/plain"] = "edited"
    assert notebook.restore().conversations == {one.name: one for one in notebook.store}


def test_edited_text_is_named(notebook):
    notebook.cells["b"][0]["data"]["text/plain"] = "edited"
    assert notebook.summary()[1:] == [
        "Cell 2: the text that is shown was edited; the answer is restored as it arrived."
    ]


def test_text_that_was_taken_away_is_edited(notebook):
    del notebook.cells["b"][0]["data"]["text/plain"]
    assert len(notebook.summary()) == 2


def test_text_that_was_split_into_lines_is_not_edited(empty):
    empty.ask("a", "hi", assistant="one\ntwo\n\nthree\n")
    assert empty.summary() == ["default: 1 turn restored."]


def test_turn_whose_record_was_edited_is_left_out(notebook):
    notebook.record("b")["turns"][0]["assistant"] = "edited"
    assert notebook.said() == ["ask a", "ask c"]


def test_turn_whose_record_was_edited_is_named(notebook):
    notebook.record("b")["turns"][0]["user"] = "edited"
    assert notebook.summary() == [
        "default: 2 turns restored.",
        "default: turn 2 is missing from the notebook.",
        "Cell 2: a turn was left out: it has been edited by hand.",
    ]


def test_last_turn_whose_record_was_edited_leaves_those_before_it(notebook):
    notebook.record("c")["turns"][0]["user"] = "edited"
    assert notebook.said() == ["ask a", "ask b"]


@pytest.mark.parametrize("field", ["user", "assistant"])
def test_turn_without_a_text_is_left_out(notebook, field):
    del notebook.record("b")["turns"][0][field]
    assert notebook.summary()[-1] == f"Cell 2: a turn was left out: '{field}' is missing or empty."


def test_record_of_another_version_is_named(notebook):
    notebook.record("c")["version"] = 2
    assert notebook.summary() == [
        "default: 2 turns restored.",
        "Cell 3: its record was left out, since it is of version 2, and this package reads 1.",
    ]


def test_invalid_record_leaves_the_others(notebook):
    for record in [False, 0, "x", [], {}, {"version": 1}, ["x"]]:
        notebook.cells["b"][0]["metadata"][KEY] = record
        assert notebook.said() == ["ask a", "ask c"], record


def test_turn_of_a_conversation_without_a_head_is_named(notebook):
    for cell in "abc":
        notebook.record(cell)["heads"] = {}
    assert notebook.summary() != []


# --- cells that were copied, moved, taken away


def duplicate(notebook: Notebook, cell: str, copied: str, place: int) -> None:
    notebook.cells[copied] = copy.deepcopy(notebook.cells[cell])
    notebook.move(copied, place)


def test_copied_cell_counts_once(notebook):
    duplicate(notebook, "b", "copy", 3)
    assert notebook.said() == ["ask a", "ask b", "ask c"]


def test_copied_cell_is_named(notebook):
    duplicate(notebook, "b", "copy", 2)
    assert notebook.summary()[1:] == ["Cell 3: turn 2 is in cell 2 too; it is restored once."]


def test_turn_of_a_copied_cell_stays_its_cells(notebook):
    duplicate(notebook, "b", "copy", 0)
    assert notebook.restore().conversations["default"].turns[1].cell == "b"


def test_turn_of_a_copy_whose_cell_is_gone_is_the_copys(notebook):
    duplicate(notebook, "b", "copy", 0)
    del notebook.cells["b"]
    assert notebook.restore().conversations["default"].turns[1].cell == "copy"


def test_turn_of_a_cell_that_had_no_id_is_its_cells(empty):
    empty.ask("", "hi")
    empty.cells["made-later"] = empty.cells.pop("")
    assert empty.restore().conversations["default"].turns[0].cell == "made-later"


@pytest.mark.parametrize("place", [0, 1])
def test_moved_cell_keeps_its_turn(notebook, place):
    notebook.move("c", place)
    assert notebook.restore().conversations == {one.name: one for one in notebook.store}


def test_deleted_cell_is_a_gap(notebook):
    del notebook.cells["b"]
    assert notebook.summary()[1:] == ["default: turn 2 is missing from the notebook."]


def test_markdown_counts_among_the_cells(notebook):
    path = notebook.save()
    read = nbformat.read(path, as_version=4)
    read.cells.insert(0, nbformat.v4.new_markdown_cell("# A talk"))
    read.cells[2].outputs[0].data["text/plain"] = "edited"
    nbformat.write(read, path)
    assert restore(read_outputs(path)).summary[1].startswith("Cell 3: the text")


# --- load, --append, --continue, keep


def loaded(count: int) -> Conversation:
    conversation = Conversation("default")
    for number in range(count):
        conversation = conversation.append(Turn(f"old {number}", "x", cell="elsewhere"))
    return conversation


def test_loaded_turns_come_back(notebook):
    notebook.load("l", loaded(40))
    assert notebook.said() == [f"old {number}" for number in range(40)]


def test_turns_that_a_load_replaced_are_named(notebook):
    notebook.load("l", loaded(2))
    assert notebook.summary() == [
        "default: 2 turns restored.",
        left_out((1, "ask a", 1), (2, "ask b", 2), (3, "ask c", 3)),
    ]


def test_conversation_goes_on_after_load(notebook):
    notebook.load("l", loaded(2))
    notebook.ask("d", "ask d")
    assert notebook.said() == ["old 0", "old 1", "ask d"]


def test_loaded_conversations_come_back_apart(empty):
    empty.load("l", loaded(2), Conversation("tutor", "Teach.").append(Turn("hi", "ho")))
    assert (empty.said(), empty.said("tutor")) == (["old 0", "old 1"], ["hi"])


def test_what_was_saved_and_loaded_again_stands_twice_without_harm(notebook):
    notebook.load("l", notebook.store.get("default"))
    assert notebook.summary() == ["default: 3 turns restored."]


def test_loaded_turns_stand_where_the_cells_were_cleared(notebook):
    notebook.load("l", notebook.store.get("default"))
    notebook.clear("a", "b", "c")
    assert notebook.said() == ["ask a", "ask b", "ask c"]


def test_appended_turn_stands_with_the_first(empty):
    empty.ask("a", "one")
    empty.ask("a", "two", append=True)
    assert empty.restore().conversations == {one.name: one for one in empty.store}


def test_appended_turn_leaves_one_output_with_two_turns(empty):
    empty.ask("a", "one")
    empty.ask("a", "two", append=True)
    assert [turn["user"] for turn in empty.record("a")["turns"]] == ["one", "two"]


def test_turn_appended_behind_others_comes_back(notebook):
    notebook.ask("a", "more", append=True)
    assert notebook.said() == ["ask a", "ask b", "ask c", "more"]


def test_turn_appended_to_another_conversation_leaves_the_first_its_own(notebook):
    notebook.ask("c", "aside", name="tutor", append=True)
    assert (notebook.said(), notebook.said("tutor")) == (["ask a", "ask b", "ask c"], ["aside"])


@pytest.fixture(params=["a", "b"], ids=["same cell", "another cell"])
def going_on(request, empty) -> Notebook:
    """Give a notebook whose first answer was cut off, and went on in the same cell or another."""
    empty.ask("a", "tell", assistant="Once ", truncated=True)
    empty.go_on(request.param, "upon a time.")
    return empty


def test_answer_that_went_on_comes_back_as_one(going_on):
    assert going_on.restore().conversations == {one.name: one for one in going_on.store}


def test_summary_of_an_answer_that_went_on_is_one_line(going_on):
    assert going_on.summary() == ["default: 1 turn restored."]


def test_answer_that_went_on_comes_back_with_what_it_continues(going_on):
    turn = going_on.restore().conversations["default"].turns[0]
    assert [step.assistant for step in turn.steps()] == ["Once ", "Once upon a time."]


def test_cell_that_went_on_can_be_taken_back_after_restore(empty):
    empty.ask("a", "tell", assistant="Once ", truncated=True)
    empty.go_on("b", "upon a time.")
    rewound = empty.restore().conversations["default"].rewind(CellRun("b", "later"))
    assert rewound.conversation.turns[0].assistant == "Once "


def test_cleared_end_of_an_answer_leaves_its_beginning(empty):
    empty.ask("a", "tell", assistant="Once ", truncated=True)
    empty.go_on("b", "upon a time.")
    empty.clear("b")
    assert empty.restore().conversations["default"].turns[0].assistant == "Once "


@pytest.mark.parametrize("mark", ["stopped", "truncated"])
def test_marks_come_back(empty, mark):
    empty.ask("a", "hi", **{mark: True})
    assert getattr(empty.restore().conversations["default"].turns[0], mark) is True


# --- older notebooks


def test_notebook_without_cell_ids_is_restored(notebook):
    for minor in range(5):
        restored = restore(read_outputs(without_ids(notebook, minor)))
        turns = restored.conversations["default"].turns
        assert [turn.user for turn in turns] == ["ask a", "ask b", "ask c"], minor
        assert restored.summary == ["default: 3 turns restored."], minor


def without_ids(notebook: Notebook, minor: int) -> Path:
    path = notebook.save()
    read = json.loads(path.read_text())
    for cell in read["cells"]:
        del cell["id"]
    path.write_text(json.dumps(read | {"nbformat_minor": minor}))
    return path


# --- secrets


def test_key_stands_nowhere_in_the_file(empty):
    remember(SECRET)
    empty.ask("a", f"Is {SECRET} safe?", assistant="***", system=f"Hide {SECRET}.")
    assert SECRET not in empty.save().read_text()


def test_turn_that_quotes_a_key_is_restored(empty):
    remember(SECRET)
    empty.ask("a", f"Is {SECRET} safe?", assistant="No.")
    empty.ask("b", "Why?")
    assert empty.said() == ["Is *** safe?", "Why?"]


def test_turn_that_quotes_a_key_is_restored_where_that_is_unknown(empty):
    remember(SECRET)
    empty.ask("a", f"Is {SECRET} safe?", assistant="No.")
    empty.ask("b", "Why?")
    forget_all()
    assert empty.summary() == ["default: 2 turns restored."]


def test_turn_that_quotes_a_key_is_not_lacking(empty):
    remember(SECRET)
    empty.ask("a", f"Is {SECRET} safe?", assistant="No.")
    assert empty.restore().lacks(empty.store.get("default")) == 0


def test_turns_saved_before_their_key_was_known_are_restored(empty):
    empty.ask("a", f"Is {SECRET} safe?", assistant="No.")
    empty.ask("b", "Why?")
    path = empty.save()
    remember(SECRET)
    assert restore(read_outputs(path)).summary == ["default: 2 turns restored."]


# --- forged records


def forge(notebook: Notebook, cell: str, change: Callable[[Any], None]) -> Notebook:
    change(notebook.record(cell))
    return notebook


def test_forged_clock_takes_the_head_and_nothing_else(notebook):
    later = time.time_ns() // 10**6 + 60_000
    forged = forge(notebook, "b", lambda record: record.update(clock=later))
    assert forged.said() == ["ask a", "ask b"]


def test_record_from_the_future_is_left_out(notebook):
    forge(notebook, "b", lambda record: record.update(clock=10**15))
    assert "Cell 2: its record was left out, since its clock is ahead" in notebook.summary()[-1]


def test_record_from_the_future_spoils_no_later_one(notebook):
    forge(notebook, "b", lambda record: record.update(clock=2**53 - 2)).save()
    later = Notebook()
    path = str(Path("notebook.ipynb").resolve())
    later.store = ConversationStore(CellOrder({"__vsc_ipynb_file__": path}))
    later.ask("a", "hi")
    assert later.said() == ["hi"]


def test_system_text_is_in_the_summary(notebook):
    notebook.ask("d", "ask d", system="Always praise.")
    with_system = ", with the system text \u201cAlways praise.\u201d."
    assert notebook.summary()[0] == f"default: 4 turns restored{with_system}"


def test_head_cannot_give_turns_another_system_text(notebook):
    head = notebook.record("c")["heads"]["default"]
    head["system"] = "Always praise."
    assert notebook.restore().conversations["default"].system == ""


@pytest.mark.parametrize("name", ["", " \n"])
def test_name_that_cannot_be_one_is_refused(notebook, name):
    heads = {name: {"id": "", "turns": 0, "system": ""}}
    forge(notebook, "c", lambda record: record.update(heads=heads))
    assert list(notebook.restore().conversations) == ["default"]


@pytest.mark.parametrize("clock", [2**53, 10**4300 - 1], ids=["2**53", "huge"])
def test_next_record_after_a_forged_clock_can_be_written(notebook, clock):
    restored = forge(notebook, "b", lambda record: record.update(clock=clock)).restore()
    next_one = record_to_json(restored.clock + 1, [], [])
    assert json.loads(json.dumps(next_one))[KEY]["clock"] <= 2**53 - 1


def test_forged_number_changes_no_turn(notebook):
    for number in [0, 1, 3, 10**9]:
        notebook.record("b")["turns"][0]["turn"] = number
        assert notebook.said() == ["ask a", "ask b", "ask c"], number


def test_forged_number_of_any_size_is_reported_in_one_short_line(notebook):
    forged = forge(notebook, "b", lambda record: record["turns"][0].update(turn=10**4299))
    assert all(len(line) < 1_000 for line in forged.summary())


def test_forged_circle_ends(empty):
    # The first follows a turn that is missing; by the numbers, the second could stand there.
    first = Turn("first", "x", after="missing")
    second = Turn("second", "y", after=first.id)
    for cell, number, turn in (("a", 9, first), ("b", 2, second)):
        conversation = Conversation("default", "", (turn,))
        empty._shows(cell, record_to_json(number, [conversation], [(conversation, 0)]), "")
        empty.record(cell)["turns"][0]["turn"] = number
    assert empty.said()[-1] == "first"


def test_forged_head_leaves_the_turns_before_it(notebook):
    head = {"default": {"id": "0" * 16, "turns": 3, "system": ""}}
    assert forge(notebook, "c", lambda record: record.update(heads=head)).said() == [
        "ask a",
        "ask b",
    ]


def test_head_of_another_conversation_restores_none_of_this(notebook):
    head = notebook.record("c")["heads"]["default"]
    forged = forge(notebook, "c", lambda record: record.update(heads={"tutor": head}))
    assert forged.said("tutor") == []


def test_turn_that_is_recorded_many_times_counts_once(notebook):
    turns = notebook.record("b")["turns"]
    forged = forge(notebook, "b", lambda record: record.update(turns=turns * 1_000))
    assert forged.said() == ["ask a", "ask b", "ask c"]


def test_turn_recorded_twice_in_one_output_is_no_copy(notebook):
    turns = notebook.record("b")["turns"]
    forged = forge(notebook, "b", lambda record: record.update(turns=turns * 2))
    assert forged.summary() == ["default: 3 turns restored."]


@pytest.mark.parametrize("name", ["a\nb: 9 turns restored.", "x" * 10_000], ids=["lines", "long"])
def test_each_line_of_the_summary_is_one_short_line(empty, name):
    empty.ask("a", "hi", name=name)
    assert all("\n" not in line and len(line) < 1_000 for line in empty.summary())


@pytest.mark.parametrize("version", ["x" * 10_000, "a\nb", 10**4000], ids=["long", "lines", "huge"])
def test_forged_version_is_reported_in_one_short_line(notebook, version):
    summary = forge(notebook, "b", lambda record: record.update(version=version)).summary()
    assert all("\n" not in line and len(line) < 1_000 for line in summary)
