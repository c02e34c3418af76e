"""Names resolve to code; broken and clashing plugins cost one line and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqbench.errors import Refused
from seqbench.registry.hookspecs import Entry
from seqbench.registry.plugins import DISABLED, PLUGIN_FILES, add_plugin_file, readable, registry
from seqbench.registry.registration import BUILT_IN, Registration

Plugin = Callable[..., Path]

MODEL = """
from seqbench.api import Model


class Wide(Model):
    def __init__(self, input_size, context, *, width=3, rate=4):
        pass
"""


def run(*args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own and check its exit code."""
    result = subprocess.run(
        [sys.executable, "-m", "seqbench", *args], capture_output=True, text=True
    )
    assert code == result.returncode, result.stderr
    return result


def test_built_ins_are_registered_by_file_name() -> None:
    item = registry().get("model", "attention_lstm")
    target = "seqbench.plugins.attention_lstm:AttentionLSTM"
    assert Registration("model", "attention_lstm", target, BUILT_IN) == item
    assert item.unusable() is None
    assert item.load().__name__ == "AttentionLSTM"


def test_a_bare_name_stands_for_a_subtask() -> None:
    subtasks = {"anomaly": "anomaly/watch", "data": "data/classify", "health": "health/pbc"}
    for name in (*subtasks, *subtasks.values(), "music", "musik"):
        assert registry().stands_for("task", name) == subtasks.get(name, name)


def test_unknown_name() -> None:
    """The refusal names the value, the nearest name and all that are known."""
    known = ", ".join(registry().names("model"))
    with pytest.raises(Refused) as caught:
        registry().get("model", "lstn")
    assert f"unknown model 'lstn' (did you mean 'lstm'?); known: {known}" == str(caught.value)


def test_plugin_of_a_distribution(plugin: Plugin) -> None:
    """Its origin is the distribution and its version; asking it does not import the class."""
    plugin("alpha", "wide")
    item = registry().get("model", "wide")
    assert Registration("model", "wide", "alpha_code:Wide", "alpha 1.0") == item
    assert "alpha_hooks" in sys.modules
    assert "alpha_code" not in sys.modules
    assert item.load().__name__ == "Wide"


def test_plugin_broken_at_import(plugin: Plugin) -> None:
    """Everything else works; the list says it, and so does the refusal of an unknown name."""
    plugin("beta", "wide", hooks="import module_that_is_not_there\n")
    line = (
        "plugin 'beta' (beta 1.0): import failed: "
        "ModuleNotFoundError: No module named 'module_that_is_not_there'"
    )
    assert [line] == registry().problems
    assert registry().get("model", "lstm").origin == BUILT_IN
    with pytest.raises(Refused, match=re.escape(f"; not loaded: {line}")):
        registry().get("model", "wide")
    listed = run("list", "models")
    assert listed.stdout.endswith(f"not loaded\n  {line}\n")
    assert listed.stderr == ""


