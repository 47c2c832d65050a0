"""Calls to the judge: retried while there is hope, kept as soon as they are finished, stopped before a limit is passed.

Calls go through inspect-ai's provider for OpenAI-compatible endpoints, which knows the quirks of models, and through the
openai client below it, which retries what is busy, limited, timed out or cut off, waits as long as `Retry-After` says, and
backs off otherwise. Inspect's own layer above (`Model.generate`) is left out: its retries do not read that header, and its
transcripts, which nobody would look at, take a third of a call's 3.3 ms of CPU time. Only replies whose body is no chat
completion are retried here.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from scalebio import journal
from scalebio.config_evaluations import Judge
from scalebio.errors import UserError
from scalebio.mtbench.endpoints import Endpoint
from scalebio.mtbench.parsing import FAILED
from scalebio.mtbench.prompts import Prompt, estimated_tokens
from scalebio.mtbench.spending import Budget

ATTEMPTS = 3  # at a rating that can be read


class Patience(NamedTuple):
    """How long one call is tried. Twelve retries are 70 s of waiting, where the judge does not ask for more."""

    retries: int = 12  # of a request that was refused for now, or broke off
    timeout: float = 300.0  # seconds for one request
    deadline: float = 1200.0  # seconds for a call with all its retries
    replies: int = 4  # of which none is a chat completion
    backoff: float = 1.0  # seconds before the second of those, doubling


PATIENT = Patience()


class NoCompletion(Exception):
    """A reply that says all is well, and is none."""


class Judgment:
    """One prompt, and the judge's replies to it: as many as it took to get a rating, ATTEMPTS at most.

    A reply is {"text", "tokens_in", "tokens_out", "usd" (None without a price), "judge"}, in the journal too.
    """

    def __init__(self, prompt: Prompt, repeat: int, under: list, done: journal.Journal):
        self.prompt, self.done = prompt, done
        self.keys = [
            journal.key("judgment", under, prompt.system, prompt.user, repeat, attempt) for attempt in range(ATTEMPTS)
        ]
        self.made = 0

    @property
    def replies(self) -> list[dict]:
        """Those that there are so far."""
        return [self.done[key] for key in self.keys if key in self.done]

    @property
    def text(self) -> str:
        """The last reply."""
        return self.replies[-1]["text"] if self.replies else ""

    def settled(self, read: Callable[[str], float]) -> bool:
        """Whether there is a rating, by `read`, or no attempt is left."""
        return len(self.replies) == ATTEMPTS or read(self.text) != FAILED

    def add(self, reply: dict) -> None:
        """Keep the next reply."""
        self.done.add(self.keys[len(self.replies)], reply)
        self.made += 1


def kept_under(endpoint: Endpoint, judge: Judge) -> list:
    """What, besides the prompt, decides what the judge says: calls made under something else are not taken up."""
    return [endpoint.model, endpoint.known_as, judge.temperature, judge.max_tokens, endpoint.extra_body]


async def settle(
    judgments: list[Judgment],
    endpoint: Endpoint,
    judge: Judge,
    read: Callable[[str], float],
    budget: Budget,
    patience: Patience,
    report: Callable[[], None],
) -> None:
    """Ask until every one of `judgments` is settled; `report` is called after each.

    After a failure no new call is made, but those in flight are awaited, because they are paid for: their replies are
    kept. Then the first failure is raised.
    """
    waiting, failures = deque(judgments), []
    async with _client(endpoint, patience) as model:
        call = _call(model, endpoint, judge, patience)

        async def work() -> None:
            while waiting and not failures:
                judgment = waiting.popleft()
                try:
                    while not judgment.settled(read) and not failures:
                        async with budget.reserved(judgment.prompt.tokens, judge.max_tokens):
                            text, *tokens = await call(judgment.prompt)
                            usd = budget.cost(*tokens)
                            judgment.add(_reply(endpoint, text, *tokens, usd))
                            budget.spent += usd or 0.0
                    report()
                except Exception as error:
                    failures.append(error)

        at_once = min(judge.connections, endpoint.at_once or judge.connections)
        # A fifth of the time of a call would go into looking through what was imported for garbage.
        gc.freeze()
        try:
            await asyncio.gather(*(work() for _ in range(at_once)))
        finally:
            gc.unfreeze()
    if failures:
        raise failures[0]


def _reply(endpoint: Endpoint, text: str, tokens_in: int, tokens_out: int, usd: float | None) -> dict:
    return {
        "text": endpoint.without_key(text),
        "tokens_in": tokens_in,
        "tokens_out": tokens_out,
        "usd": usd,
        "judge": endpoint.model,
    }


def _client(endpoint: Endpoint, patience: Patience):
    """Inspect's model for the endpoint. Imported only here: a run that finds everything in its journal needs none."""
    from inspect_ai.model import get_model

    return get_model(
        f"openai-api/judge/{endpoint.model}",
        base_url=endpoint.base_url,
        api_key=endpoint.key,
        memoize=False,
        max_retries=patience.retries,
        client_timeout=patience.timeout,
    )


def _call(model, endpoint: Endpoint, judge: Judge, patience: Patience) -> Callable[[Prompt], Awaitable]:
    """call(prompt) → the judge's text, tokens read and tokens written (estimated where the reply does not say)."""
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig
    from openai import APIConnectionError, APIStatusError
    from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    config = GenerateConfig(temperature=judge.temperature, max_tokens=judge.max_tokens, extra_body=endpoint.extra_body)
    # Refused for good, or for longer than the client has retried.
    refusals = (APIStatusError, APIConnectionError)

    @retry(
        retry=retry_if_exception_type(NoCompletion),
        stop=stop_after_attempt(patience.replies),
        wait=wait_exponential_jitter(multiplier=patience.backoff, jitter=patience.backoff, max=60),
        reraise=True,
    )
    async def call(prompt: Prompt) -> tuple[str, int, int]:
        messages = [ChatMessageSystem(content=prompt.system), ChatMessageUser(content=prompt.user)]
        try:
            async with asyncio.timeout(patience.deadline):
                output, _ = await model.api.generate(messages, [], "none", config)
            if isinstance(output, Exception):
                raise output
            text, usage = output.completion, output.usage
            stopped = output.stop_reason
        except refusals:
            raise
        except TimeoutError:
            raise UserError(f"it gave no reply in {patience.deadline:g} s, with all retries.") from None
        except Exception as error:  # a body of another shape shows in as many ways as there are shapes
            raise NoCompletion(f"its reply is no chat completion ({type(error).__name__}: {error}).") from error
        if stopped == "model_length":
            raise UserError(f"it takes no prompt of some {prompt.tokens} tokens ({text}). Lower `judge.context`.")
        if not usage:
            return text, prompt.tokens, estimated_tokens(text)
        read = usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
        return text, read, usage.output_tokens

    return call
