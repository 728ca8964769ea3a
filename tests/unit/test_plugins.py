"""Tables of parts: built-ins, plug-ins beside them, and that nothing is imported before it is asked for."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from srgan.errors import InvalidConfig
from srgan.plugins import Table

GROUP = "srgan.animals"


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """The entry points that installed packages announce: whatever a test puts in here."""
    points: list[EntryPoint] = []

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr("srgan.plugins.entry_points", entry_points)
    return points


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that can be imported and has not been."""
    (tmp_path / "tame_zoo.py").write_text(
        "class Animals:\n    cat = 'miaow'\n\ndef dog():\n    return 'woof'\n\nowl = 'hoo'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tame_zoo", raising=False)
    return "tame_zoo"


def table(**builtin: str) -> Table:
    return Table(GROUP, "animal", builtin)


def test_a_built_in_part_is_loaded_by_name(zoo: str) -> None:
    assert table(dog=f"{zoo}:dog").load("dog")() == "woof"


def test_nothing_is_imported_until_it_is_loaded(zoo: str, announced: list[EntryPoint]) -> None:
    announced.append(EntryPoint("owl", f"{zoo}:owl", GROUP))
    animals = table(dog=f"{zoo}:dog")

    assert animals.names() == ["dog", "owl"]
    assert zoo not in sys.modules
    animals.load("owl")
    assert zoo in sys.modules


def test_plug_ins_stand_after_the_built_ins(zoo: str, announced: list[EntryPoint]) -> None:
    announced += [EntryPoint("owl", f"{zoo}:owl", GROUP), EntryPoint("fish", "other:fish", "srgan.fishes")]
    animals = table(dog=f"{zoo}:dog")

    assert animals.names() == ["dog", "owl"]
    assert animals.load("owl") == "hoo"


def test_a_plug_in_may_name_something_inside_a_class(zoo: str, announced: list[EntryPoint]) -> None:
    announced.append(EntryPoint("cat", f"{zoo}:Animals.cat", GROUP))

    assert table().load("cat") == "miaow"


def test_a_plug_in_cannot_take_over_a_built_in_name(zoo: str, announced: list[EntryPoint]) -> None:
    announced.append(EntryPoint("dog", f"{zoo}:owl", GROUP))
    animals = table(dog=f"{zoo}:dog")

    assert animals.names() == ["dog"]
    assert animals.targets == {"dog": f"{zoo}:dog"}
    assert animals.load("dog")() == "woof"


def test_an_unknown_name_is_answered_with_the_choices(zoo: str, announced: list[EntryPoint]) -> None:
    announced.append(EntryPoint("owl", f"{zoo}:owl", GROUP))

    with pytest.raises(InvalidConfig, match=r"^There is no animal 'cow'\. Choose one of: dog, owl$"):
        table(dog=f"{zoo}:dog").load("cow")
    with pytest.raises(
        InvalidConfig, match=r"^There is no animal 'doog'\. Did you mean 'dog'\? Choose one of: dog, owl$"
    ):
        table(dog=f"{zoo}:dog").load("doog")


@pytest.mark.parametrize("target", ["no_such_module:thing", "tame_zoo:nobody", "tame_zoo:Animals.nobody"])
def test_a_broken_plug_in_is_named(zoo: str, announced: list[EntryPoint], target: str) -> None:
    announced.append(EntryPoint("ghost", target, GROUP))

    with pytest.raises(InvalidConfig, match="The plug-in for the animal 'ghost' cannot be loaded"):
        table().load("ghost")


def test_the_missing_library_of_a_built_in_part_is_left_to_its_room() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        table(dog="no_such_library:dog").load("dog")


def test_a_table_asks_once_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("srgan.plugins.entry_points", lambda *, group: asked.append(group) or [])
    animals = table()

    for _ in range(3):
        assert animals.names() == []

    assert asked == [GROUP]
