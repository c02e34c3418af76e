"""Two texts of the same definitions that compute something else have two code hashes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seqbench.registry.codehash import code_hash

MODEL = """
class Cell:
    def equations(self, a):
        return f(a)


class M:
    cell = Cell
"""
F = {"a.py": "def f(x): return x\n", "b.py": "def f(x): return 2 * x\n"}
SCALES = {
    "up.py": "ALPHA = 0.1\ndef scale(x): return x * ALPHA\n",
    "down.py": "ALPHA = 0.9\ndef scale(x): return x * ALPHA\n",
}
USED = "def f(x): return A(x) + B(x) ** 2"
K = "def f(x): return x * K"
DISPATCH = "import functools\n@functools.singledispatch\ndef f(x): return x\n"
REGISTRY = "ACTS = {}\ndef register(g):\n    ACTS[g.__name__] = g\n    return g\n"
LOOKED_UP = f"{REGISTRY}@register\ndef g(x): return %s\ndef f(x): return ACTS['g'](x)"
TOLD = "class Base:\n    all = []\n    def __init_subclass__(cls): Base.all.append(cls)\n"
TYPING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    K = 1\nelse:\n    K = {}\n"
LOCAL = "def f(x):\n    from {} import f as g\n    from {} import f as g\n    return g(x)"

BASES = "import up, down\nclass A: g = {}.scale\nclass B: g = {}.scale\nclass C(A, B): pass\n"
BASES += "def f(x): return C.g(x)"
BRANCHES = "def f(x):\n    if x:\n        from {} import f as g\n    else:\n"
BRANCHES += "        from {} import f as g\n    return g(x)"

PAIRS: dict[str, tuple[str, str, dict[str, str]]] = {
    "helpers of one text, swapped": (
        f"from up import scale as A\nfrom down import scale as B\n{USED}",
        f"from down import scale as A\nfrom up import scale as B\n{USED}",
        SCALES,
    ),
    "modules of one text, swapped": (
        "import up, down\ndef f(x): return up.scale(x) + down.scale(x) ** 2",
        "import up as down, down as up\ndef f(x): return up.scale(x) + down.scale(x) ** 2",
        SCALES,
    ),
    "modules as values, swapped": (
        f"import up as u, down as d\nA = getattr(u, 's')\nB = getattr(d, 's')\n{USED}",
        f"import up as d, down as u\nA = getattr(u, 's')\nB = getattr(d, 's')\n{USED}",
        SCALES,
    ),
    "base classes of one text, swapped": (
        BASES.format("up", "down"),
        BASES.format("down", "up"),
        SCALES,
    ),
    "names of one tuple, swapped": (
        f"from pair import A as C, B as D\n{USED.replace('A', 'C').replace('B', 'D')}",
        f"from pair import B as C, A as D\n{USED.replace('A', 'C').replace('B', 'D')}",
        {"pair.py": "A, B = abs, max\n"},
    ),
    "deep below helpers of one text": (
        f"from one import g as A\nfrom two import g as B\n{USED}",
        f"from two import g as A\nfrom one import g as B\n{USED}",
        {
            "one.py": "from up import scale\ndef g(x): return scale(x)\n",
            "two.py": "from down import scale\ndef g(x): return scale(x)\n",
        }
        | SCALES,
    ),
    "imports of one name": (
        "from a import f\nfrom b import f",
        "from b import f\nfrom a import f",
        F,
    ),
    "imports under two names": (
        "from a import f as g, f\nfrom b import f as h, f",
        "from b import f as h, f\nfrom a import f as g, f",
        F,
    ),
    "stars": ("from a import *\nfrom b import *", "from b import *\nfrom a import *", F),
    "a star and an import": (
        "from a import f\nfrom b import *",
        "from b import *\nfrom a import f",
        F,
    ),
    "a star and a definition": ("def f(x): 1\nfrom b import *", "from b import *\ndef f(x): 1", F),
    "stars of other packages": (
        "from torch import *\nfrom math import *",
        "from math import *\nfrom torch import *",
        {},
    ),
    "what a star offers": (
        "from a import *\nfrom c import *",
        "from a import *\nfrom d import *",
        F | {"c.py": "__all__ = ['f']\ndef f(x): 3\n", "d.py": "__all__ = []\ndef f(x): 3\n"},
    ),
    "a definition and an import": (
        "from a import f\ndef f(x): return 3 * x",
        "def f(x): return 3 * x\nfrom a import f",
        F,
    ),
    "imports of one name in a function": (LOCAL.format("a", "b"), LOCAL.format("b", "a"), F),
    "an assignment and an import in a function": (
        "def f(x):\n    g = abs\n    from a import f as g\n    return g(x)",
        "def f(x):\n    from a import f as g\n    g = abs\n    return g(x)",
        F,
    ),
    "imports in a class": (
        "class Z:\n    from a import f\n    from b import f\ndef f(x): return Z.f(x)",
        "class Z:\n    from b import f\n    from a import f\ndef f(x): return Z.f(x)",
        F,
    ),
    "an import in a class": (
        "class Z:\n    from a import f\ndef f(x): return Z.f(x)",
        "class Z:\n    from b import f\ndef f(x): return Z.f(x)",
        F,
    ),
    "what is imported if another is not there": (
        "try:\n    from a import f\nexcept ImportError:\n    from b import f",
        "try:\n    from b import f\nexcept ImportError:\n    from a import f",
        F,
    ),
    "which branch imports": (
        "import sys\nif sys.byteorder == 'big':\n    from a import f\nelse:\n    from b import f",
        "import sys\nif sys.byteorder == 'big':\n    pass\nfrom a import f\nfrom b import f",
        F,
    ),
    "which branch of a function imports": (
        BRANCHES.format("a", "b"),
        BRANCHES.format("b", "a"),
        F,
    ),
    "the other branch of TYPE_CHECKING": (TYPING.format(1) + K, TYPING.format(2) + K, {}),
    "the other branch of TYPE_CHECKING in a function": (
        "import typing\ndef f(x):\n    if typing.TYPE_CHECKING: pass\n    else: return 1",
        "import typing\ndef f(x):\n    if typing.TYPE_CHECKING: pass\n    else: return 2",
        {},
    ),
    "not TYPE_CHECKING": (
        f"from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    K = 1\n{K}",
        f"from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    K = 2\n{K}",
        {},
    ),
    "not a script": (
        f"if __name__ != '__main__':\n    K = 1\n{K}",
        f"if __name__ != '__main__':\n    K = 2\n{K}",
        {},
    ),
    "not a script, the other way round": (
        f"if '__main__' != __name__:\n    K = 1\n{K}",
        f"if '__main__' != __name__:\n    K = 2\n{K}",
        {},
    ),
    "the other branch of a script": (
        f"if __name__ == '__main__':\n    K = 1\nelse:\n    K = 1\n{K}",
        f"if __name__ == '__main__':\n    K = 1\nelse:\n    K = 2\n{K}",
        {},
    ),
    "another name than that of a script": (
        f"if __name__ == 'a':\n    K = 1\n{K}",
        f"if __name__ == 'a':\n    K = 2\n{K}",
        {},
    ),
    "a second value, before or after a default": (
        "K = 1\ndef f(x, k=K): return k\nK = 2",
        "K = 1\nK = 2\ndef f(x, k=K): return k",
        {},
    ),
    "a second value, before or after a call": (
        "K = 1\ndef g(): return K\nX = g()\nK = 2\ndef f(x): return X",
        "K = 1\ndef g(): return K\nK = 2\nX = g()\ndef f(x): return X",
        {},
    ),
    "what is appended, before or after a default": (
        "L = [1.0]\nL.append(2.0)\ndef f(x, k=L[-1]): return k",
        "L = [1.0]\ndef f(x, k=L[-1]): return k\nL.append(2.0)",
        {},
    ),
    "what is altered, before or after a class": (
        "class Z:\n    k = 1\nZ.k = 2\nclass Y(Z):\n    j = Z.k\ndef f(x): return Y.j",
        "class Z:\n    k = 1\nclass Y(Z):\n    j = Z.k\nZ.k = 2\ndef f(x): return Y.j",
        {},
    ),
    "what is altered in another module": (
        f"import p\nimport q\nfrom r import K\n{K}",
        f"import q\nimport p\nfrom r import K\n{K}",
        {"p.py": "import r\nr.K = 2\n", "q.py": "import r\nr.K = 3\n", "r.py": "K = 1\n"},
    ),
    "an augmented value": (f"K = 1\nK += 1\nK *= 3\n{K}", f"K = 1\nK *= 3\nK += 1\n{K}", {}),
    "a global": (
        f"K = 1\ndef g():\n    global K\n    K = 2\nJ = K\ng()\n{K} * J",
        f"K = 1\ndef g():\n    global K\n    K = 2\ng()\nJ = K\n{K} * J",
        {},
    ),
    "what is deleted": (
        "from a import f\ndel f\nfrom b import f",
        "from a import f\nfrom b import f\ndel f",
        F,
    ),
    "an import in a function for its effect": (
        "def f(x):\n    import patch\n    return x",
        "def f(x):\n    import other\n    return x",
        {
            "patch.py": "import torch\ntorch.set_default_dtype(torch.float32)\n",
            "other.py": "import torch\ntorch.set_default_dtype(torch.float64)\n",
        },
    ),
    "an import by a call": (
        "import importlib\neq = importlib.import_module('a')\ndef f(x): return eq.f(x)",
        "import importlib\neq = importlib.import_module('b')\ndef f(x): return eq.f(x)",
        F,
    ),
    "an import by a call in a function": (
        "def f(x): return __import__('a').f(x)",
        "def f(x): return __import__('b').f(x)",
        F,
    ),
    "the type that a function is registered for": (
        f"{DISPATCH}@f.register\ndef _(x: int): return 2",
        f"{DISPATCH}@f.register\ndef _(x: str): return 2",
        {},
    ),
    "the type, by another name": (
        f"{DISPATCH}reg = f.register\n@reg\ndef _(x: int): return 2",
        f"{DISPATCH}reg = f.register\n@reg\ndef _(x: str): return 2",
        {},
    ),
    "a function that is registered by a call": (
        f"{DISPATCH}_ = f.register(int, lambda x: 2)",
        f"{DISPATCH}_ = f.register(int, lambda x: 3)",
        {},
    ),
    "a function of a registry": (LOOKED_UP % "x", LOOKED_UP % "2 * x", {}),
    "a function of a registry, by a call": (
        f"{REGISTRY}_ = register(abs)\ndef f(x): return ACTS['g'](x)",
        f"{REGISTRY}_ = register(max)\ndef f(x): return ACTS['g'](x)",
        {},
    ),
    "a class of which its base hears": (
        f"{TOLD}class One(Base):\n    k = 1\ndef f(x): return Base.all",
        f"{TOLD}class One(Base):\n    k = 2\ndef f(x): return Base.all",
        {},
    ),
    "the annotation that a decorator may read": (
        "def d(g): return g.__annotations__\n@d\ndef f(x: int): return x",
        "def d(g): return g.__annotations__\n@d\ndef f(x: str): return x",
        {},
    ),
    "documentation that is read": (
        "class Z:\n    citation = 'one'\ndef f(x): return len(Z.citation)",
        "class Z:\n    citation = 'three'\ndef f(x): return len(Z.citation)",
        {},
    ),
}
ALIKE: dict[str, tuple[str, str, dict[str, str]]] = {
    "a function that was moved": ("def f(x): return x", "from a import f", F),
    "functions that were moved": (
        "def g(x): return 2 * x\ndef f(x): return g(x)",
        "from c import f",
        {"c.py": "from d import g\ndef f(x): return g(x)\n", "d.py": "def g(x): return 2 * x\n"},
    ),
    "what is done on import, moved": (
        "L = [1]\nL.append(2)\ndef f(x): return L",
        "from c import f",
        {"c.py": "from d import L\ndef f(x): return L\n", "d.py": "L = [1]\nL.append(2)\n"},
    ),
    "a function with a second value of its constant, moved": (
        f"K = 1\nK = 2\n{K}",
        f"from c import K\n{K}",
        {"c.py": "K = 1\nK = 2\n"},
    ),
    "functions in another order": (
        "def g(x): return x\ndef f(x): return g(x)",
        "def f(x): return g(x)\ndef g(x): return x",
        {},
    ),
    "an import that nobody uses": ("from a import f", "import b, os\nfrom a import f", F),
    "a submodule of an imported package": (
        "import os\ndef f(x): return os.sep",
        "import os, os.path\ndef f(x): return os.sep",
        {},
    ),
    "a constant that nobody uses": ("def f(x): return x", "A = [1]\ndef f(x): return x", {}),
    "a decorated function that nobody uses": (
        "def f(x): return x",
        "def d(g): return g\n@d\ndef h(x): return x\ndef f(x): return x",
        {},
    ),
    "a block for scripts": (
        "def f(x): return x",
        "def f(x): return x\nif __name__ == '__main__':\n    print(f(1))",
        {},
    ),
    "annotations of a function": (
        "def f(x): return x",
        "from torch import Tensor\ndef f(x: Tensor) -> Tensor: return x",
        {},
    ),
    "annotations of a property": (
        "class Z:\n    @property\n    def g(self): return 1\ndef f(x): return Z().g",
        "class Z:\n    @property\n    def g(self) -> int: return 1\ndef f(x): return Z().g",
        {},
    ),
    "an annotation without a value": ("K = 1\n" + K, "K: int\nK = 1\n" + K, {}),
}


def hash_of(folder: Path, text: str, others: dict[str, str], end: str = "") -> str:
    folder.mkdir()
    for name, other in others.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(other)
    (folder / "m.py").write_text(f"{text}\n{MODEL}{end}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, str(folder)])
        return code_hash(f"{folder / 'm.py'}:M")


@pytest.mark.parametrize("name", PAIRS)
def test_what_computes_something_else(name: str, tmp_path: Path) -> None:
    one, other, files = PAIRS[name]
    assert hash_of(tmp_path / "one", one, files) != hash_of(tmp_path / "other", other, files)


@pytest.mark.parametrize("name", ALIKE)
def test_what_computes_the_same(name: str, tmp_path: Path) -> None:
    one, other, files = ALIKE[name]
    assert hash_of(tmp_path / "one", one, files) == hash_of(tmp_path / "other", other, files)


def test_documentation_of_the_class(tmp_path: Path) -> None:
    """It can be written later; of other classes the same names are settings."""
    f = "def f(x): return x"
    attributes = "    citation = 'A, 2020'\n    licence: str = 'MIT'\n    sizes = {'train': '3'}\n"
    attributes += "    smallest_difference = (0.1, 'a reason')\n"
    plain = hash_of(tmp_path / "a", f, {})
    assert plain == hash_of(tmp_path / "b", f, {}, attributes)
    assert plain != hash_of(tmp_path / "c", f, {}, "    version = '1'\n")
    cell = "class Z:\n    sizes = {}\ndef f(x): return vars(Z)"
    assert hash_of(tmp_path / "d", cell.format(1), {}) != hash_of(
        tmp_path / "e", cell.format(2), {}
    )
