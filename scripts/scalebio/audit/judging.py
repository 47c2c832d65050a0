"""What a judge of MT-Bench answers will be asked and what that costs, in US dollars at the price that the study states."""

from dataclasses import dataclass

from scalebio.audit import work
from scalebio.config import Study

# docs/mtbench.md: 160 judgments of one model took some 160,000 tokens of prompts and 30,000 of replies.
PROMPT_TOKENS, REPLY_TOKENS = 1000, 187.5
TOKENS_SOURCE = "1,000 tokens of prompt and 188 of reply a call (docs/mtbench.md)"
PER_MILLION = 1e6


@dataclass(frozen=True)
class Judging:
    """The calls for one experiment; `dollars` None where the study states no price, `why` then says so."""

    experiment: str
    judge: str
    calls: int
    dollars: float | None
    why: str


def judging(study: Study, experiments: list[str]) -> list[Judging]:
    """What is still to be judged in each of these experiments, all of its models anew."""
    if not experiments:
        return []
    judge, found = study.evaluations.mtbench.judge, []
    for name in experiments:
        experiment = study.experiments[name]
        models = len(experiment.methods) * len(experiment.seeds)
        calls = models * work.questions(study, experiment) * work.TURNS * judge.repeats
        if judge.kind != "openai":
            dollars, why = 0.0, "runs here"
        elif judge.price is None:
            dollars, why = None, "price not stated: `evaluations.mtbench.judge.price`"
        else:
            tokens = PROMPT_TOKENS * judge.price.input + REPLY_TOKENS * judge.price.output
            dollars, why = calls * tokens / PER_MILLION, f"price of the study; {TOKENS_SOURCE}"
        found.append(Judging(name, judge.model or judge.kind, calls, dollars, why))
    return found
