"""The offline reference judge: a local OpenAI-compatible server that rates by a stated rule. It is not an LLM.

It exists so that the whole road (prompts, HTTP, retries, parsing, statistics) runs and is tested on a machine without a
judge. Its ratings say how near an answer is to the reference, nothing about quality, and every output carries LABEL.
The rule, printed in every explanation:

* prompt with a reference: rating = 1 + 9 x F1, where F1 compares answer and reference as bags of tokens (words in lower
  case; single characters in Chinese, Japanese and Korean; punctuation marks);
* prompt without one: rating = 1 + 9 x length x variety, with length = min(1, tokens / 60) and variety = the share of
  distinct pairs among the answer's neighbouring tokens, so short or repetitive answers rate low.

Question, answer and reference are read from the judge prompt it is sent, as an LLM would. Turn 2 alone is rated in a
two-turn prompt. `serving` can be told to misbehave and to take its time, for tests and measurements.
"""

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from scalebio import loopback

LABEL = "offline-reference-judge (not an LLM)"
ENOUGH_TOKENS = 60

_TOKEN = re.compile(r"[぀-ヿ㐀-䶿一-鿿가-힯]|\w+?(?=[぀-ヿ㐀-䶿一-鿿가-힯])|\w+|[^\w\s]")
# The answer runs to the last end mark and everything else to the first one, so an answer that imitates the marks is
# still read as an answer.
_ONE_TURN = re.compile(
    r"\[Question\]\n(?P<question>.*?)\n\n"
    r"(?:\[The Start of Reference Answer\]\n(?P<reference>.*?)\n\[The End of Reference Answer\]\n\n)?"
    r"\[The Start of Assistant's Answer\]\n(?P<answer>.*)\n\[The End of Assistant's Answer\]\Z",
    re.DOTALL,
)
_TWO_TURNS = re.compile(
    r"\A<\|The Start of Assistant A's Conversation with User\|>\n\n### User:\n.*?\n\n### Assistant A:\n.*?"
    r"\n\n### User:\n(?P<question>.*?)\n\n### Assistant A:\n(?P<answer>.*)"
    r"\n\n<\|The End of Assistant A's Conversation with User\|>\Z",
    re.DOTALL,
)
_TWO_TURNS_REFERENCE = re.compile(
    r"\A<\|The Start of Reference Answer\|>\n\n### User:\n.*?\n\n### Reference answer:\n.*?"
    r"\n\n### User:\n(?P<question>.*?)\n\n### Reference answer:\n(?P<reference>.*?)"
    r"\n\n<\|The End of Reference Answer\|>\n\n\n"
    r"<\|The Start of Assistant A's Conversation with User\|>\n\n### User:\n.*?\n\n### Assistant A:\n.*?"
    r"\n\n### User:\n(?P=question)\n\n### Assistant A:\n(?P<answer>.*)"
    r"\n\n<\|The End of Assistant A's Conversation with User\|>\Z",
    re.DOTALL,
)


def read_prompt(text: str) -> tuple[str, str, str | None] | None:
    """Question, answer to be rated and reference (None without one) of a judge prompt; None if it is no such prompt."""
    for pattern in (_TWO_TURNS_REFERENCE, _TWO_TURNS, _ONE_TURN):
        if match := pattern.search(text):
            return match["question"], match["answer"], match.groupdict().get("reference")
    return None


def tokens(text: str) -> list[str]:
    """Words in lower case, single CJK characters, punctuation marks."""
    return _TOKEN.findall(text.lower())


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the answer's tokens, as bags; 0 to 1."""
    ours, theirs = Counter(tokens(answer)), Counter(tokens(reference))
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 0.0


def rate(answer: str, reference: str | None) -> tuple[float, str]:
    """The rating, 1 to 10 with one decimal, and the explanation that states its rule."""
    if reference is not None:
        share = token_f1(answer, reference)
        rule = f"rating = 1 + 9 x token F1 against the reference answer; F1 = {share:.3f}"
    else:
        said = tokens(answer)
        pairs = list(zip(said, said[1:], strict=False))
        length = min(1.0, len(said) / ENOUGH_TOKENS)
        variety = len(set(pairs)) / len(pairs) if pairs else 1.0
        share = length * variety
        rule = (
            f"rating = 1 + 9 x length x variety, as there is no reference; length = min(1, tokens / {ENOUGH_TOKENS}) = "
            f"{length:.3f}, variety = share of distinct neighbouring token pairs = {variety:.3f}"
        )
    return round(1 + 9 * share, 1), f"This is the offline reference judge, not an LLM. Rule: {rule}."


