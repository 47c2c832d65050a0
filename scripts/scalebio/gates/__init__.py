"""Gates: checks of a study that end in a verdict, each a rule with a JSON file, each fatal if the study says so.

A verdict file holds {"gate", "experiment" or null, "verdict": passed, failed or not applicable, "findings": [what is wrong],
"threshold": what it was measured by, "what": one sentence, "provenance"}. It says what was found and not what follows from it:
whether a failed gate stops the study is the study's own setting, and what does so (clear_gate.py) leaves the verdict in place.
"""

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"


def verdict(
    gate: str, experiment: str | None, findings: list[dict], threshold: dict, what: str, applicable: bool = True
) -> dict:
    """What a verdict file says, but for its provenance: failed if anything was found."""
    outcome = (FAILED if findings else PASSED) if applicable else NOT_APPLICABLE
    return {
        "gate": gate,
        "experiment": experiment,
        "verdict": outcome,
        "findings": findings,
        "threshold": threshold,
        "what": what,
    }
