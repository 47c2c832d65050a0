"""A model's answers to questions of mathematics: greedy, without examples, through its own chat template."""

from scalebio import journal
from scalebio.generation import encode
from scalebio.mtbench.engines import Engine
from scalebio.progress import Progress


def answer(
    engine: Engine,
    questions: list[dict],
    *,
    prompt: str,
    max_new_tokens: int,
    batch: int,
    max_length: int,
    done: journal.Journal,
    made_under: str = "",
) -> list[dict]:
    """One row per question, in their order: {"benchmark", "id", "answer", "shortened"}.

    `prompt` is what the user says, with `{question}` in it; `max_length` bounds prompt and answer together, in tokens,
    and `shortened` says whether the prompt lost its middle to it. Each question is kept in `done` once its batch is
    answered; batches are settled before the first one starts, so a run that was interrupted ends with the bytes of one
    that was not. `made_under` names the model's content: answers of another model are not taken up.
    """
    talks = [
        [{"role": "user", "content": prompt.replace("{question}", question["question"])}] for question in questions
    ]
    settings = [made_under, engine.name, max_new_tokens, max_length]
    # Prompts of like length together; the order does not depend on what is already done.
    order = sorted(range(len(talks)), key=lambda i: (-len(talks[i][0]["content"]), i))
    report, found = Progress("questions"), {}
    for first in range(0, len(order), batch):
        indices = order[first : first + batch]
        asked = [talks[i] for i in indices]
        names = {i: journal.key(*settings, asked, place) for place, i in enumerate(indices)}
        if any(name not in done for name in names.values()):
            texts = engine.generate(asked, max_new_tokens, [0.0] * len(asked), [0] * len(asked), max_length)
            cuts = encode(engine.tokenizer, asked, max_length - max_new_tokens)[1]
            for name, text, cut in zip(names.values(), texts, cuts, strict=True):
                done.add(name, [text, cut])
        found |= {i: done[name] for i, name in names.items()}
        report(len(found), len(questions))
    rows = [(question, *found[i]) for i, question in enumerate(questions)]
    return [
        {"benchmark": question["benchmark"], "id": question["id"], "answer": text, "shortened": cut}
        for question, text, cut in rows
    ]