class Fault(NamedTuple):
    """What is wrong with a reply; with nothing set it is a good one."""

    status: int = 200
    body: bytes | None = None  # in place of what would have been said
    headers: dict[str, str] = {}
    wait: float = 0.0  # seconds before the reply
    dropped: bool = False  # the connection is closed in the middle of the reply


Faults = Callable[[str, int], Fault | int | str | None]
"""(prompt, how often it came before) -> what goes wrong: a fault, an HTTP status alone, another text; None: nothing."""


class Server(ThreadingHTTPServer):
    """Serves POST <base_url>/chat/completions on a free loopback port; `requests` counts calls per prompt.

    `latency`: seconds that every reply takes, however short its work was. `opened`: when the first connection was made,
    by the monotonic clock; None before.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, faults: Faults | None = None, latency: float = 0.0):
        super().__init__((loopback.HOST, 0), _Handler)
        self.faults, self.latency = faults, latency
        self.requests: Counter[str] = Counter()
        self.opened: float | None = None
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://{loopback.HOST}:{self.server_address[1]}/v1"

    def reply(self, request: dict) -> tuple[Fault, dict]:
        """What is wrong with the reply to a chat completion request, and its body."""
        prompt = request["messages"][-1]["content"]
        with self.lock:
            earlier = self.requests[prompt]
            self.requests[prompt] += 1
        fault = self.faults(prompt, earlier) if self.faults else None
        if fault is None:
            fault = Fault()
        if isinstance(fault, str):
            return Fault(), completion(prompt, fault)
        if isinstance(fault, int):
            fault = Fault(fault)
        if fault.body is not None:
            return fault, {}
        if fault.status != 200:
            return fault, {"error": {"message": f"status {fault.status} on purpose", "type": "test"}}
        parts = read_prompt(prompt)
        if parts is None:
            return Fault(400), _refusal("not a single-answer MT-Bench judge prompt")
        _, answer, reference = parts
        rating, explanation = rate(answer, reference)
        return fault, completion(prompt, f"{explanation}\n\nRating: [[{rating:g}]]")

    def process_request(self, request, client_address) -> None:
        """A new connection: a thread of its own."""
        self.opened = self.opened or time.monotonic()
        super().process_request(request, client_address)

    def handle_error(self, request, client_address) -> None:
        """A client that has gone is no matter; anything else is shown as ever."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _refusal(message: str) -> dict:
    return {"error": {"message": message, "type": "invalid_request"}}


def completion(prompt: str, text: str) -> dict:
    """A chat completion's body that says `text`."""
    read, written = len(tokens(prompt)), len(tokens(text))
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    head = {"id": "offline", "object": "chat.completion", "created": 0, "model": LABEL}
    return {**head, "choices": [choice], "usage": usage}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet per reply: two would wait for each other's acknowledgement, 40 ms a call.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        came = time.monotonic()
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if self.path != "/v1/chat/completions":
                raise ValueError(f"unknown path {self.path}")
            fault, body = self.server.reply(json.loads(content))
        except (ValueError, LookupError, TypeError) as error:
            fault, body = Fault(400), _refusal(f"bad request: {error!r}")
        reply = json.dumps(body).encode() if fault.body is None else fault.body
        time.sleep(max(0.0, self.server.latency + fault.wait - (time.monotonic() - came)))
        self.send_response(fault.status)
        for name, value in {"Content-Type": "application/json", **fault.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if fault.dropped:
            reply, self.close_connection = reply[: len(reply) // 2], True
        self.wfile.write(reply)

    def log_message(self, *_) -> None:
        """Silent: one line per call would bury the job's own log."""


@contextmanager
def serving(faults: Faults | None = None, latency: float = 0.0) -> Iterator[Server]:
    """Run the judge in threads of this process while the block lasts."""
    with loopback.without_proxy():
        server = Server(faults, latency)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
