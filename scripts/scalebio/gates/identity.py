"""The gate of identity: do all stages of a run read text in the same way, with one tokenizer and one chat template?

A model that is asked in another template than it was trained in answers worse, and nothing in its scores says why. Every result
whose making needed a tokenizer records the hash of it and of its template; here they are held against those of the run's final
model. Results that needed none (weights of a method that learns nothing, or taken from another model) record none and are
left out; so are files of an earlier version that do not say.
"""

from scalebio.gates import verdict

HASHES = {"chat_template_sha256": "chat template", "tokenizer_sha256": "tokenizer"}
MODEL = "model"


def check(experiment: str, runs: dict[str, dict[str, dict]]) -> dict:
    """The verdict on one experiment. `runs`: run → stage → the stage's provenance; one stage is `model`."""
    findings, compared = [], 0
    for run, stages in runs.items():
        for key, name in HASHES.items():
            told = {stage: facts[key] for stage, facts in stages.items() if facts.get(key)}
            compared += len(told)
            apart = {stage: digest for stage, digest in told.items() if digest != told.get(MODEL, digest)}
            if apart:
                findings.append({"run": run, "kind": name, "model": told[MODEL], "apart": apart})
    listed = "; ".join(f"{f['run']}: {f['kind']} of {', '.join(f['apart'])}" for f in findings[:3])
    listed += f" and {len(findings) - 3} more" if len(findings) > 3 else ""
    what = (
        f"not that of the model: {listed}"
        if findings
        else f"one tokenizer and one template in each of {len(runs)} runs"
    )
    return verdict("template", experiment, findings, {"hashes_compared": compared}, what, applicable=compared > 0)
