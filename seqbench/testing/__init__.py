"""The conformance suite: checks that every task and model must pass, built-in or not.

In a plugin's own tests::

    from seqbench.testing import check_model

    def test_my_model():
        check_model(MyModel)

``seqbench check model=NAME`` runs the same checks and prints them as a list. Each failure is a
:class:`ConformanceError` that says what was seen and what was expected.
"""

from seqbench.testing.checklist import Check, CheckResult, ConformanceError, run_checks
from seqbench.testing.models import MODEL_CHECKS, check_model
from seqbench.testing.perturbation import (
    DEPENDENCE,
    TOLERANCE,
    check_counting,
    check_visibility,
    make_predictor,
    small_batch,
    small_examples,
)
from seqbench.testing.subjects import ModelSubject, TaskSubject
from seqbench.testing.tasks import TASK_CHECKS, check_task

__all__ = [
    "DEPENDENCE",
    "MODEL_CHECKS",
    "TASK_CHECKS",
    "TOLERANCE",
    "Check",
    "CheckResult",
    "ConformanceError",
    "ModelSubject",
    "TaskSubject",
    "check_counting",
    "check_model",
    "check_task",
    "check_visibility",
    "make_predictor",
    "run_checks",
    "small_batch",
    "small_examples",
]
