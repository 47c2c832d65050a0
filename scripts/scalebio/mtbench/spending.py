"""What judging costs, and a limit that is not passed: every call's worst case is set aside before it is made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from scalebio.config_evaluations import Price


class LimitReached(Exception):
    """The next call could cost more than is left, and none is in flight that could still free some."""


class Budget:
    """Money of one experiment's judgments, in US dollars. Without a price nothing is counted, without a limit all goes.

    `spent`: before this run. A call that breaks off without a reply counts as free, for want of any statement on it.
    """

    def __init__(self, price: Price | None, limit: float | None, spent: float = 0.0):
        self.price, self.limit, self.spent = price, limit, spent
        self.held: list[float] = []
        self.changed = asyncio.Condition()

    def cost(self, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars; None without a price."""
        if self.price is None:
            return None
        return (tokens_in * self.price.input + tokens_out * self.price.output) / 1e6

    @asynccontextmanager
    async def reserved(self, tokens_in: int, tokens_out: int) -> AsyncIterator[None]:
        """Hold the price of a call of at most so many tokens while the block lasts; inside it, add to `spent`.

        Waits while only calls in flight stand in the way. Raises LimitReached where none does.
        """
        worst = self.cost(tokens_in, tokens_out) or 0.0
        async with self.changed:
            while self.limit is not None and self.spent + sum(self.held) + worst > self.limit:
                if not self.held:
                    raise LimitReached(f"the next call may cost up to USD {worst:.4f}")
                await self.changed.wait()
            self.held.append(worst)
        try:
            yield
        finally:
            async with self.changed:
                self.held.remove(worst)
                self.changed.notify_all()