@pytest.mark.parametrize("hooks", ["raise SystemExit(3)\n", "import sys; sys.exit('no')\n"])
def test_plugin_that_exits_at_import(plugin: Plugin, hooks: str) -> None:
    plugin("gamma", "wide", hooks=hooks)
    assert "plugin 'gamma' (gamma 1.0): import failed: SystemExit" in registry().problems[0]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "failed: TypeError"),
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
        ("['lstm']", "returned 'lstm', which is not a seqbench.Entry"),
        ("[Entry('Big Cell', 'a:B')]", "returned the name 'Big Cell'"),
        ("[Entry('cell', 'a.b')]", "returned the target 'a.b' of 'cell'"),
        ("[Entry(3, 'a:B')]", "returned the name 3"),
        ("[Entry('cell', 'a:B', 'torch')]", "returned requires='torch' of 'cell'"),
        ("[Entry('cell', 'a:B', None)]", "returned requires=None of 'cell'"),
    ],
)
def test_hook_that_returns_garbage(plugin: Plugin, returned: str, message: str) -> None:
    """What is wrong is recorded, what is right beside it is kept."""
    hooks = f"""
        from seqbench.registry.hookspecs import Entry, hookimpl


        @hookimpl
        def seqbench_models():
            return {returned}


        @hookimpl
        def seqbench_tasks():
            return [Entry("fine", "a:B")]
        """
    plugin("delta", "wide", hooks=hooks)
    assert len(registry().problems) == 1
    assert (
        registry().problems[0].startswith(f"plugin 'delta' (delta 1.0): seqbench_models {message}")
    )
    assert "fine" in registry().names("task")


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (
            "seqbench_modles()",
            "there is no hook 'seqbench_modles' (did you mean 'seqbench_models'?)",
        ),
        ("seqbench_models(everything)", "hookimpl definition"),
    ],
)
def test_hook_that_does_not_exist(plugin: Plugin, signature: str, message: str) -> None:
    imported = "from seqbench.registry.hookspecs import hookimpl"
    hooks = f"{imported}\n\n\n@hookimpl\ndef {signature}:\n    return []\n"
    plugin("eta", "wide", hooks=hooks)
    assert message in registry().problems[0]
    assert "lstm" in registry().names("model")


def test_two_plugins_with_one_name(plugin: Plugin) -> None:
    """Selecting the name names both distributions; other names work; leaving one out helps."""
    plugin("one", "same")
    plugin("two", "same")
    with pytest.raises(Refused) as caught:
        registry().get("model", "same")
    assert "model 'same' is offered by " in str(caught.value)
    assert "one 1.0" in str(caught.value)
    assert "two 1.0" in str(caught.value)
    assert registry().get("model", "lstm").origin == BUILT_IN
    assert "refused: two plugins offer this name" in run("list", "models").stdout
    refused = run("model=same", code=2)
    assert refused.stderr.startswith("seqbench: model 'same' is offered by ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("disabled", ["one", "one , nothing", "dist-one"])
def test_disabled_plugins(
    plugin: Plugin, monkeypatch: pytest.MonkeyPatch, disabled: str, distribution: Plugin
) -> None:
    """A plugin is left out by its own name or its distribution's, and not even imported."""
    hooks = {"dist_one_hooks.py": "raise RuntimeError('imported')\n"}
    distribution("dist-one", hooks, "[seqbench]\none = dist_one_hooks\n")
    plugin("two", "same")
    monkeypatch.setenv(DISABLED, disabled)
    assert registry().problems == []
    assert registry().get("model", "same").origin == "two 1.0"


def test_a_plugin_may_not_shadow_a_built_in(plugin: Plugin) -> None:
    plugin("theta", "lstm")
    with pytest.raises(Refused, match=r"model 'lstm' is offered by built-in and theta 1\.0"):
        registry().get("model", "lstm")


def test_missing_requirement(plugin: Plugin) -> None:
    hooks = """
        from seqbench.registry.hookspecs import Entry, hookimpl


        @hookimpl
        def seqbench_models():
            return [Entry("wide", "iota_code:Wide", requires=("sys", "no_such.sub"))]
        """
    plugin("iota", "wide", hooks=hooks)
    item = registry().get("model", "wide")
    assert item.unusable() == "needs no_such.sub, which is not installed"
    message = "model 'wide' (iota 1.0) cannot be used: needs no_such.sub"
    with pytest.raises(Refused, match=re.escape(message)):
        item.load()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("class Wide:\n    pass\n", "class Wide does not subclass seqbench.api.Model"),
        ("class Tall:\n    pass\n", "module 'kappa_code' has no class 'Wide'"),
        ("def broken(:\n", "is not valid Python: line 1"),
        (
            MODEL.replace("*, width", "width"),
            "constructor parameters must be keyword-only (after *): width, rate",
        ),
        (
            "from seqbench.api import Model\n\n\nclass Wide(Model):\n    pass\n",
            "Wide does not implement encode",
        ),
        (
            "from seqbench.api import Model\nimport not_there\n\n\nclass Wide(Model):\n    pass\n",
            "cannot be imported: ModuleNotFoundError: No module named 'not_there'",
        ),
    ],
)
def test_class_that_cannot_be_used(
    plugin: Plugin, distribution: Plugin, code: str, message: str
) -> None:
    """Loading is refused in one line that names the model and its distribution."""
    folder = plugin("kappa", "wide")
    (folder / "kappa_code.py").write_text(code)
    with pytest.raises(Refused, match=re.escape(message)) as caught:
        registry().get("model", "wide").load()
    assert str(caught.value).startswith("model 'wide' (kappa 1.0) cannot be ")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = " + "-" * 200_000 + "1\n", "cannot be read: "),
        ("from kappa_code import Wide\n\n\nclass Wide(Wide):\n    pass\n", "its own base classes"),
        (
            MODEL.replace("width=3", "name=3"),
            "constructor parameter 'name' needs another name",
        ),
    ],
)
def test_code_that_cannot_be_read(plugin: Plugin, code: str, message: str) -> None:
    """It is unusable with a reason, selecting it is refused, and every other command works."""
    folder = plugin("kappa", "wide")
    (folder / "kappa_code.py").write_text(code)
    assert message in str(registry().get("model", "wide").unusable())
    listed = run("list", "models")
    row = next(line for line in listed.stdout.splitlines() if line.startswith("  wide "))
    assert message in row
    assert "\nname: gru\n" in run("model=gru", "--cfg", "job", "--package", "model").stdout
    assert "wide" in run("--help").stdout
    refused = run("model=wide", code=2)
    assert refused.stderr.startswith("seqbench: model 'wide' (kappa 1.0) cannot be used: ")
    assert refused.stderr.count("\n") == 1


def test_a_class_that_takes_its_bases_name(plugin: Plugin) -> None:
    """``class X(X)`` extends what X was before."""
    code = 'from seqbench.plugins.lstm import LSTM as Wide\n\n\nclass Wide(Wide):\n    """W."""\n'
    (plugin("mu", "wide") / "mu_code.py").write_text(code)
    item = registry().get("model", "wide")
    assert item.unusable() is None
    assert item.load().__name__ == "Wide"


def test_star_import_of_the_contract(plugin: Plugin) -> None:
    folder = plugin("pi", "wide")
    code = (folder / "pi_code.py").read_text()
    star = code.replace("from seqbench.api import Encoding, Model", "from seqbench.api import *")
    assert star != code
    (folder / "pi_code.py").write_text(star)
    item = registry().get("model", "wide")
    assert item.unusable() is None
    assert item.load().__name__ == "Wide"


def test_reading_hooks_without_import(plugin: Plugin, distribution: Plugin) -> None:
    """Names that a hook states literally are known without importing it."""
    plugin("lambda_one", "literal")
    computed = """
        from seqbench.registry.hookspecs import Entry, hookimpl


        @hookimpl
        def seqbench_models():
            return [Entry(name, f"code:{name}") for name in ("a", "b")]
        """
    plugin("lambda_two", "computed", hooks=computed)
    plugin("lambda_three", "broken", hooks="def broken(:\n")
    found = {item.name: item for item in readable() if item.kind == "model"}
    assert "lstm" in found
    assert (
        Registration("model", "literal", "lambda_one_code:Literal", "lambda_one 1.0")
        == found["literal"]
    )
    assert not {"a", "b", "broken"} & set(found)
    assert not any(name.startswith("lambda_") for name in sys.modules)


def test_plugin_file_with_one_class(tmp_path: Path, plugin: Plugin) -> None:
    """``+plugin=my_cell.py`` offers the class named like the file, and tells worker processes."""
    code = (plugin("unused", "other") / "unused_code.py").read_text()
    file = tmp_path / "my_cell.py"
    file.write_text(code.replace("Other", "MyCell"))
    add_plugin_file(str(file))
    item = registry().get("model", "my_cell")
    assert Registration("model", "my_cell", f"{file}:MyCell", str(file)) == item
    assert [parameter.name for parameter in item.source().parameters] == ["width", "rate"]
    assert item.load() is item.load()
    assert item.load().__name__ == "MyCell"
    assert str(file) == os.environ[PLUGIN_FILES]
    assert "my_cell" in {item.name for item in readable()}


def test_plugin_files_beside_others(tmp_path: Path, plugin: Plugin) -> None:
    """A file may import and extend what lies beside it, in a folder of any name."""
    code = (plugin("unused", "other") / "unused_code.py").read_text()
    folder = tmp_path / "a:b c"
    folder.mkdir()
    (folder / "my_base.py").write_text(code.replace("Other", "Base"))
    for name in ("first", "second"):
        text = f"from my_base import Base\n\n\nclass {name.capitalize()}(Base):\n    pass\n"
        (folder / f"{name}.py").write_text(text)
        add_plugin_file(str(folder / f"{name}.py"))
    for name in ("first", "second"):
        item = registry().get("model", name)
        assert item.unusable() is None
        assert item.load().__name__ == name.capitalize()
    before = registry().get("model", "first").code_hash
    (folder / "my_base.py").write_text(code.replace("Other", "Base") + "\nBase.extra = 1\n")
    assert before != registry().get("model", "first").code_hash
    args = ("model=second", "--cfg", "job", "--package", "model")
    assert "width: 8" in run(*args).stdout  # the environment tells other processes
    assert "second" in run("--help").stdout


def test_plugin_file_with_hooks(tmp_path: Path, plugin: Plugin) -> None:
    """A file with hooks is a plugin like any other."""
    folder = plugin("nu", "wide")
    add_plugin_file(str(folder / "nu_hooks.py"))
    with pytest.raises(Refused, match=r"offered by nu 1\.0 and .*nu_hooks\.py"):
        registry().get("model", "wide")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.py", None, "there is no such Python file"),
        ("notes.txt", "text", "a plugin is a Python file, whose name ends in .py"),
        ("empty.py", "", "it has no hooks, and no class named like the file"),
        ("plain.py", "class Plain:\n    pass\n", "subclasses neither seqbench.api.Model nor"),
        ("wrong.py", "class (:\n", "is not valid Python"),
        ("raises.py", "def seqbench_tasks():\n    pass\n\n\n1 / 0\n", "ZeroDivisionError"),
    ],
)
def test_plugin_file_that_cannot_be_used(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(Refused, match=re.escape(message)):  # noqa: PT012 - either may refuse
        add_plugin_file(str(tmp_path / name))
        registry()


def test_lifecycle_hooks_are_called_safely(
    plugin: Plugin, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A hook takes the arguments it names; one that raises costs a line and stops no other."""
    good = """
        from seqbench.registry.hookspecs import hookimpl

        heard = []


        @hookimpl
        def seqbench_epoch_ended(epoch, metrics):
            heard.append((epoch, metrics))
        """
    bad = """
        from seqbench.registry.hookspecs import hookimpl


        @hookimpl
        def seqbench_epoch_ended(trial):
            raise ValueError("no\\nway")
        """
    plugin("xi_good", "wide", hooks=good)
    plugin("xi_bad", "tall", hooks=bad)
    registry().notify("seqbench_epoch_ended", trial={}, epoch=3, metrics={"train/loss": 0.5})
    assert sys.modules["xi_good_hooks"].heard == [(3, {"train/loss": 0.5})]
    line = "seqbench: seqbench_epoch_ended of xi_bad 1.0 failed: ValueError: no way\n"
    assert line == capsys.readouterr().err


def test_entries_are_values() -> None:
    assert Entry("a", "b:C") == Entry("a", "b:C", ())
